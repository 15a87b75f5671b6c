"""Every pooling: padding, given weights, and its formula in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.models.pooling import POOLINGS, pooling_of, poolings_that
from bigru_jax.models.pooling_layers import MultiHead

LENGTHS = np.array([5, 3, 1])
MASK = np.arange(5) < LENGTHS[:, None]
JOINED = 'additive+structured+mean'


@pytest.fixture(params=[*poolings_that('fits_any_states'), JOINED])
def name(request):
  return request.param


def _states(seed=0):
  return np.random.default_rng(seed).normal(size=(3, 5, 4)).astype(np.float32)


@functools.partial(jax.jit, static_argnums=0)
def _compute(name, h, mask, weights):
  pooling = pooling_of(name).make(None, 4, 3)
  outputs, variables = pooling.init_with_output(
    jax.random.key(1), h, mask, weights
  )
  return *outputs, variables.get('params', {})


def _apply(name, h, mask=MASK, weights=None):
  """The context, the weights and the parameters of a pooling."""
  return _compute(name, h, mask, weights)


def test_weights_are_a_distribution_over_valid_positions(name):
  context, weights, _ = _apply(name, _states())
  assert context.shape[0] == 3 and context.ndim == 2
  if weights is None:
    return
  assert weights.dtype == jnp.float32
  assert weights.ndim == 3 and weights.shape[::2] == (3, 5)
  np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
  np.testing.assert_array_equal(
    np.where(MASK[:, None], 0, np.asarray(weights)), 0
  )


def test_states_at_padding_change_nothing(name):
  h = _states()
  other = np.where(MASK[..., None], h, 1e3)
  longer = np.concatenate([other, np.full((3, 2, 4), -1e3, np.float32)], 1)
  mask = np.concatenate([MASK, np.zeros((3, 2), bool)], 1)
  context, _, _ = _apply(name, h)
  again, _, _ = _apply(name, longer, mask)
  np.testing.assert_allclose(again, context, atol=1e-5)


def test_a_padding_example_is_finite_in_value_and_gradient(name):
  mask = np.zeros((3, 5), bool)

  @functools.partial(jax.value_and_grad, has_aux=True)
  def differentiate(h):
    context, _, _ = _apply(name, h, mask)
    return context.sum(), context

  (_, context), grads = differentiate(_states())
  assert np.isfinite(context).all() and np.isfinite(grads).all()


def test_given_weights_replace_its_own(name):
  h = _states()
  _, weights, _ = _apply(name, h)
  if weights is None:
    with pytest.raises(ValueError, match=f"pooling='{name}' has no weights"):
      _apply(name, h, weights=jnp.ones((3, 1, 5)))
    return
  given = np.zeros(weights.shape, np.float32)
  given[..., 0] = 1
  context, used, _ = _apply(name, h, weights=jnp.asarray(given))
  np.testing.assert_array_equal(used, given)
  own, _, _ = _apply(name, h[:, :1], MASK[:, :1])  # All weight on the first.
  np.testing.assert_allclose(context, own, atol=1e-5)


def test_joined_poolings_concatenate_those_of_their_names():
  h = _states()
  name = 'additive+max+structured+mean'
  context, weights, p = _apply(name, h)
  assert p.keys() == {'additive', 'structured'}  # Those with parameters.
  parts = [
    pooling_of(x).make(None, 4, 3).apply({'params': p.get(x, {})}, h, MASK)
    for x in name.split('+')
  ]
  np.testing.assert_allclose(
    context, np.concatenate([c for c, _ in parts], 1), atol=1e-6
  )
  of_heads = np.concatenate([w for _, w in parts if w is not None], 1)
  np.testing.assert_allclose(weights, of_heads, atol=1e-6)
  names = ['additive', *(f'structured {k}' for k in (1, 2, 3, 4)), 'mean']
  assert pooling_of(name).head_names(4) == names
  assert pooling_of(name).num_weights(4, 2) == weights.shape[1] == 6
  with pytest.raises(ValueError, match=r'1 heads for the 0 of pooling=max\+l'):
    _apply('max+last', h, weights=jnp.ones((3, 1, 5)))


def test_additive_attention_equals_its_formula():
  h = _states()
  context, weights, p = _apply('additive', h)
  scores = np.tanh(h @ p['kernel'] + p['bias']) @ p['query']
  expected = np.exp(scores) * MASK
  expected /= expected.sum(1, keepdims=True)
  np.testing.assert_allclose(weights[:, 0], expected, atol=1e-5)
  np.testing.assert_allclose(
    context, np.einsum('bt,btf->bf', expected, h), atol=1e-5
  )


def test_dot_attention_equals_its_formula():
  h = _states()
  context, weights, p = _apply('dot', h)
  expected = np.exp(h @ p['query'] / 2) * MASK  # sqrt(4) = 2.
  expected /= expected.sum(1, keepdims=True)
  np.testing.assert_allclose(weights[:, 0], expected, atol=1e-5)
  np.testing.assert_allclose(
    context, np.einsum('bt,btf->bf', expected, h), atol=1e-5
  )


def test_each_head_of_multi_head_attention_equals_its_formula():
  h = np.random.default_rng(0).normal(size=(3, 5, 6)).astype(np.float32)
  pooling = MultiHead(num_heads=2)
  (contexts, weights), variables = jax.jit(pooling.init_with_output)(
    jax.random.key(1), h, MASK
  )
  p = variables['params']
  assert contexts.shape == (3, 6) and weights.shape == (3, 2, 5)
  for k in range(2):
    keys = h @ p['key_kernel'][k]
    scores = keys @ p['query'][k] / np.sqrt(3)
    expected = np.exp(scores) * MASK
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(weights[:, k], expected, atol=1e-5)
    values = h @ p['value_kernel'][k]
    np.testing.assert_allclose(
      contexts[:, 3 * k : 3 * k + 3],
      np.einsum('bt,btw->bw', expected, values),
      atol=1e-5,
    )


@pytest.mark.parametrize('heads', [1, 8])
def test_the_initial_scale_does_not_depend_on_the_number_of_heads(heads):
  h = jnp.ones((1, 2, 64))
  variables = MultiHead(heads).init(
    jax.random.key(0), h, jnp.ones((1, 2), bool)
  )
  for name in ('key_kernel', 'value_kernel'):
    std = np.std(variables['params'][name])
    assert std == pytest.approx(64**-0.5, rel=0.05)


def test_heads_must_divide_the_features():
  with pytest.raises(ValueError, match='num_heads=3 does not divide the 4'):
    POOLINGS['multi_head'].make('attention', 3, 2).init(
      jax.random.key(0), jnp.asarray(_states()), MASK
    )


def test_structured_attention_equals_its_formula():
  h = _states()
  contexts, weights, p = _apply('structured', h)
  scores = np.tanh(h @ p['kernel']) @ p['hops_kernel']
  expected = np.exp(scores) * MASK[..., None]
  expected /= expected.sum(1, keepdims=True)
  np.testing.assert_allclose(weights, expected.swapaxes(1, 2), atol=1e-5)
  means = np.einsum('btk,btf->bkf', expected, h)
  np.testing.assert_allclose(contexts, means.reshape(3, -1), atol=1e-5)


def test_mean_max_and_last_equal_their_formulas():
  h = _states()
  mean, _, _ = _apply('mean', h)
  largest, _, _ = _apply('max', h)
  last, _, _ = _apply('last', h)
  for i, n in enumerate(LENGTHS):
    np.testing.assert_allclose(mean[i], h[i, :n].mean(0), atol=1e-5)
    np.testing.assert_array_equal(largest[i], h[i, :n].max(0))
    np.testing.assert_array_equal(last[i, :2], h[i, n - 1, :2])
    np.testing.assert_array_equal(last[i, 2:], h[i, 0, 2:])
