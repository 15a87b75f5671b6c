"""The device mesh and the placing of host arrays on it.

There is one data-parallel path: the batch axis and the embeddings' columns are
split over every device, all other parameters are replicated. Devices are the
chips of a GPU or TPU machine, or the XLA host devices that a CPU is divided
into. The step functions are the same.
"""

import ctypes
import os

import jax
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec


def use_cpu_devices(count, batch_size=1):
  """Sets a CPU up for training, before JAX starts.

  Args:
    count: how many host devices XLA makes of it; 0 for one a core, or fewer
      where that does not divide the batch.
    batch_size: examples a batch.
  """
  cores = len(os.sched_getaffinity(0))
  count = count or max(n for n in range(1, cores + 1) if batch_size % n == 0)
  jax.config.update('jax_num_cpu_devices', count)
  # On each device a collective can block a thread of XLA's pool until the other
  # devices arrive, and the launch of the next step another one. With fewer than
  # two threads a device, training stops for ever now and then.
  os.environ.setdefault('PJRT_NPROC', str(max(2 * count, cores)))
  # Without it XLA copies what a step overwrites: the optimiser's moments, and
  # the recurrence's arrays at every position.
  options = ['--xla_cpu_copy_insertion_use_region_analysis=true']
  if count == cores > 1:
    # Each core has a device of its own: no matmul gains by a second thread.
    options.append('--xla_cpu_multi_thread_eigen=false')
  os.environ['XLA_FLAGS'] = ' '.join(
    [*options, os.environ.get('XLA_FLAGS', '')]
  )
  _keep_freed_memory()


def _keep_freed_memory():
  """Tells glibc to keep freed memory for the next allocation.

  XLA allocates a step's temporary arrays anew. Memory that came fresh from the
  system each time would cost a page fault every 4 KiB, a fifth of a step. Of
  its arenas only the main one keeps all, so every thread is to use that.
  """
  libc = ctypes.CDLL(None)
  if hasattr(libc, 'mallopt'):
    # Parameter numbers, from malloc.h.
    trim_threshold, mmap_max, arena_max = -1, -4, -8
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(arena_max, 1)


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


def state_shardings(tree, mesh):
  """Where a train state lives: embeddings split by column, the rest everywhere.

  The embedding table is by far the largest parameter. Split, each device looks
  up, adds up the gradients of and updates its own columns for the whole batch,
  and only the looked-up vectors move. (Where the devices do not divide the
  columns it is everywhere, too.)
  """

  def of(path, array):
    split = (
      getattr(path[-1], 'key', '') == 'embedding'
      and array.shape[1] % mesh.size == 0
    )
    spec = PartitionSpec(None, 'data') if split else PartitionSpec()
    return NamedSharding(mesh, spec)

  return jax.tree.map_with_path(of, tree)


def place_state(state, mesh):
  """Places a train state on the mesh, see `state_shardings`."""
  return jax.device_put(state, state_shardings(state, mesh))


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
