"""Marks arrays as varying over the devices inside `shard_map`."""

from typing import Any

import jax


def vary_like(tree: Any, like: jax.Array) -> Any:
  """Marks a pytree's arrays as varying over the same mesh axes as `like`.

  The transpose of this mark sums the gradients over the devices. JAX's autodiff
  inserts it, but a custom VJP does not. Outside `shard_map` nothing is marked.
  """

  def mark(x):
    axes = (
      jax.typeof(like).manual_axis_type.varying
      - jax.typeof(x).manual_axis_type.varying
    )
    return jax.lax.pcast(x, tuple(axes), to='varying') if axes else x

  return jax.tree.map(mark, tree)
