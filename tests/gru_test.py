"""The recurrence against PyTorch, Flax's cells and plain autodiff."""

import pathlib

from flax import linen as nn
from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from bigru_jax import gru, sharding


def _golden():
  path = pathlib.Path(__file__).parent / 'golden' / 'gru.npz'
  return np.load(path, allow_pickle=False)


def _from_torch(arrays, prefix, layers):
  """PyTorch's parameters (or gradients) in this module's layout."""
  params = {}
  for layer in range(layers):
    names = [f'l{layer}', f'l{layer}_reverse']

    def stack(kind, names=names):
      return np.stack([arrays[f'{prefix}/{kind}_{name}'] for name in names])

    hidden = stack('weight_hh').shape[-1]
    bias = stack('bias_ih').copy()
    if prefix == 'param':  # Two biases of r and z add up to one.
      bias[:, : 2 * hidden] += stack('bias_hh')[:, : 2 * hidden]
    params[f'input_kernel_{layer}'] = stack('weight_ih')
    params[f'recurrent_kernel_{layer}'] = stack('weight_hh')
    params[f'input_bias_{layer}'] = bias
    params[f'recurrent_bias_{layer}'] = stack('bias_hh')[:, 2 * hidden :]
  return params


def test_equals_torch_with_two_layers_and_ragged_lengths():
  golden = _golden()
  params = _from_torch(golden, 'param', layers=2)
  mask = np.arange(7) < golden['lengths'][:, None]
  module = gru.BiGRU(hidden_size=6, num_layers=2)

  def loss(params, x):
    output = module.apply({'params': params}, x, mask) * mask[:, :, None]
    return jnp.sum(output * golden['loss_weight']), output

  (_, output), (grads, dx) = jax.value_and_grad(
    loss, argnums=(0, 1), has_aux=True
  )(params, golden['x'])
  np.testing.assert_allclose(output, golden['output'], atol=1e-5)
  np.testing.assert_allclose(dx, golden['grad/x'], atol=1e-4)
  for name, expected in _from_torch(golden, 'grad', layers=2).items():
    np.testing.assert_allclose(grads[name], expected, atol=1e-4, err_msg=name)


def test_equals_flax_cells():
  batch, time, size, hidden = 3, 6, 4, 5
  x = jax.random.normal(jax.random.key(0), (batch, time, size))
  lengths = np.array([6, 2, 4])
  rnns = [nn.RNN(nn.GRUCell(hidden)), nn.RNN(nn.GRUCell(hidden))]
  variables = [
    rnn.init(jax.random.key(i), x)['params']['cell']
    for i, rnn in enumerate(rnns)
  ]
  outputs = [
    rnn.apply(
      {'params': {'cell': v}}, x, seq_lengths=lengths,
      reverse=reverse, keep_order=True,
    )
    for rnn, v, reverse in zip(rnns, variables, (False, True))
  ]  # fmt: skip

  def stack(kind, gates, field):
    return np.stack(
      [
        np.concatenate([v[f'{kind}{g}'][field].T for g in gates])
        for v in variables
      ]
    )

  params = {
    'input_kernel_0': stack('i', 'rzn', 'kernel'),
    'recurrent_kernel_0': stack('h', 'rzn', 'kernel'),
    'input_bias_0': stack('i', 'rzn', 'bias'),
    'recurrent_bias_0': stack('h', 'n', 'bias'),
  }
  mask = np.arange(time) < lengths[:, None]
  ours = gru.BiGRU(hidden).apply({'params': params}, x, mask)
  expected = np.concatenate(outputs, -1)
  np.testing.assert_allclose(
    ours * mask[..., None], expected * mask[..., None], atol=1e-6
  )


def _plain(p, mask, w, b, b_n, scale):
  """The cell of the module's docstring, a step at a time, for autodiff."""
  outputs = []
  for d, order in enumerate([range(len(mask)), reversed(range(len(mask)))]):
    h = jnp.zeros_like(p[d, 0, :, 0])
    states = {}
    for t in order:
      g = w[d] @ (h if scale is None else h * scale[d])
      gr, gz, gn = jnp.split(g, 3)
      br, bz, bn = jnp.split(b[d][:, None], 3)
      r = jax.nn.sigmoid(p[d, 0, :, t] + br + gr)
      z = jax.nn.sigmoid(p[d, 1, :, t] + bz + gz)
      n = jnp.tanh(p[d, 2, :, t] + bn + r * (gn + b_n[d][:, None]))
      h = jnp.where(mask[t], (1 - z) * n + z * h, h)
      states[t] = h
    outputs.append(jnp.stack([states[t] for t in range(len(mask))], axis=1))
  return tuple(outputs)


@settings(deadline=None, max_examples=12)
@given(
  time=st.integers(1, 5),
  hidden=st.integers(1, 4),
  batch=st.integers(1, 3),
  scaled=st.booleans(),
  bfloat16=st.booleans(),
  seed=st.integers(0, 2**31 - 1),
)
def test_equals_the_cell_and_its_autodiff(
  time, hidden, batch, scaled, bfloat16, seed
):
  rng = np.random.default_rng(seed)
  dtype, tolerance = (jnp.bfloat16, 0.1) if bfloat16 else (jnp.float32, 1e-5)

  def draw(*shape):
    return jnp.asarray(rng.normal(size=shape) * 0.5, dtype)

  mask = np.arange(time)[:, None] < rng.integers(0, time + 1, batch)
  p = draw(2, 3, hidden, time, batch)
  parameters = (
    draw(2, 3 * hidden, hidden),
    draw(2, 3 * hidden),
    draw(2, hidden),
    jnp.abs(draw(2, hidden, batch)) if scaled else None,
  )
  weights = draw(2, hidden, time, batch)

  def grads(function):
    def loss(p, parameters):
      states = jnp.stack(function(p, mask, *parameters))
      return jnp.sum((states * weights).astype(jnp.float32))

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return jax.tree.leaves(gradient(p, parameters))

  def ours_of(p, *parameters):
    states = gru.recurrence(p.reshape(-1, time, batch), *parameters)
    return states.reshape(weights.shape)

  # Without gradients it is another loop.
  states = [jnp.stack(f(p, mask, *parameters)) for f in (ours_of, _plain)]
  pairs = zip(grads(ours_of), grads(_plain), strict=True)
  for ours, expected in (states, *pairs):
    np.testing.assert_allclose(
      np.asarray(ours, np.float32),
      np.asarray(expected, np.float32),
      atol=tolerance * (1 + float(jnp.abs(expected).max())),
    )


def _example():
  x = jax.random.normal(jax.random.key(1), (4, 5, 3))
  mask = np.arange(5) < np.array([5, 2, 3, 4])[:, None]
  module = gru.BiGRU(hidden_size=4, num_layers=2)
  params = module.init(jax.random.key(2), x, mask)

  def loss(params, x, mask):
    return jnp.sum(module.apply(params, x, mask) ** 2)

  return loss, params, x, mask


def _assert_trees_close(ours, expected):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    ours,
    expected,
  )


@pytest.mark.parametrize('transform', ['jit', 'remat', 'vmap', 'shard_map'])
def test_composes(transform):
  loss, params, x, mask = _example()
  expected = jax.grad(loss)(params, x, mask)
  mesh = sharding.make_mesh(batch_size=4)
  by_transform = {
    'jit': lambda: jax.jit(jax.grad(loss)),
    'remat': lambda: jax.grad(jax.remat(loss)),
    'vmap': lambda: (
      lambda *args: jax.grad(
        lambda params, x, mask: jax.vmap(
          lambda x, mask: loss(params, x[None], mask[None])
        )(x, mask).sum()
      )(*args)
    ),
    'shard_map': lambda: jax.jit(
      jax.grad(
        jax.shard_map(
          lambda *args: jax.lax.psum(loss(*args), 'data'),
          mesh=mesh,
          in_specs=(P(), P('data'), P('data')),
          out_specs=P(),
        )
      )
    ),
  }
  if transform == 'shard_map':
    x, mask = sharding.place_batch((x, mask), mesh)
  _assert_trees_close(by_transform[transform]()(params, x, mask), expected)


def test_second_order_equals_finite_differences():
  loss, params, x, mask = _example()

  def along(a):
    return loss(jax.tree.map(lambda p: p * a, params), x, mask)

  second = jax.jit(jax.grad(jax.grad(along)))(1.0)
  step = 1e-2
  first = jax.jit(jax.grad(along))
  differences = (first(1 + step) - first(1 - step)) / (2 * step)
  np.testing.assert_allclose(second, differences, rtol=1e-2)


def test_recurrent_dropout_scales_the_state_in_training_alone():
  loss_x = jnp.ones((2, 4, 3))
  mask = np.ones((2, 4), bool)
  module = gru.BiGRU(hidden_size=8, recurrent_dropout=0.5)
  params = module.init(jax.random.key(0), loss_x, mask)
  quiet = module.apply(params, loss_x, mask)
  noisy = module.apply(
    params, loss_x, mask, jax.random.split(jax.random.key(1), 2)
  )
  # The first step of each direction has no state to drop.
  np.testing.assert_allclose(noisy[:, 0, :8], quiet[:, 0, :8], rtol=1e-6)
  assert not np.allclose(noisy[:, 1], quiet[:, 1])


def test_padding_passes_the_state_through():
  _, params, x, mask = _example()
  module = gru.BiGRU(hidden_size=4, num_layers=2)
  h = np.asarray(module.apply(params, x, mask))
  np.testing.assert_array_equal(h[1, 2, :4], h[1, 1, :4])
  np.testing.assert_array_equal(h[1, 4, :4], h[1, 1, :4])
  np.testing.assert_array_equal(h[1, 2:, 4:], 0)
