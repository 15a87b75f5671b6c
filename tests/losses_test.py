"""The losses against the written-out formulas, in NumPy float64."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bigru_jax import losses


def _draw(seed, classes, batch=5):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(batch, classes)) * 3
  return logits, rng.dirichlet(np.ones(max(classes, 2)), batch)[:, -classes:]


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), classes=st.integers(2, 6))
def test_softmax_cross_entropy_equals_its_formula(seed, classes):
  logits, y = _draw(seed, classes)
  yhat = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  expected = -(y * np.log(yhat)).sum(1)
  ours = losses.softmax_cross_entropy(jnp.asarray(logits, jnp.float32), y)
  np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), outputs=st.sampled_from([1, 3, 5]))
def test_sigmoid_cross_entropy_equals_its_formula(seed, outputs):
  logits, y = _draw(seed, outputs)
  yhat = 1 / (1 + np.exp(-logits))
  expected = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).sum(1)
  ours = losses.sigmoid_cross_entropy(jnp.asarray(logits, jnp.float32), y)
  np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  'activation, outcomes', [(losses.SOFTMAX, 3), (losses.SIGMOID, 2)]
)
def test_smoothing_spreads_a_share_of_the_target_evenly(activation, outcomes):
  _, y = _draw(0, 3)
  np.testing.assert_allclose(
    activation.smooth(jnp.asarray(y, jnp.float32), 0.1),
    0.9 * y + 0.1 / outcomes,
    rtol=1e-6,
  )


GAMMAS = [0.0, 0.5, 2.0, 5.0]


def _rows(classes=4, batch=6):
  """Logits, hard labels of one class and of many, in NumPy float64."""
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(batch, classes)) * 3
  many = rng.random((batch, classes)) < 0.4
  return logits, rng.integers(0, classes, batch), many.astype(float)


def _single(logits):
  return jnp.asarray(logits, jnp.float32)


@pytest.mark.parametrize('gamma', GAMMAS)
def test_the_focal_loss_equals_equation_4_of_its_paper(gamma):
  logits, labels, _ = _rows()
  p_t = special.softmax(logits, axis=1)[range(6), labels]
  found = losses.softmax_focal_loss(
    _single(logits), jax.nn.one_hot(labels, 4), gamma
  )
  np.testing.assert_allclose(found, -((1 - p_t) ** gamma) * np.log(p_t), 1e-5)


@pytest.mark.parametrize('gamma', GAMMAS)
def test_the_focal_loss_of_many_labels_equals_equation_4_of_its_paper(gamma):
  logits, _, y = _rows()
  p = special.expit(logits)
  p_t = np.where(y == 1, p, 1 - p)  # Equation 2.
  expected = (-((1 - p_t) ** gamma) * np.log(p_t)).sum(1)
  found = losses.multi_label_focal_loss(_single(logits), y, 1.0, gamma)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_focus_the_focal_loss_is_the_cross_entropy():
  logits, y = _draw(1, 4)
  logits = _single(logits)
  np.testing.assert_allclose(
    losses.softmax_focal_loss(logits, y, 0.0),
    losses.softmax_cross_entropy(logits, y),
    rtol=1e-5,
  )
  weights = np.array([1.0, 2.0, 0.5, 3.0])
  np.testing.assert_allclose(
    losses.multi_label_focal_loss(logits, y, weights, 0.0),
    losses.multi_label_cross_entropy(logits, y, weights),
    rtol=1e-5,
  )


@pytest.mark.parametrize('gamma', GAMMAS)
def test_the_gradient_of_the_focal_loss_equals_that_of_its_formula(gamma):
  logits, labels, _ = _rows()
  y = jax.nn.one_hot(labels, 4)
  # d/dp of -(1 - p)^g log p, and dp/dx of the softmax.
  p = special.softmax(logits, axis=1)
  p_t = p[range(6), labels]
  slope = gamma * (1 - p_t) ** (gamma - 1) * np.log(p_t)
  slope -= (1 - p_t) ** gamma / p_t
  expected = (slope * p_t)[:, None] * (y - p)
  found = jax.grad(lambda x: losses.softmax_focal_loss(x, y, gamma).sum())(
    _single(logits)
  )
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_the_asymmetric_loss_equals_equations_6_and_7_of_its_paper():
  logits, _, y = _rows()
  p = special.expit(logits)
  p_m = np.maximum(p - 0.05, 0)
  positive = (1 - p) ** 0 * np.log(p)
  negative = p_m**4 * np.log(1 - p_m)
  expected = -(y * positive + (1 - y) * negative).sum(1)
  found = losses.asymmetric_loss(_single(logits), y)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
  'function',
  [
    losses.multi_label_cross_entropy,
    losses.multi_label_focal_loss,
    losses.asymmetric_loss,
  ],
)
def test_label_weights_are_factors_of_the_positive_term(function):
  logits, _, y = _rows()
  logits, weights = _single(logits), np.array([1.0, 3.0, 0.5, 0.0])
  negative = function(logits, y, 0.0)
  by_label = [
    function(logits, y * np.eye(4)[c], 1.0)
    - function(logits, y * np.eye(4)[c], 0.0)
    for c in range(4)
  ]
  found = function(logits, y, weights) - negative
  np.testing.assert_allclose(found, weights @ np.array(by_label), rtol=1e-4)


def _functions():
  for name, loss in losses.LOSSES.items():
    for task in loss.tasks:
      yield pytest.param(
        loss.function if task == 'single_label' else loss.multi_label,
        id=f'{name}, {task}',
      )


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('function', [*_functions()])
def test_losses_and_gradients_are_finite_at_extreme_logits(function, smoothing):
  values = [0.0, -0.0, 1e-30, 90.0, 1e4, 1e30]
  rows = [(a, b, c) for a in values for b in (a, -a) for c in (0, -a)]
  rows += [(-b, a, c) for a, b, c in rows]
  logits = jnp.array(rows, jnp.float32)
  for label in range(3):
    y = jnp.tile(jnp.eye(3)[label], (len(rows), 1))
    y = y * (1 - smoothing) + smoothing / 3

    def total(logits, y=y):
      losses_B = function(logits, y)
      return losses_B.sum(), losses_B

    grads, losses_B = jax.grad(total, has_aux=True)(logits)
    assert np.isfinite(losses_B).all() and np.isfinite(grads).all()
    assert (losses_B >= 0).all()
