"""Masked softmax and additive attention, against SciPy and the formula."""

import functools

from gru_cases import KERNEL_TOLERANCES
from hypothesis import example, given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from bigru_jax.ops import attention_cpu, attention_reference, cpu
from bigru_jax.ops.attention import additive_attention, masked_softmax


@pytest.mark.parametrize('lengths', [[1], [6, 1, 3]])
@pytest.mark.parametrize('axis', [0, 1])
@pytest.mark.parametrize('shift', [0.0, 300.0, -300.0])
def test_masked_softmax_equals_scipys_on_the_valid_positions(
  lengths, axis, shift
):
  rng = np.random.default_rng(sum(lengths))
  scores = rng.normal(size=(len(lengths), 6)) * 5 + shift
  mask = np.arange(6) < np.array(lengths)[:, None]
  arrays = (scores, mask) if axis else (scores.T, mask.T)
  weights = masked_softmax(*map(jnp.asarray, arrays), axis=axis)
  weights = np.asarray(weights if axis else weights.T)
  for i, length in enumerate(lengths):
    expected = softmax(scores[i, :length])
    np.testing.assert_allclose(weights[i, :length], expected, atol=1e-5)
    np.testing.assert_array_equal(weights[i, length:], 0)


def test_without_a_valid_position_all_weights_are_zero():
  weights = masked_softmax(jnp.ones((1, 3)), jnp.zeros((1, 3), bool))
  np.testing.assert_array_equal(weights, 0)


# The kernels by instruction set, each with its dtype.
KERNELS = {
  name: dtype for dtype in cpu.DTYPES for name in cpu.instruction_sets(dtype)
}
IMPLEMENTATIONS = {
  'reference': attention_reference.additive_attention,
  **{
    name: functools.partial(
      attention_cpu.additive_attention, instruction_set=name
    )
    for name in KERNELS
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
  mask[1:2] = False  # An example without a real position.
  return h, mask, *params


def _in_dtype_of(name, arrays):
  """Rounds floats to the dtype of an implementation."""
  dtype = KERNELS.get(name, 'float32')
  return [x if x.dtype == bool else x.astype(dtype) for x in arrays]


def _by_numpy(h, mask, kernel, bias, query):
  scores = np.tanh(h @ kernel + bias) @ query
  weights = np.zeros(mask.shape)
  for i, real in enumerate(mask):
    if real.any():
      weights[i, real] = softmax(scores[i, real])
  return np.einsum('bt,btf->bf', weights, h), weights


# T = 1, B = 1, and A beside a whole number of vectors of floats.
EDGES = pytest.mark.parametrize(
  'sizes', [(1, 1, 1, 1), (5, 3, 17, 15), (9, 22, 33, 65)]
)
AT_RANDOM = given(
  sizes=st.tuples(*[st.integers(1, 70)] * 4), seed=st.integers(0, 2**31 - 1)
)
LARGE = example(sizes=(64, 22, 256, 256), seed=0)


@pytest.mark.parametrize('name', IMPLEMENTATIONS)
@EDGES
def test_additive_attention_equals_its_formula(name, sizes):
  _equals_the_formula(name, sizes)


@pytest.mark.slow
@pytest.mark.parametrize('name', IMPLEMENTATIONS)
@settings(deadline=None, max_examples=25)
@AT_RANDOM
@LARGE
def test_additive_attention_equals_its_formula_at_random(name, sizes, seed):
  _equals_the_formula(name, sizes, seed)


def _equals_the_formula(name, sizes, seed=0):
  arguments = _in_dtype_of(name, _draw(*sizes, seed=seed))
  outputs = jax.jit(IMPLEMENTATIONS[name])(*arguments)
  in_float64 = [x if x.dtype == bool else np.float64(x) for x in arguments]
  # The context is rounded once, to 8 bits.
  tolerance = 2**-8 if KERNELS.get(name) == 'bfloat16' else 1e-5
  for ours, expected in zip(outputs, _by_numpy(*in_float64)):
    scale = 1 + np.abs(expected).max()
    np.testing.assert_allclose(
      np.float64(ours), expected, atol=tolerance * scale, rtol=0
    )
  np.testing.assert_array_equal(outputs[1][~arguments[1]], 0)


@pytest.mark.parametrize('name', KERNELS)
@EDGES
def test_the_kernel_has_the_gradients_of_the_reference(name, sizes):
  _has_the_gradients_of_the_reference(name, sizes)


@pytest.mark.slow
@pytest.mark.parametrize('name', KERNELS)
@settings(deadline=None, max_examples=25)
@AT_RANDOM
@LARGE
def test_the_kernel_has_the_gradients_of_the_reference_at_random(
  name, sizes, seed
):
  _has_the_gradients_of_the_reference(name, sizes, seed)


def _has_the_gradients_of_the_reference(name, sizes, seed=0):
  arguments = _in_dtype_of(name, map(jnp.asarray, _draw(*sizes, seed=seed)))
  mask = arguments.pop(1)
  d_context, d_weights = _draw(*sizes, seed=1)[0][:, 0], mask * 0.7

  def gradients(run, arguments):
    def loss(h, *params):
      context, weights = run(h, mask, *params)
      return (context * d_context).sum() + (weights**2 * d_weights).sum()

    return jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*arguments)

  expected = gradients(
    IMPLEMENTATIONS['reference'], [x.astype(jnp.float32) for x in arguments]
  )
  tolerance = KERNEL_TOLERANCES[KERNELS[name]]
  for ours, theirs in zip(
    gradients(IMPLEMENTATIONS[name], arguments), expected
  ):
    scale = 1 + float(jnp.abs(theirs).max())
    np.testing.assert_allclose(
      ours.astype(jnp.float32), theirs, atol=tolerance * scale
    )


def _loss(implementation, h, mask, *params):
  run = functools.partial(additive_attention, implementation=implementation)
  context, weights = run(h, mask, *params)
  return (context**2).sum() + (weights**2).sum()


@pytest.mark.parametrize('transform', ['jit', 'vmap', 'hessian'])
def test_additive_attention_composes_with_transformations(transform):
  h, mask, *params = map(jnp.asarray, _draw(4, 5, 6, 3, seed=2))

  def transformed(implementation):
    loss = functools.partial(_loss, implementation)
    if transform == 'hessian':
      reverse = jax.jacrev(jax.grad(loss, argnums=4), argnums=(0, 2, 3, 4))
      return reverse(h, mask, *params)
    if transform == 'vmap':
      losses = jax.vmap(
        lambda h, mask, *params: loss(h[None], mask[None], *params),
        (0, 0, None, None, None),
      )
      return jax.grad(lambda *a: losses(*a).sum(), argnums=(0, 2, 3, 4))(
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
def test_a_wrong_argument_is_named(change, message):
  names = ['h_BxTxF', 'mask_BxT', 'kernel_FxA', 'bias_A', 'query_A']
  arguments = dict(zip(names, map(jnp.asarray, _draw(4, 5, 6, 3, seed=2))))
  with pytest.raises(ValueError, match=message):
    additive_attention(**{**arguments, **change})
