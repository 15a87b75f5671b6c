"""Which arrays vary over the devices inside `shard_map`."""

from typing import Any

import jax


def vary_like(tree: Any, like: jax.Array) -> Any:
  """Marks a pytree's arrays as varying over the same mesh axes as `like`.

  The transpose of that mark is the sum of the gradients over the devices. Plain
  autodiff inserts it by itself, a custom VJP does not. Outside `shard_map`
  there is nothing to mark.
  """

  def mark(x):
    axes = (
      jax.typeof(like).manual_axis_type.varying
      - jax.typeof(x).manual_axis_type.varying
    )
    return jax.lax.pcast(x, tuple(axes), to='varying') if axes else x

  return jax.tree.map(mark, tree)
