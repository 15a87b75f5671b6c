"""The recurrence against PyTorch, Flax's cells and plain autodiff."""

import functools
import itertools

from flax import linen as nn
import golden
from gru_cases import (
  EDGES,
  KERNEL_TOLERANCES,
  TRANSFORMS,
  check_second_derivatives,
  check_transformed_gradient,
  equal_the_reference,
  in_dtype,
  small_layer,
  sum_of_squares,
)
from hypothesis import example, given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.interop.torch import gru_from_torch
from bigru_jax.ops import (
  cpu,
  gru_cpu,
  gru_scan,
  gru_xla,
)
from bigru_jax.ops.gru import GRUParams, bidirectional_gru


@pytest.fixture(params=['reference', 'scan', 'xla', None])
def implementation(request):
  """None is the C++ kernel where it is compiled."""
  return request.param


def _golden_layers(results, prefix):
  """The parameters (or gradients) of PyTorch's two layers as `GRUParams`."""
  state = {
    name.removeprefix(prefix): value
    for name, value in results.items()
    if name.startswith(prefix) and name != 'grad/x'
  }
  if prefix == 'grad/':  # A sum of two biases has the gradient of either.
    for layer, direction in itertools.product((0, 1), ('', '_reverse')):
      bias = state[f'bias_hh_l{layer}{direction}']
      bias[: len(bias) * 2 // 3] = 0
  values = list(gru_from_torch(state).values())
  return [GRUParams(*values[:4]), GRUParams(*values[4:])]


def test_equals_torch_with_two_layers_and_ragged_lengths(implementation):
  results = golden.read('gru')
  layers = _golden_layers(results, 'param/')
  mask = np.arange(7) < results['lengths'][:, None]

  def loss(layers, x):
    for params in layers:
      x, _ = bidirectional_gru(x, mask, params, implementation=implementation)
    output = x * mask[:, :, None]
    return jnp.sum(output * results['loss_weight']), output

  differentiate = jax.jit(
    jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
  )
  (_, output), (grads, dx) = differentiate(layers, results['x'])
  np.testing.assert_allclose(output, results['output'], atol=1e-5)
  np.testing.assert_allclose(dx, results['grad/x'], atol=1e-4)
  for ours, expected in zip(grads, _golden_layers(results, 'grad/')):
    for name, a, b in zip(GRUParams._fields, ours, expected):
      np.testing.assert_allclose(a, b, atol=1e-4, err_msg=name)


def test_equals_flax_cells_with_initial_and_final_states(implementation):
  batch, time, size, hidden = 3, 6, 4, 5
  x = jax.random.normal(jax.random.key(0), (batch, time, size))
  start = jax.random.normal(jax.random.key(9), (2, batch, hidden))
  lengths = np.array([6, 2, 4])
  outputs, finals, cells = [], [], []
  for d, reverse in enumerate((False, True)):
    rnn = nn.RNN(nn.GRUCell(hidden), return_carry=True, reverse=reverse,
                 keep_order=True)  # fmt: skip
    variables = rnn.init(jax.random.key(d), x)
    final, output = rnn.apply(
      variables, x, seq_lengths=lengths, initial_carry=start[d]
    )
    outputs.append(output)
    finals.append(final)
    cells.append(variables['params']['cell'])

  def stack(kind, gates, field):
    by_cell = [[c[f'{kind}{g}'][field].T for g in gates] for c in cells]
    return np.stack([np.concatenate(gates) for gates in by_cell])

  params = GRUParams(
    stack('i', 'rzn', 'kernel'),
    stack('h', 'rzn', 'kernel'),
    stack('i', 'rzn', 'bias'),
    stack('h', 'n', 'bias'),
  )
  mask = np.arange(time) < lengths[:, None]
  h, final = bidirectional_gru(
    x, mask, params, initial_state=start, implementation=implementation
  )
  expected = np.concatenate(outputs, -1)
  np.testing.assert_allclose(
    h * mask[..., None], expected * mask[..., None], atol=1e-6
  )
  np.testing.assert_allclose(final, np.stack(finals), atol=1e-6)


SIZES = st.tuples(*[st.integers(1, 40)] * 4)  # B, T, E and H.


LOOPS = [gru_scan.bidirectional_gru, gru_xla.bidirectional_gru]


@EDGES
@pytest.mark.parametrize('masked', [False, True])
def test_the_loops_equal_the_reference_and_its_autodiff(shape, masked):
  equal_the_reference(LOOPS, shape, masked)


def test_the_loops_equal_the_reference_in_bfloat16():
  equal_the_reference(LOOPS, (3, 4, 5, 6), True, jnp.bfloat16, 0.1)


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(shape=SIZES, masked=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_the_loops_equal_the_reference_on_random_inputs(shape, masked, seed):
  equal_the_reference(LOOPS, shape, masked, seed=seed)


WITH_KERNEL = pytest.mark.parametrize(
  'dtype',
  [
    pytest.param(
      dtype,
      marks=pytest.mark.skipif(
        not cpu.instruction_sets(dtype), reason='not compiled, or another CPU'
      ),
    )
    for dtype in cpu.DTYPES
  ],
)


def _kernels_equal_the_reference(dtype, shape, masked, seed=0):
  kernels = [
    functools.partial(gru_cpu.bidirectional_gru, instruction_set=name)
    for name in cpu.instruction_sets(dtype)
  ]
  tolerance = KERNEL_TOLERANCES[dtype]
  equal_the_reference(kernels, shape, masked, dtype, tolerance, seed)


@WITH_KERNEL
@EDGES
@pytest.mark.parametrize('masked', [False, True])
def test_the_kernel_equals_the_reference_and_its_autodiff(dtype, shape, masked):
  _kernels_equal_the_reference(dtype, shape, masked)


@pytest.mark.slow
@WITH_KERNEL
@settings(deadline=None, max_examples=30, derandomize=True)
@given(shape=SIZES, masked=st.booleans(), seed=st.integers(0, 2**31 - 1))
@example(shape=(64, 22, 100, 128), masked=True, seed=0)
@example(shape=(20, 38, 16, 2), masked=True, seed=409)
@example(shape=(26, 34, 1, 1), masked=True, seed=0)
def test_the_kernel_equals_the_reference_on_random_inputs(
  dtype, shape, masked, seed
):
  _kernels_equal_the_reference(dtype, shape, masked, seed)


@WITH_KERNEL
def test_second_derivatives_in_the_dtype_of_a_kernel(dtype):
  # XLA computes them, and rounds more in bfloat16 than the kernel does.
  tolerance = 1e-5 if dtype == 'float32' else 0.1
  check_second_derivatives('cpu', dtype, tolerance)


WITH_DERIVATIVES = ['scan', 'xla', None]


@pytest.mark.parametrize('implementation', WITH_DERIVATIVES)
@pytest.mark.parametrize('transform', TRANSFORMS)
def test_the_gradient_composes_with_transformations(transform, implementation):
  check_transformed_gradient(transform, implementation)


@WITH_KERNEL
@pytest.mark.parametrize('transform', TRANSFORMS)
def test_the_gradient_of_a_kernel_composes_in_its_dtype(transform, dtype):
  check_transformed_gradient(transform, 'cpu', dtype)


@pytest.mark.parametrize('implementation', WITH_DERIVATIVES)
def test_second_derivatives_equal_those_of_the_reference(implementation):
  check_second_derivatives(implementation)


@pytest.mark.parametrize('implementation', WITH_DERIVATIVES)
def test_second_order_equals_finite_differences(implementation):
  x, mask, params = small_layer()

  def along(a):
    scaled = jax.tree.map(lambda p: p * a, params)
    return sum_of_squares(scaled, x, mask, implementation)

  second = jax.jit(jax.grad(jax.grad(along)))(1.0)
  step = 1e-2
  first = jax.jit(jax.grad(along))
  differences = (first(1 + step) - first(1 - step)) / (2 * step)
  np.testing.assert_allclose(second, differences, rtol=1e-2)


@pytest.mark.parametrize('dtype', cpu.DTYPES)
def test_padding_passes_the_state_through(implementation, dtype):
  x, mask, params = small_layer()
  x, params = in_dtype((x, params), dtype)
  h, final = bidirectional_gru(x, mask, params, implementation=implementation)
  np.testing.assert_array_equal(h[1, 2, :4], h[1, 1, :4])
  np.testing.assert_array_equal(h[1, 4, :4], h[1, 1, :4])
  np.testing.assert_array_equal(h[1, 2:, 4:], 0)
  np.testing.assert_array_equal(final[0], h[:, -1, :4])
  np.testing.assert_array_equal(final[1], h[:, 0, 4:])


@pytest.mark.parametrize(
  'change, message',
  [
    ({'x_BxTxE': jnp.ones((4, 3))}, r'x_BxTxE has shape \(4, 3\)'),
    ({'mask_BxT': np.ones((5, 4), bool)}, r'mask_BxT has shape \(5, 4\)'),
    ({'mask_BxT': np.ones((4, 5))}, 'mask_BxT is float64; expected bool'),
    ({'x_BxTxE': jnp.ones((4, 5, 2))}, 'w_input_DxGxE has shape'),
    ({'recurrent_mask': jnp.ones((2, 4, 5))}, 'recurrent_mask has shape'),
    ({'initial_state': jnp.ones((2, 5, 4))}, 'initial_state has shape'),
    (
      {'implementation': 'cuda'},
      "implementation='cuda': choose cpu, pallas, reference",
    ),
  ],
)
def test_wrong_arguments_are_named(change, message):
  x, mask, params = small_layer()
  arguments = {'x_BxTxE': x, 'mask_BxT': mask, 'params': params, **change}
  with pytest.raises(ValueError, match=message):
    bidirectional_gru(**arguments)
