"""Masked softmax and additive attention against SciPy and the formula."""

import functools

from hypothesis import example, given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from bigru_jax.ops import attention_cpu, attention_reference, cpu
from bigru_jax.ops.attention import additive_attention, masked_softmax


@settings(deadline=None, max_examples=30)
@given(
  lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
  axis=st.sampled_from([0, 1]),
  shift=st.sampled_from([0.0, 300.0, -300.0]),
)
def test_equals_scipy_on_the_valid_positions(lengths, axis, shift):
  rng = np.random.default_rng(sum(lengths))
  scores = rng.normal(size=(len(lengths), 6)) * 5 + shift
  mask = np.arange(6) < np.array(lengths)[:, None]
  arrays = (scores, mask) if axis else (scores.T, mask.T)
  weights = masked_softmax(*map(jnp.asarray, arrays), axis=axis)
  weights = np.asarray(weights if axis else weights.T)
  for row, length in enumerate(lengths):
    expected = softmax(scores[row, :length])
    np.testing.assert_allclose(weights[row, :length], expected, atol=1e-5)
    np.testing.assert_array_equal(weights[row, length:], 0)


def test_without_a_valid_position_all_weights_are_zero():
  weights = masked_softmax(jnp.ones((1, 3)), jnp.zeros((1, 3), bool))
  np.testing.assert_array_equal(weights, 0)


IMPLEMENTATIONS = {
  'reference': attention_reference.additive_attention,
  **{
    name: functools.partial(
      attention_cpu.additive_attention, instruction_set=name
    )
    for name in cpu.instruction_sets()
  },
}


def _draw(batch, time, features, attention_features, seed):
  rng = np.random.default_rng(seed)
  shapes = [
    (batch, time, features),
    (features, attention_features),
    (attention_features,),
    (attention_features,),
  ]
  h, *params = (rng.normal(size=s).astype(np.float32) / 2 for s in shapes)
  params[0] *= features**-0.5
  mask = rng.random((batch, time)) < rng.random((batch, 1)) * 1.3
  return h, mask, *params


def _by_numpy(h, mask, kernel, bias, query):
  scores = np.tanh(h.astype(np.float64) @ kernel + bias) @ query
  weights = np.zeros(mask.shape)
  for row, real in enumerate(mask):
    if real.any():
      weights[row, real] = softmax(scores[row, real])
  return np.einsum('bt,btf->bf', weights, h), weights


SIZES = {
  'batch': st.integers(1, 40),
  'time': st.integers(1, 40),
  'features': st.integers(1, 70),
  'attention_features': st.integers(1, 70),
  'seed': st.integers(0, 2**31 - 1),
}


@pytest.mark.parametrize('name', IMPLEMENTATIONS)
@settings(deadline=None, max_examples=2)
@given(**SIZES)
@example(batch=64, time=22, features=256, attention_features=256, seed=0)
def test_additive_attention_is_the_formula(name, **sizes):
  arguments = _draw(**sizes)
  found = IMPLEMENTATIONS[name](*map(jnp.asarray, arguments))
  for ours, expected in zip(found, _by_numpy(*arguments)):
    np.testing.assert_allclose(ours, expected, atol=1e-5)
  np.testing.assert_array_equal(found[1][~arguments[1]], 0)


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
@settings(deadline=None, max_examples=2)
@given(**SIZES)
@example(batch=64, time=22, features=256, attention_features=256, seed=0)
def test_the_kernel_has_the_gradients_of_the_reference(**sizes):
  h, mask, *params = map(jnp.asarray, _draw(**sizes))
  of_context, of_weights = _draw(**sizes | {'seed': 1})[0][:, 0], mask * 0.7

  def gradients(run):
    def loss(h, *params):
      context, weights = run(h, mask, *params)
      return (context * of_context).sum() + (weights**2 * of_weights).sum()

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(h, *params)

  expected = gradients(IMPLEMENTATIONS['reference'])
  for name in cpu.instruction_sets():
    for ours, theirs in zip(gradients(IMPLEMENTATIONS[name]), expected):
      scale = 1 + float(jnp.abs(theirs).max())
      np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale)


def _loss(implementation, h, mask, *params):
  run = functools.partial(additive_attention, implementation=implementation)
  context, weights = run(h, mask, *params)
  return (context**2).sum() + (weights**2).sum()


@pytest.mark.parametrize('transform', ['jit', 'vmap', 'hessian'])
def test_additive_attention_composes(transform):
  h, mask, *params = map(jnp.asarray, _draw(4, 5, 6, 3, seed=2))

  def transformed(implementation):
    loss = functools.partial(_loss, implementation)
    if transform == 'hessian':
      reverse = jax.jacrev(jax.grad(loss, argnums=4), argnums=(0, 2, 3, 4))
      return reverse(h, mask, *params)
    if transform == 'vmap':
      every = jax.vmap(
        lambda h, mask, *params: loss(h[None], mask[None], *params),
        (0, 0, None, None, None),
      )
      return jax.grad(lambda *a: every(*a).sum(), argnums=(0, 2, 3, 4))(
        h, mask, *params
      )
    return jax.jit(jax.grad(loss, argnums=(0, 2, 3, 4)))(h, mask, *params)

  for ours, expected in zip(transformed(None), transformed('reference')):
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize(
  'change, message',
  [
    ({'h_BxTxF': jnp.ones((4, 6, 6))}, r'h_BxTxF has shape \(4, 6, 6\)'),
    ({'kernel_FxA': jnp.ones((5, 3))}, r'kernel_FxA has shape \(5, 3\)'),
    ({'bias_A': jnp.ones(4)}, r'bias_A has shape \(4,\); expected \(3,\)'),
    ({'mask_BxT': jnp.ones((4, 5))}, 'mask_BxT is float32; expected bool'),
    ({'implementation': 'cuda'}, "'cuda': choose cpu, reference or None"),
  ],
)
def test_names_what_does_not_fit(change, message):
  names = ['h_BxTxF', 'mask_BxT', 'kernel_FxA', 'bias_A', 'query_A']
  arguments = dict(zip(names, map(jnp.asarray, _draw(4, 5, 6, 3, seed=2))))
  with pytest.raises(ValueError, match=message):
    additive_attention(**{**arguments, **change})
