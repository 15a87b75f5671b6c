"""The device mesh, and data parallelism over it.

There is one mesh axis. The batch is sharded over it, and so are the columns of
the embedding table, by far the largest parameter: each device looks up and
updates its own columns for the whole batch, and only the looked-up vectors
move. All other parameters are replicated. Devices are GPUs, TPUs, or the XLA
host devices into which a CPU is divided.
"""

import collections
from collections.abc import Callable, Generator, Iterable, Sequence
import re
from typing import Any

import jax
from jax.experimental import multihost_utils
from jax.flatten_util import ravel_pytree
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
import numpy as np

from bigru_jax.runtime.prefetch import prefetch

DATA_AXIS = 'data'
# The first rule that matches an array's path applies if the devices divide its
# sharded axes; other arrays are replicated.
_RULES = [(r'(^|/)embedding$', P(None, DATA_AXIS))]

# Arrays by name; under `unlabelled`, those of as many texts without labels.
Batch = dict[str, Any]
# (params, batch, dropout keys or None) -> (losses_B, the model's outputs); the
# losses of texts without labels follow those of the others.
LossFn = Callable[[Any, Batch, jax.Array | None], tuple[jax.Array, Any]]


def make_mesh(batch_size: int) -> Mesh:
  """Returns a mesh over all devices.

  Raises:
    ValueError: the devices do not divide the batch.
  """
  devices = jax.devices()
  if batch_size % len(devices):
    raise ValueError(
      f'batch_size={batch_size} is not a multiple of the {len(devices)} '
      'devices; choose another, or fewer cpu_devices'
    )
  if jax.process_count() == 1:
    return mesh_of(devices)
  counts = collections.Counter(device.process_index for device in devices)
  if len(set(counts.values())) > 1:
    raise ValueError('the processes have different numbers of devices')
  # `jax.make_mesh` may order the devices of a TPU by their position, but those
  # of a process must be neighbours, since it makes one part of each batch.
  devices = sorted(
    devices, key=lambda device: (device.process_index, device.id)
  )
  return Mesh(np.array(devices), (DATA_AXIS,), axis_types=(AxisType.Auto,))


def local_mesh() -> Mesh:
  """Returns a mesh over the devices of this process."""
  return mesh_of(jax.local_devices())


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
  """Returns a mesh over the devices of one process, or of a topology."""
  return jax.make_mesh(
    (len(devices),),
    (DATA_AXIS,),
    axis_types=(AxisType.Auto,),
    devices=devices,
  )


def share_of_batch(mesh: Mesh) -> tuple[int, int]:
  """Returns the index and the number of the processes' shares of a batch."""
  if not mesh.is_multi_process:
    return 0, 1
  return jax.process_index(), jax.process_count()


def compiler_options(mesh: Mesh) -> dict[str, bool | str]:
  """Returns XLA's options for the programs of a mesh; none but on a CPU."""
  if mesh.devices.flat[0].platform != 'cpu':
    return {}
  return {
    # Without this option XLA copies what a step overwrites: the optimizer's
    # moments, and the arrays of `ops.gru_xla` at every position.
    'xla_cpu_copy_insertion_use_region_analysis': True,
    # By default XLA makes arrays long before they are needed, such as the zeros
    # that the gradient of the embedding is added to.
    'xla_cpu_scheduler_type': 'CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED',
  }


def partition_specs(tree: Any, mesh: Mesh) -> Any:
  """Returns how each array of a pytree is sharded, by `_RULES`."""

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
  """Returns the mesh axis that shards the embedding table, or None."""
  specs = partition_specs(params, mesh)
  return None if specs['embedding'] == P() else DATA_AXIS


def shardings(tree: Any, mesh: Mesh) -> Any:
  """Returns the shardings on this mesh, by `partition_specs`."""
  return jax.tree.map(
    lambda spec: NamedSharding(mesh, spec), partition_specs(tree, mesh)
  )


def replicated(mesh: Mesh) -> NamedSharding:
  """Returns the sharding that keeps a copy on every device."""
  return NamedSharding(mesh, P())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of a leading batch axis over the devices."""
  return NamedSharding(mesh, P(DATA_AXIS))


def place(tree: Any, shardings: Any) -> Any:
  """Places a pytree that every process holds in full, by its shardings."""
  if jax.process_count() == 1:
    return jax.device_put(tree, shardings)

  # `jax.device_put` would compare the processes' values in a collective.
  def place_array(x, sharding):
    if isinstance(x, jax.Array) and x.sharding == sharding:
      return x
    x = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)

  return jax.tree.map(place_array, tree, shardings)


def fetch(tree: Any) -> Any:
  """Returns a pytree as whole NumPy arrays.

  The processes over which an array is sharded exchange their parts, so all of
  them must call this.
  """

  def whole(x):
    if not isinstance(x, jax.Array) or x.is_fully_addressable:
      return x
    if x.is_fully_replicated:
      return x.addressable_data(0)
    return multihost_utils.process_allgather(x, tiled=True)

  return jax.device_get(jax.tree.map(whole, tree))


def to_this_process(tree: Any, mesh: Mesh) -> tuple[Any, Mesh]:
  """Returns a whole pytree, and a mesh of this process's devices alone."""
  if not mesh.is_multi_process:
    return tree, mesh
  return fetch(tree), local_mesh()


def place_batch(batch: Any, mesh: Mesh) -> Any:
  """Shards the leading axis of every array over the devices.

  Args:
    batch: the arrays; in a distributed run, this process's part of them.
    mesh: the devices.
  """
  sharding = batch_sharding(mesh)
  if not mesh.is_multi_process:
    return jax.device_put(batch, sharding)
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, x), batch
  )


def prefetch_to_mesh(batches: Iterable[Any], mesh: Mesh) -> Generator[Batch]:
  """Places host batches on the mesh ahead of time, on a thread."""
  return prefetch(place_batch(batch, mesh) for batch in batches)


def map_batch(
  function: Callable[[Any, Batch], Any], mesh: Mesh, param_specs: Any
) -> Callable[[Any, Batch], Any]:
  """Runs function(params, batch) on each device's share of the batch.

  Args:
    function: returns arrays whose leading axis counts examples.
    mesh: the devices.
    param_specs: how the parameters are sharded; `P()` if replicated.
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
  """Returns a data-parallel function (params, batch, keys_B) -> (loss, grads).

  The loss is the mean of the examples' losses weighted by batch['weights'], to
  which texts without labels add theirs; see `UnlabelledTexts.local_batch`. Each
  device sums the losses and gradients of its own examples, and one collective
  adds these sums, so the result does not depend on the number of devices.

  Args:
    loss_fn: it is called inside `shard_map`, with each device's examples.
    mesh: the devices.
  """
  if mesh.size == 1:
    return _value_and_grad_of_one(loss_fn)

  def of_shard(specs, params, batch, keys_B):
    def loss_sum(params):
      losses, _ = loss_fn(params, batch, keys_B)
      return jnp.sum(losses * _loss_weights(batch))

    # Replicated parameters are cast to device-varying, so that autodiff does
    # not insert a collective for each; a single one below sums all gradients.
    params = jax.tree.map(
      lambda p, spec: (
        jax.lax.pcast(p, DATA_AXIS, to='varying') if spec == P() else p
      ),
      params,
      specs,
    )
    loss, grads = jax.value_and_grad(loss_sum)(params)
    local_grads = jax.tree.map(
      lambda g, spec: g if spec == P() else None, grads, specs
    )
    (loss, weight), sums = sum_over_devices(
      ((loss, jnp.sum(batch['weights'])), local_grads)
    )
    grads = jax.tree.map(lambda g, s: g if s is None else s, grads, sums)
    scale = 1 / jnp.maximum(weight, 1e-9)
    return loss * scale, jax.tree.map(lambda g: g * scale, grads)

  def of_batch(params, batch, keys_B):
    specs = partition_specs(params, mesh)
    return jax.shard_map(
      lambda *args: of_shard(specs, *args),
      mesh=mesh,
      in_specs=(specs, P(DATA_AXIS), P(DATA_AXIS)),
      out_specs=(P(), specs),
    )(params, batch, keys_B)

  return of_batch


def _value_and_grad_of_one(loss_fn: LossFn) -> Callable[..., Any]:
  """Returns `value_and_grad` on one device.

  It divides the weights by their sum. Several devices know this only together
  with the sum of the gradients, whose division passes over the whole table.
  """

  def of_batch(params, batch, keys_B):
    weights = _loss_weights(batch)
    weights /= jnp.maximum(jnp.sum(batch['weights']), 1e-9)

    def loss(params):
      losses, _ = loss_fn(params, batch, keys_B)
      return jnp.sum(losses * weights)

    return jax.value_and_grad(loss)(params)

  return of_batch


def _loss_weights(batch: Batch) -> jax.Array:
  parts = [batch, batch['unlabelled']] if 'unlabelled' in batch else [batch]
  return jnp.concatenate([part['weights'] for part in parts])


def sum_over_devices(tree: Any) -> Any:
  """Sums a pytree of float32 arrays over the mesh, inside `shard_map`.

  It uses one collective over one flat array: concurrent ones would wait for
  each other, and on a CPU could block all threads.
  """
  flat, unravel = ravel_pytree(tree)
  return unravel(jax.lax.psum(flat, DATA_AXIS))
