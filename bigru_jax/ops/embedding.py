"""Embedding lookup, in a whole table or in one sharded by columns."""

import jax


def lookup(
  table_VxE: jax.Array, tokens_BxT: jax.Array, axis: str | None = None
) -> jax.Array:
  """Looks up the vectors x_BxTxE of a batch's tokens.

  Args:
    table_VxE: the table; inside `shard_map` with `axis`, this device's columns
      of it.
    tokens_BxT: token ids; inside `shard_map`, this device's examples.
    axis: the mesh axis that shards both, or None for a whole table. With an
      axis, each device looks up its columns for all examples, and one
      all-to-all sends each example's vectors to its device. The gradient of the
      table then needs no collective of the table's size.
  """
  if axis is None:
    return table_VxE[tokens_BxT]
  tokens_BxT = jax.lax.all_gather(tokens_BxT, axis, tiled=True)
  x_BxTxE = table_VxE[tokens_BxT]
  return jax.lax.all_to_all(
    x_BxTxE, axis, split_axis=0, concat_axis=2, tiled=True
  )
