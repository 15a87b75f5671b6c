"""Data parallelism: the mesh, its sharding rules, and gradients over it."""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np
import pytest

from bigru_jax import parallel


def _mesh(count):
  return Mesh(np.array(jax.devices()[:count]), (parallel.DATA_AXIS,))


def test_a_batch_that_the_devices_do_not_divide_is_refused():
  with pytest.raises(ValueError, match='batch_size=6 is not a multiple of'):
    parallel.make_mesh(6)


def test_embedding_tables_are_sharded_by_columns_wherever_they_are():
  tree = {
    'params': {'embedding': np.ones((5, 8)), 'kernel': np.ones((8, 8))},
    'moments': ({'embedding': np.ones((5, 8))}, np.ones(3)),
    'odd': {'embedding': np.ones((5, 6))},
  }
  specs = parallel.partition_specs(tree, _mesh(4))
  by_columns = P(None, parallel.DATA_AXIS)
  assert specs['params'] == {'embedding': by_columns, 'kernel': P()}
  assert specs['moments'] == ({'embedding': by_columns}, P())
  assert specs['odd'] == {'embedding': P()}  # 4 does not divide 6.
  assert parallel.partition_specs(tree, _mesh(1))['params']['embedding'] == P()


@pytest.mark.parametrize('with_unlabelled', [False, True])
@pytest.mark.parametrize('count', [1, 2, 4])
def test_value_and_grad_are_those_of_the_weighted_mean(count, with_unlabelled):
  rng = np.random.default_rng(0)
  params = {'w': jnp.asarray(rng.normal(size=(3,)), jnp.float32)}
  batch = {
    'x': jnp.asarray(rng.normal(size=(8, 3)), jnp.float32),
    'weights': jnp.array([1.0, 2.0, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0]),
  }

  if with_unlabelled:  # Equal weights with the same sum.
    x = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
    batch['unlabelled'] = {'x': x, 'weights': jnp.full(8, 6.5 / 8)}

  def loss_fn(params, batch, keys_B):
    noise = jax.vmap(lambda key: jax.random.normal(key))(keys_B)
    y = batch['x'] @ params['w'] + noise
    losses = y**2
    if with_unlabelled:
      texts = batch['unlabelled']
      losses = jnp.concatenate([losses, jnp.cos(texts['x'] @ params['w'])])
    return losses, y

  def mean(params):
    losses, _ = loss_fn(params, batch, keys)
    return jnp.average(losses[:8], weights=batch['weights']) + (
      losses[8:].mean() if with_unlabelled else 0
    )

  keys = jax.random.split(jax.random.key(0), 8)
  loss, grads = jax.value_and_grad(mean)(params)
  sharded = jax.jit(parallel.value_and_grad(loss_fn, _mesh(count)))
  loss_n, grads_n = sharded(params, batch, keys)
  np.testing.assert_allclose(loss_n, loss, rtol=1e-6)
  np.testing.assert_allclose(grads_n['w'], grads['w'], rtol=1e-5)
