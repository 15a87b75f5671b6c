"""Programs that take turns: the same work, one timed call after another."""

from collections.abc import Mapping
import contextlib
import gc
import importlib
import itertools
import math
import statistics
import time
import timeit
from typing import Any

from cases import Call, Case, to_numpy
import numpy as np
from processes import Server, peak_mib

from bigru_jax.runtime.cache import cache_dir

# `torch` runs on the CPU, and `cudnn` is PyTorch on a GPU; `pallas` is our
# encoder with Pallas's kernels, and `float32` is ours in float32.
MODULES = {
  'ours': 'ours',
  'float32': 'ours',
  'pallas': 'ours',
  'torch': 'on_torch',
  'cudnn': 'on_torch',
  'keras': 'on_jax',
  'flax': 'on_jax',
  'haiku': 'on_jax',
  'onnxruntime': 'serving',
  'peak': '',
}
PEAK_FLOPS = 2 * 4096 * 300 * 1536
WARM_SECONDS = 0.3
ENVIRONMENT = {
  'KERAS_BACKEND': 'jax',
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '2147483647',
  'MALLOC_ARENA_MAX': '1',
  'JAX_COMPILATION_CACHE_DIR': str(cache_dir() / 'compiled'),
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3',
}


_calls: dict[str, tuple[Case, Call]] = {}  # Of this process, by program.


def build(name: str, case: Case, memory: bool) -> dict[str, Any]:
  """Builds a program in this process, for `time_call`, and calls it.

  Args:
    name: the program.
    case: the work; programs for another case are dropped.
    memory: whether to measure the memory.

  Returns:
    The amount of work (tokens trained on or texts labelled) and, if `memory` is
    true, the peak memory in MiB: on a GPU or a TPU that of the device; on a CPU
    that of the resident set above what stays resident between calls, which is
    libraries, programs, data, parameters and moments, of which the last three
    are equally large for every program.
  """
  for other in [x for x, (old, _) in _calls.items() if old != case]:
    del _calls[other]
  gc.collect()
  name_of_module = MODULES['onnxruntime' if case.work == 'serving' else name]
  module = importlib.import_module(name_of_module) if name_of_module else None
  work = case.with_dtype('float32') if name == 'float32' else case
  call = module.build(name, work) if module else peak()
  result = to_numpy(call())
  if not np.isfinite(result).all():
    raise ValueError('the result is not finite')
  if result.ndim == 3 and result.shape[:2] != (case.batch, case.length):
    raise ValueError(f'the result has the shape {result.shape}')
  amount = result.size if result.shape else int(result)
  del result
  mib = 0.0
  if memory and module:
    mib = module.device_peak_mib() or peak_mib(call)
  _calls[name] = case, call
  return {'amount': amount, 'mib': mib, 'seconds': []}


def time_call(name: str) -> float:
  """Returns the seconds of one call of a program, which untimed calls precede.

  A process that has waited for its turn is up to twice as slow at first: the
  cores were idle, and the caches contain the data of other programs. Training
  does not wait between its steps.
  """
  case, call = _calls[name]
  if case.work not in ('epoch', 'inference'):
    end = time.perf_counter() + WARM_SECONDS
    while time.perf_counter() < end:
      call()
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def peak() -> Call:
  """Returns a call of a float32 matmul, NumPy's or PyTorch's if faster."""
  a, b = np.ones((4096, 300), np.float32), np.ones((300, 1536), np.float32)
  calls: list[Call] = [lambda: (a @ b)[0, 0]]
  with contextlib.suppress(ImportError):
    import torch

    a_torch, b_torch = torch.from_numpy(a), torch.from_numpy(b)
    calls.append(lambda: (a_torch @ b_torch)[0, 0])
  return min(calls, key=lambda call: min(timeit.repeat(call, number=1)))


class Servers:
  """The processes that use the device, which are started when needed."""

  def __init__(self) -> None:
    self._servers: dict[str, Server] = {}

  def of(self, program: str) -> Server:
    """Returns the process of a program; all those on JAX share one."""
    owner = 'torch' if program in ('torch', 'cudnn') else 'jax'
    if owner not in self._servers:
      self._servers[owner] = Server()
    return self._servers[owner]

  def close(self) -> None:
    """Ends the processes, which frees the device."""
    for server in self._servers.values():
      server.close()
    self._servers.clear()


def measure(
  case: Case,
  servers: Mapping[str, Server],
  rounds: int,
  memory: bool = False,
  limit: float = math.inf,
) -> dict[str, Any]:
  """Runs each program in turn.

  Args:
    case: the work.
    servers: the process of each program; several may share one.
    rounds: the number of timed calls of each program.
    memory: see `build`.
    limit: the seconds after which no further call is waited for.

  Returns:
    By name, what `build` returns with the seconds by round, and the median; of
    a program that could not be built, the `error`.

  Raises:
    TimeoutError: the first round was not finished within the limit.
    ValueError: a call failed after the first one.
  """
  end = time.monotonic() + limit
  programs: dict[str, Any] = {}
  for name, server in servers.items():
    left = end - time.monotonic()
    try:
      programs[name] = server.ask(build, name, case, memory, limit=left)
    except ValueError as error:
      programs[name] = {'error': str(error)}
  built = {x: result for x, result in programs.items() if 'error' not in result}
  for number, (name, result) in itertools.product(range(rounds), built.items()):
    left = end - time.monotonic()
    try:
      seconds = servers[name].ask(time_call, name, limit=left)
    except TimeoutError:
      if not number:
        raise
      break
    result['seconds'].append(seconds)
  for result in built.values():
    result['median'] = statistics.median(result['seconds'] or [0.0])
  return programs
