"""The Flax layer: carries, dropout and its rngs."""

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.models.bigru import BiGRU


def _example(batch=3, time=5):
  x = jax.random.normal(jax.random.key(1), (batch, time, 4))
  mask = np.arange(time) < np.array([5, 2, 3])[:batch, None]
  return x, mask


def test_a_carry_continues_where_the_last_call_stopped():
  x, _ = _example()
  layer = BiGRU(hidden_size=6)
  variables = layer.init(jax.random.key(0), x)
  whole = layer.apply(variables, x)
  carry, first = layer.apply(variables, x[:, :2], return_carry=True)
  second = layer.apply(variables, x[:, 2:], initial_carry=carry)
  assert carry.shape == (1, 2, 3, 6)
  np.testing.assert_allclose(first[..., :6], whole[:, :2, :6], atol=1e-6)
  np.testing.assert_allclose(second[..., :6], whole[:, 2:, :6], atol=1e-6)


def test_the_carry_holds_every_layers_final_states():
  x, mask = _example()
  layer = BiGRU(hidden_size=6, num_layers=2)
  variables = layer.init(jax.random.key(0), x)
  carry, h = layer.apply(variables, x, mask, return_carry=True)
  assert carry.shape == (2, 2, 3, 6)
  for i, length in enumerate([5, 2, 3]):
    np.testing.assert_array_equal(carry[1, 0, i], h[i, length - 1, :6])
    np.testing.assert_array_equal(carry[1, 1, i], h[i, 0, 6:])


def test_without_a_mask_all_positions_are_real():
  x, _ = _example()
  layer = BiGRU(hidden_size=6)
  variables = layer.init(jax.random.key(0), x)
  np.testing.assert_array_equal(
    layer.apply(variables, x),
    layer.apply(variables, x, np.ones((3, 5), bool)),
  )


def test_recurrent_dropout_keeps_one_mask_over_the_sequence():
  # With orthogonal recurrent weights zero but for h's own bias gate, the state
  # cannot show the mask, so it is read off the gradient: a dropped unit's
  # recurrent weights get none from any position.
  x = jnp.ones((1, 6, 4))
  layer = BiGRU(hidden_size=8, recurrent_dropout=0.5)
  variables = layer.init(jax.random.key(0), x)
  keys = jax.random.split(jax.random.key(5), 1)

  def loss(variables):
    return jnp.sum(layer.apply(variables, x, dropout_keys_B=keys) ** 2)

  grads = jax.grad(loss)(variables)['params']['recurrent_kernel_0']
  dropped = np.all(np.asarray(grads) == 0, axis=1)  # [D, H]
  assert 0 < dropped.sum() < dropped.size
  assert not (dropped[0] == dropped[1]).all()
  quiet = jax.grad(lambda v: jnp.sum(layer.apply(v, x) ** 2))(variables)
  assert not np.all(quiet['params']['recurrent_kernel_0'] == 0, axis=1).any()


def test_dropout_is_active_only_with_keys_or_rngs():
  x, mask = _example()
  layer = BiGRU(hidden_size=6, num_layers=2, dropout=0.5)
  variables = layer.init(jax.random.key(0), x)
  quiet = layer.apply(variables, x, mask)
  rngs = {'dropout': jax.random.key(3)}
  noisy = layer.apply(variables, x, mask, rngs=rngs)
  again = layer.apply(variables, x, mask, rngs=rngs)
  keys = jax.random.split(jax.random.key(4), 3)
  keyed = layer.apply(variables, x, mask, dropout_keys_B=keys)
  np.testing.assert_array_equal(noisy, again)
  assert not np.allclose(quiet, noisy)
  assert not np.allclose(quiet, keyed)


def test_the_gates_of_a_kernel_are_initialized_separately():
  variables = BiGRU(hidden_size=6).init(jax.random.key(0), jnp.ones((1, 1, 4)))
  kernel = np.asarray(variables['params']['recurrent_kernel_0'])
  for gate in kernel.reshape(6, 6, 6):
    np.testing.assert_allclose(gate @ gate.T, np.eye(6), atol=1e-5)
