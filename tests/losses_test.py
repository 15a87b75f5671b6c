"""The losses against the written-out formulas, in NumPy float64."""

from hypothesis import given, settings, strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

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
