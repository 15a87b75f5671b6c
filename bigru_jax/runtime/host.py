"""Sets up the process for training.

It changes process-wide state (JAX's configuration, the environment, the memory
allocator), so only scripts call it, never the library.
"""

import ctypes
import importlib.metadata
import importlib.util
import logging
import os
import sys

import jax

from bigru_jax.runtime.cache import cache_dir
from bigru_jax.runtime.cores import cores

_log = logging.getLogger(__name__)


def cache_compilations() -> None:
  """Caches compiled programs on disk, for later processes."""
  jax.config.update('jax_compilation_cache_dir', str(cache_dir() / 'compiled'))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


def configure_cpu(devices: int = 0) -> None:
  """Sets up a Linux CPU for training, before JAX starts.

  Elsewhere (on a GPU or TPU, or on macOS) it changes nothing; a log line says
  what was set, or why nothing was.

  Args:
    devices: the number of XLA host devices of the CPU, to try out sharding on
      one machine; 0 for JAX's default, one, whose threads share the work.
  """
  if sys.platform != 'linux':
    _log.info('host setup is skipped: it is for Linux')
    return
  if _has_accelerator():
    _log.info('host setup is skipped: JAX has an accelerator plugin')
    return
  if devices:
    try:
      jax.config.update('jax_num_cpu_devices', devices)
    except RuntimeError:
      _log.warning('host setup is skipped: JAX has already started')
      return
    # On each device, a collective can block one thread of XLA's pool until the
    # other devices arrive, and the launch of the next step can block another.
    # With fewer than two threads per device, training sometimes deadlocks.
    os.environ.setdefault('PJRT_NPROC', str(max(2 * devices, cores())))
  keeps_memory = _keep_freed_memory()
  _log.info(
    'host: %s%d cores%s',
    f'{devices} CPU devices, ' if devices else '',
    cores(),
    ', freed memory is kept' if keeps_memory else '',
  )


def _has_accelerator() -> bool:
  """Returns whether JAX will look for a GPU or TPU, without starting JAX."""
  platforms = jax.config.jax_platforms  # type: ignore[attr-defined]
  if platforms:
    return platforms.split(',')[0] != 'cpu'
  plugins = importlib.metadata.entry_points(group='jax_plugins')
  return bool(plugins) or importlib.util.find_spec('libtpu') is not None


def _keep_freed_memory() -> bool:
  """Tells glibc to keep freed memory for the next allocation.

  XLA allocates the temporaries of each step anew. By default glibc returns
  freed memory to the system, so each step page-faults it in again (measured: up
  to a fifth of a step). Only the main arena keeps all of its memory, so XLA's
  threads, which start here, have to share it. The compiler's threads start
  later and get their own arenas; with a single lock, compilation was measured
  to be a quarter slower.
  """
  libc = ctypes.CDLL(None)
  if not hasattr(libc, 'mallopt'):
    return False
  trim_threshold, mmap_max, arena_max = -1, -4, -8  # From glibc's malloc.h.
  libc.mallopt(mmap_max, 0)
  libc.mallopt(trim_threshold, 2**31 - 1)
  libc.mallopt(arena_max, 1)
  jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))
  libc.mallopt(arena_max, 8 * cores())  # glibc's default.
  return True
