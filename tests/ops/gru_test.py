"""The recurrence against PyTorch, Flax's cells and plain autodiff."""

import functools
import itertools

from flax import linen as nn
import golden
from hypothesis import example, given, settings, strategies as st
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from bigru_jax import parallel
from bigru_jax.interop.torch import gru_from_torch
from bigru_jax.ops import (
  cpu,
  gru,
  gru_cpu,
  gru_pallas,
  gru_reference,
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


# T = 1, B = 1, an empty example, and H beside a whole number of vectors.
EDGES = pytest.mark.parametrize(
  'shape', [(1, 1, 1, 1), (3, 2, 5, 15), (9, 4, 20, 33)]
)
SIZES = st.tuples(*[st.integers(1, 40)] * 4)  # B, T, E and H.


LOOPS = [gru_scan.bidirectional_gru, gru_xla.bidirectional_gru]


@EDGES
@pytest.mark.parametrize('masked', [False, True])
def test_the_loops_equal_the_reference_and_its_autodiff(shape, masked):
  _equal_the_reference(LOOPS, shape, masked)


def test_the_loops_equal_the_reference_in_bfloat16():
  _equal_the_reference(LOOPS, (3, 4, 5, 6), True, jnp.bfloat16, 0.1)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(shape=SIZES, masked=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_the_loops_equal_the_reference_on_random_inputs(shape, masked, seed):
  _equal_the_reference(LOOPS, shape, masked, seed=seed)


KERNELS = [
  functools.partial(gru_cpu.bidirectional_gru, instruction_set=name)
  for name in cpu.instruction_sets()
]
needs_kernel = pytest.mark.skipif(not KERNELS, reason='not compiled')


@needs_kernel
@EDGES
@pytest.mark.parametrize('masked', [False, True])
def test_the_kernel_equals_the_reference_and_its_autodiff(shape, masked):
  _equal_the_reference(KERNELS, shape, masked)


@pytest.mark.slow
@needs_kernel
@settings(deadline=None, max_examples=100)
@given(shape=SIZES, masked=st.booleans(), seed=st.integers(0, 2**31 - 1))
@example(shape=(64, 22, 100, 128), masked=True, seed=0)
def test_the_kernel_equals_the_reference_on_random_inputs(shape, masked, seed):
  _equal_the_reference(KERNELS, shape, masked, seed=seed)


# The kernels for a TPU and for a GPU; interpreting them takes long.
PALLAS = {
  'tpu': functools.partial(gru_pallas.run, gru_pallas.on_tpu, interpret=True),
  'gpu': functools.partial(gru_pallas.run, gru_pallas.on_gpu, interpret=True),
}


@pytest.mark.parametrize('chip', PALLAS)
def test_the_pallas_kernels_equal_the_reference(chip):
  # On a TPU two blocks of steps, on a GPU two blocks of the batch.
  _equal_the_reference([PALLAS[chip]], (20, 10, 3, 20), True)


@pytest.mark.slow
@pytest.mark.parametrize('chip', PALLAS)
@pytest.mark.parametrize('masked', [False, True])
@EDGES
def test_the_pallas_kernels_equal_the_reference_at_edges(chip, masked, shape):
  _equal_the_reference([PALLAS[chip]], shape, masked)
  _equal_the_reference([PALLAS[chip]], shape, masked, jnp.bfloat16, 0.1)


@pytest.fixture
def interpreted_pallas(monkeypatch):
  monkeypatch.setitem(gru.IMPLEMENTATIONS, 'pallas', PALLAS['gpu'])


@pytest.mark.parametrize(
  'launch, time, batch, hidden, dtype, expected',
  [
    (gru_pallas.on_tpu, 24, 64, 100, 'float32', (8, 64, 128)),
    (gru_pallas.on_tpu, 22, 1024, 128, 'bfloat16', (2, 256, 128)),
    (gru_pallas.on_tpu, 24, 64, 512, 'float32', (8, 16, 512)),
    (gru_pallas.on_tpu, 24, 64, 1024, 'bfloat16', None),
    (gru_pallas.on_gpu, 22, 64, 100, 'bfloat16', (22, 16, 128)),
    (gru_pallas.on_gpu, 22, 64, 64, 'float32', (22, 16, 64)),
    (gru_pallas.on_gpu, 22, 64, 128, 'float32', None),
    (gru_pallas.on_gpu, 22, 64, 129, 'bfloat16', None),
  ],
)
def test_blocks_fit_on_the_chip(launch, time, batch, hidden, dtype, expected):
  result = launch(time, batch, hidden, dtype)
  assert (result and result[:3]) == expected


def test_without_a_chip_or_room_on_it_pallas_is_scan():
  x, mask, params = _example()
  expected = bidirectional_gru(x, mask, params, implementation='scan')

  def refused(*sizes):
    return None

  for run in (
    functools.partial(bidirectional_gru, implementation='pallas'),
    lambda *arrays: gru_pallas.run(refused, *arrays, jnp.zeros((2, 4, 4))),
  ):
    for ours, theirs in zip(run(x, mask, params), expected):
      np.testing.assert_array_equal(ours, theirs)


def _equal_the_reference(
  runs, shape, masked, dtype=jnp.float32, tolerance=1e-5, seed=0
):
  """Compares states, final states and gradients, on a ragged mask."""
  batch, time, features, hidden = shape
  rng = np.random.default_rng(seed)

  def draw(*shape):
    scale = shape[-1] ** -0.5 if len(shape) == 3 else 0.5
    return jnp.asarray(rng.normal(size=shape) * scale, dtype)

  lengths = rng.integers(0, time + 1, batch)
  lengths[1:2] = 0
  mask = jnp.arange(time) < lengths[:, None]
  arguments = (
    draw(batch, time, features),
    GRUParams(
      draw(2, 3 * hidden, features),
      draw(2, 3 * hidden, hidden),
      draw(2, 3 * hidden),
      draw(2, hidden),
    ),
    draw(2, batch, hidden),
    jnp.abs(draw(2, batch, hidden)) if masked else None,
  )
  d_states, d_final = draw(batch, time, 2 * hidden), draw(2, batch, hidden)

  def outputs(run):
    return jax.jit(lambda x, *others: run(x, mask, *others))(*arguments)

  def outputs_and_gradients(run):
    def loss(x, *others):
      h, final = run(x, mask, *others)
      terms = (h * d_states).sum() + (final * d_final).sum()
      return terms.astype(jnp.float32), (h, final)

    differentiate = jax.grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    gradients, results = jax.jit(differentiate)(*arguments)
    return results, gradients

  expected = outputs_and_gradients(gru_reference.bidirectional_gru)
  for run in runs:
    # With and without gradients it is another loop.
    for ours in (outputs_and_gradients(run), (outputs(run),)):
      _are_close(ours, expected[: len(ours)], tolerance)


def _are_close(ours, expected, tolerance):
  leaves = zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True)
  for array, wanted in leaves:
    np.testing.assert_allclose(
      np.asarray(array, np.float32),
      np.asarray(wanted, np.float32),
      atol=tolerance * (1 + float(jnp.abs(wanted).max())),
    )


def _example():
  rng = np.random.default_rng(1)

  def draw(*shape):
    return jnp.asarray(rng.normal(size=shape) * 0.5, jnp.float32)

  x = draw(4, 5, 3)
  mask = np.arange(5) < np.array([5, 2, 3, 4])[:, None]
  params = GRUParams(draw(2, 12, 3), draw(2, 12, 4), draw(2, 12), draw(2, 4))
  return x, mask, params


def _loss(params, x, mask, implementation=None):
  h, _ = bidirectional_gru(x, mask, params, implementation=implementation)
  return jnp.sum(h**2)


WITH_DERIVATIVES = [
  'scan',
  'xla',
  None,
  pytest.param('pallas', marks=pytest.mark.slow),
]


@pytest.mark.usefixtures('interpreted_pallas')
@pytest.mark.parametrize('implementation', WITH_DERIVATIVES)
@pytest.mark.parametrize('transform', ['jit', 'remat', 'vmap', 'shard_map'])
def test_the_gradient_composes_with_transformations(transform, implementation):
  if (transform, implementation) == ('shard_map', 'pallas'):
    pytest.skip('JAX does not interpret kernels in shard_map; it compiles them')
  x, mask, params = _example()

  def loss(params, x, mask):
    return _loss(params, x, mask, implementation)

  expected = jax.jit(jax.grad(_loss))(params, x, mask)
  mesh = parallel.make_mesh(batch_size=4)
  if transform == 'jit':
    grad = jax.jit(jax.grad(loss))
  elif transform == 'remat':
    grad = jax.jit(jax.grad(jax.remat(loss)))
  elif transform == 'vmap':
    grad = jax.grad(
      lambda params, x, mask: jax.vmap(
        lambda x, mask: loss(params, x[None], mask[None])
      )(x, mask).sum()
    )
  else:
    x, mask = parallel.place_batch((x, mask), mesh)
    grad = jax.jit(
      jax.grad(
        jax.shard_map(
          lambda *args: jax.lax.psum(loss(*args), parallel.DATA_AXIS),
          mesh=mesh,
          in_specs=(P(), P(parallel.DATA_AXIS), P(parallel.DATA_AXIS)),
          out_specs=P(),
        )
      )
    )
  for ours, theirs in zip(grad(params, x, mask), expected):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('implementation', ['scan', 'xla', None])
def test_second_order_equals_finite_differences(implementation):
  x, mask, params = _example()

  def along(a):
    scaled = jax.tree.map(lambda p: p * a, params)
    return _loss(scaled, x, mask, implementation)

  second = jax.jit(jax.grad(jax.grad(along)))(1.0)
  step = 1e-2
  first = jax.jit(jax.grad(along))
  differences = (first(1 + step) - first(1 - step)) / (2 * step)
  np.testing.assert_allclose(second, differences, rtol=1e-2)


@pytest.mark.usefixtures('interpreted_pallas')
@pytest.mark.parametrize('implementation', WITH_DERIVATIVES)
def test_second_derivatives_equal_those_of_the_reference(implementation):
  x, mask, params = _example()
  start = 0.5 * x.reshape(-1)[:32].reshape(2, 4, 4)

  def penalty(params, x, initial_state, recurrent_mask, implementation):
    """The squared norm of the gradient of a loss by all arguments."""

    def loss(params, x, initial_state, recurrent_mask):
      h, final = bidirectional_gru(
        x,
        mask,
        params,
        initial_state=initial_state,
        recurrent_mask=recurrent_mask,
        implementation=implementation,
      )
      return jnp.sum(h**2) + jnp.sum(final**3)

    gradients = jax.grad(loss, argnums=(0, 1, 2, 3))(
      params, x, initial_state, recurrent_mask
    )
    return sum(jnp.sum(g**2) for g in jax.tree.leaves(gradients))

  differentiate = jax.jit(
    jax.grad(penalty, argnums=(0, 1, 2, 3)), static_argnums=4
  )
  arguments = params, x, start, 1 + start
  ours = differentiate(*arguments, implementation)
  _are_close(ours, differentiate(*arguments, 'reference'), 1e-5)


def test_padding_passes_the_state_through(implementation):
  x, mask, params = _example()
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
  x, mask, params = _example()
  arguments = {'x_BxTxE': x, 'mask_BxT': mask, 'params': params, **change}
  with pytest.raises(ValueError, match=message):
    bidirectional_gru(**arguments)
