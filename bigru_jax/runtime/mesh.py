"""The device mesh, and data parallelism over it.

There is one mesh axis. The batch is sharded over it, and so are the columns of
the embedding table, by far the largest parameter: each device looks up, sums
the gradients of and updates its own columns for the whole batch, and only the
looked-up vectors move. All other parameters are replicated. Devices are the
chips of a GPU or TPU machine, or the XLA host devices that a CPU is divided
into; the functions are the same.
"""

from collections.abc import Callable, Generator, Iterable
import re
from typing import Any

import jax
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

from bigru_jax.runtime.prefetch import prefetch

DATA_AXIS = 'data'
# The first rule whose expression is found in an array's path decides, where the
# devices divide its sharded axes; other arrays are replicated.
_RULES = [(r'(^|/)embedding$', P(None, DATA_AXIS))]

Batch = dict[str, jax.Array]
# (params, batch, dropout keys or None) -> (losses_B, auxiliary outputs)
LossFn = Callable[[Any, Batch, jax.Array | None], tuple[jax.Array, Any]]


def make_mesh(batch_size: int) -> Mesh:
  """A mesh over all devices.

  Raises:
    ValueError: the devices do not divide the batch.
  """
  devices = jax.device_count()
  if batch_size % devices:
    raise ValueError(
      f'batch_size={batch_size} is not a multiple of the {devices} devices; '
      'choose another, or fewer cpu_devices'
    )
  return jax.make_mesh((devices,), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def compiler_options(mesh: Mesh) -> dict[str, bool]:
  """XLA's options for the programs of a mesh; they matter on a CPU alone."""
  if mesh.devices.flat[0].platform != 'cpu':
    return {}
  # Without it XLA copies what a step overwrites: the optimizer's moments, and
  # the arrays of `ops.gru_xla` at every position.
  return {'xla_cpu_copy_insertion_use_region_analysis': True}


def partition_specs(tree: Any, mesh: Mesh) -> Any:
  """How each array of a pytree is sharded, by the rules of this module."""

  def spec_of(path, array):
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    for expression, spec in _RULES:
      if re.search(expression, name):
        sizes = [n for n, axis in zip(array.shape, spec) if axis]
        if mesh.size > 1 and all(n % mesh.size == 0 for n in sizes):
          return spec
    return P()

  return jax.tree.map_with_path(spec_of, tree)


def embedding_axis(params: Any, mesh: Mesh) -> str | None:
  """The mesh axis over which the embedding table is sharded, or None."""
  specs = partition_specs(params, mesh)
  return None if specs['embedding'] == P() else DATA_AXIS


def shardings(tree: Any, mesh: Mesh) -> Any:
  """`partition_specs` on this mesh."""
  return jax.tree.map(
    lambda spec: NamedSharding(mesh, spec), partition_specs(tree, mesh)
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """The sharding that keeps a copy on every device."""
  return NamedSharding(mesh, P())


def place_batch(batch: Any, mesh: Mesh) -> Any:
  """Shards the leading axis of every array over the devices."""
  return jax.device_put(batch, NamedSharding(mesh, P(DATA_AXIS)))


def prefetch_to_mesh(batches: Iterable[Any], mesh: Mesh) -> Generator[Batch]:
  """Places host batches on the mesh, ahead of time on a thread."""
  return prefetch(place_batch(batch, mesh) for batch in batches)


def map_batch(
  function: Callable[[Any, Batch], Any], mesh: Mesh, param_specs: Any
) -> Callable[[Any, Batch], Any]:
  """Runs function(params, batch) on each device's share of the batch.

  Args:
    function: returns arrays whose leading axis counts examples.
    mesh: the devices.
    param_specs: how the parameters are sharded; `P()` for replicated ones.
  """
  if mesh.size == 1:
    return function
  return jax.shard_map(
    function,
    mesh=mesh,
    in_specs=(param_specs, P(DATA_AXIS)),
    out_specs=P(DATA_AXIS),
  )


def value_and_grad(loss_fn: LossFn, mesh: Mesh) -> Callable[..., Any]:
  """The loss of a global batch and its gradient, by data parallelism.

  The loss is the mean of the examples' losses weighted by batch['weights'].
  Each device sums the losses and gradients of its own examples, and one
  collective adds these sums over the devices, so that nothing depends on how
  many devices there are.

  Args:
    loss_fn: (params, batch, keys) -> (losses_B, aux). It is called inside
      `shard_map`, with each device's examples; aux has a leading batch axis.
    mesh: the devices.

  Returns:
    A function (params, batch, keys_B) -> ((loss, aux), grads).
  """

  def of_shard(specs, params, batch, keys_B):
    def loss_sum(params):
      losses_B, aux = loss_fn(params, batch, keys_B)
      return jnp.sum(losses_B * batch['weights']), aux

    if mesh.size > 1:
      # Replicated parameters are cast to device-varying, so that autodiff does
      # not insert a collective for each of them; one below sums all gradients.
      params = jax.tree.map(
        lambda p, spec: (
          jax.lax.pcast(p, DATA_AXIS, to='varying') if spec == P() else p
        ),
        params,
        specs,
      )
    (loss, aux), grads = jax.value_and_grad(loss_sum, has_aux=True)(params)
    sums = loss, jnp.sum(batch['weights'])
    leaves, structure = jax.tree.flatten(grads)
    if mesh.size > 1:
      local = [spec == P() for spec in jax.tree.leaves(specs)]
      sums, summed = sum_over_devices(
        (sums, [g for g, is_local in zip(leaves, local) if is_local])
      )
      remaining = iter(summed)
      leaves = [next(remaining) if x else g for g, x in zip(leaves, local)]
    loss, weight = sums
    scale = 1 / jnp.maximum(weight, 1e-9)
    grads = jax.tree.unflatten(structure, [g * scale for g in leaves])
    return (loss * scale, aux), grads

  def of_batch(params, batch, keys_B):
    specs = partition_specs(params, mesh)
    if mesh.size == 1:
      return of_shard(specs, params, batch, keys_B)
    by_example = P(DATA_AXIS)
    return jax.shard_map(
      lambda *args: of_shard(specs, *args),
      mesh=mesh,
      in_specs=(specs, by_example, by_example),
      out_specs=((P(), by_example), specs),
    )(params, batch, keys_B)

  return of_batch


def sum_over_devices(tree: Any) -> Any:
  """Sums a pytree of float32 arrays over the mesh, inside `shard_map`.

  It is one collective over one flat array: several at once would wait for each
  other, and on a CPU could block every thread there is.
  """
  flat, unravel = ravel_pytree(tree)
  return unravel(jax.lax.psum(flat, DATA_AXIS))
