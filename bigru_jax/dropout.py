"""Dropout with a key for each example.

The mask of an example depends on its own key alone, so it is the same whatever
stands beside it in the batch and however the batch is split over devices.
"""

import jax
import jax.numpy as jnp


def fold_keys(keys_B, number):
  """Other keys, one an example: `jax.random.fold_in` for each."""
  return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys_B, number)


def dropout(x, rate, keys_B, batch_axis=0):
  """Sets each value to zero with probability `rate`, and scales up the others.

  Args:
    x: any array.
    rate: at least 0, below 1 (Srivastava et al., 2014,
      https://jmlr.org/papers/v15/srivastava14a.html).
    keys_B: a key for each example.
    batch_axis: the axis of x that counts examples.
  """
  if not rate:
    return x
  shape = x.shape[:batch_axis] + x.shape[batch_axis + 1 :]
  draw = jax.vmap(
    lambda key: jax.random.bernoulli(key, 1 - rate, shape),
    out_axes=batch_axis,
  )
  return jnp.where(draw(keys_B), x / (1 - rate), 0)
