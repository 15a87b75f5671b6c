"""The device mesh and the placing of host arrays on it.

There is one data-parallel path: parameters are replicated, the batch axis is
split over every device: the chips of a GPU or TPU machine, or the XLA host
devices that a CPU is divided into. The step functions are the same.
"""

import os

import jax
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from bigru_jax import gru


def use_cpu_devices(count, batch_size=1):
  """Sets how many host devices XLA makes of a CPU, before JAX starts up.

  Args:
    count: the number; 0 for one a core, or fewer where that does not divide
      the batch.
    batch_size: examples a batch.
  """
  cores = len(os.sched_getaffinity(0))
  count = count or max(n for n in range(1, cores + 1) if batch_size % n == 0)
  # A collective blocks a thread of XLA's pool on each device until all have
  # arrived, so there must be one for each; more would only get in the way.
  os.environ.setdefault('PJRT_NPROC', str(max(count, cores)))
  jax.config.update('jax_num_cpu_devices', count)


def compiler_options():
  """What `jax.jit` is to tell the compiler of this machine's devices."""
  return gru.CPU_COMPILER_OPTIONS if jax.default_backend() == 'cpu' else None


def make_mesh(batch_size):
  """One axis, `data`, over all devices.

  Raises:
    ValueError: the devices do not divide the batch.
  """
  devices = jax.device_count()
  if batch_size % devices:
    raise ValueError(
      f'--batch_size={batch_size} is not a multiple of the {devices} devices; '
      'choose another, or fewer --cpu_devices'
    )
  return jax.make_mesh((devices,), ('data',), axis_types=(AxisType.Auto,))


def replicate(tree, mesh):
  """Places a copy of every array on each device."""
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def place_batch(batch, mesh):
  """Splits the leading axis of every array over the devices."""
  return jax.device_put(batch, NamedSharding(mesh, PartitionSpec('data')))


def sum_over_devices(tree):
  """Adds a pytree of float32 arrays up over the mesh, inside `shard_map`.

  It is one collective, over one flat array: several at once would wait for each
  other, and on a CPU could take every thread there is.
  """
  flat, unravel = ravel_pytree(tree)
  return unravel(jax.lax.psum(flat, 'data'))
