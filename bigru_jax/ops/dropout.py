"""Dropout with one key per example.

The mask of an example depends on its own key alone, so it is the same whatever
its neighbours in the batch are and however the batch is sharded.
"""

import jax
import jax.numpy as jnp


def fold_keys(keys_B: jax.Array, number: int) -> jax.Array:
  """New keys, one per example: `jax.random.fold_in` of each with a number."""
  return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys_B, number)


def dropout(
  x: jax.Array, rate: float, keys_B: jax.Array, batch_axis: int = 0
) -> jax.Array:
  """Sets each value to zero with probability `rate` and scales up the others.

  Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html.

  Args:
    x: any array.
    rate: at least 0, below 1. The values that are kept are divided by 1 - rate.
    keys_B: one key per example.
    batch_axis: the axis of x that counts examples.
  """
  if not rate:
    return x
  shape = x.shape[:batch_axis] + x.shape[batch_axis + 1 :]
  keep = jax.vmap(
    lambda key: jax.random.bernoulli(key, 1 - rate, shape),
    out_axes=batch_axis,
  )(keys_B)
  return jnp.where(keep, x / (1 - rate), 0)
