"""Lookup in a table that is sharded by columns."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np

from bigru_jax import parallel
from bigru_jax.ops.embedding import lookup


def test_a_sharded_table_gives_the_same_vectors_and_gradient():
  rng = np.random.default_rng(0)
  table = jnp.asarray(rng.normal(size=(10, 8)), jnp.float32)
  tokens = jnp.asarray(rng.integers(0, 10, (4, 3)))
  weights = jnp.asarray(rng.normal(size=(4, 3, 8)), jnp.float32)
  axis = parallel.DATA_AXIS

  def loss(table):
    return jnp.sum(lookup(table, tokens) * weights)

  def of_shard(table, tokens, weights):
    x = lookup(table, tokens, axis)
    return jax.lax.psum(jnp.sum(x * weights), axis), x

  sharded = jax.shard_map(
    of_shard,
    mesh=parallel.make_mesh(4),
    in_specs=(P(None, axis), P(axis), P(axis)),
    out_specs=(P(), P(axis)),
  )
  grad, x = jax.jit(
    jax.grad(lambda t: sharded(t, tokens, weights), has_aux=True)
  )(table)
  np.testing.assert_array_equal(x, np.asarray(table)[np.asarray(tokens)])
  np.testing.assert_allclose(grad, jax.grad(loss)(table), atol=1e-6)
