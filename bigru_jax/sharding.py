"""The device mesh and the placing of host arrays on it.

There is one data-parallel path: parameters are replicated, the batch axis is
split over every device: the chips of a GPU or TPU machine, or the XLA host
devices that a CPU is divided into. The step functions are the same.
"""

import os

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def use_cpu_devices(count):
  """Sets how many host devices XLA makes of a CPU, before JAX starts up.

  Args:
    count: the number; 0 leaves one device with a thread for every core.
  """
  if count < 2:
    return
  # A collective blocks a thread of XLA's pool on each device until all have
  # arrived, and several run at once: a pool of one thread a core deadlocks.
  os.environ.setdefault('PJRT_NPROC', str(32 * count))
  jax.config.update('jax_num_cpu_devices', count)


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
