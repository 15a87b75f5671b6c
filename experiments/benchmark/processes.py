"""The processes of the benchmarks, and their memory on Linux."""

from collections.abc import Callable, Sequence
import contextlib
import ctypes
import math
import multiprocessing
from multiprocessing.connection import Connection
import pathlib
import resource
import time
import traceback
from typing import Any, Self


class Worker:
  """A process that runs a function, connected by a pipe; killed at the end."""

  def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
    """Starts function(*arguments, pipe) in a Python process of its own."""
    spawn = multiprocessing.get_context('spawn')
    self.pipe, workers_end = spawn.Pipe()
    self._process = spawn.Process(
      target=function, args=(*arguments, workers_end), daemon=True
    )
    self._process.start()
    workers_end.close()
    self.pid = self._process.pid or 0

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception: Any) -> None:
    self.close()

  def close(self) -> None:
    """Ends the process at once."""
    self._process.kill()
    self._process.join()

  def receive(self, limit: float = math.inf) -> Any:
    """Returns the next message of the function.

    Args:
      limit: the seconds to wait for it.

    Raises:
      TimeoutError: there was no message within the limit.
      ValueError: the process has ended; its error is on stderr.
    """
    try:
      if not self.pipe.poll(None if limit == math.inf else max(limit, 0.0)):
        raise TimeoutError('a process of the benchmark took too long')
      return self.pipe.recv()
    except EOFError:
      raise ValueError('a process of the benchmark failed') from None


class Server(Worker):
  """A process that calls functions, one after the other."""

  def __init__(self) -> None:
    super().__init__(_serve)

  def ask(
    self, function: Callable[..., Any], *arguments: Any, limit: float = math.inf
  ) -> Any:
    """Returns what the function returns in the process.

    Args:
      function: a function at the top of a module.
      arguments: its arguments.
      limit: the seconds to wait for it.

    Raises:
      TimeoutError: it took longer; the process is still busy.
      ValueError: it failed, or the process has ended.
    """
    with contextlib.suppress(BrokenPipeError):  # `receive` reports the end.
      self.pipe.send((function, arguments))
    result, error = self.receive(limit)
    if error:
      raise ValueError(error)
    return result


def _serve(pipe: Connection) -> None:
  with contextlib.suppress(EOFError):  # The other process has ended.
    while True:
      function, arguments = pipe.recv()
      try:
        pipe.send((function(*arguments), ''))
      except Exception as error:
        traceback.print_exc()
        first_line = (str(error).splitlines() or [''])[0]
        pipe.send((None, f'{type(error).__name__}: {first_line}'))


def receive_with_peaks(workers: Sequence[Worker]) -> list[tuple[Any, float]]:
  """Waits for a message of each worker.

  Returns:
    For each worker its message, and the peak of its resident memory until then,
    including the processes it has started, in MiB.
  """
  peaks = [0.0] * len(workers)
  while not all(worker.pipe.poll() for worker in workers):
    for i, worker in enumerate(workers):
      peaks[i] = max(peaks[i], resident_mib(worker.pid))
    time.sleep(0.05)
  return [(worker.receive(), peak) for worker, peak in zip(workers, peaks)]


def resident_mib(pid: int) -> float:
  """Returns the resident memory of a process and its children, in MiB."""
  folder = pathlib.Path('/proc', str(pid))
  try:
    pages = int((folder / 'statm').read_text().split()[1])
    children = (folder / 'task' / str(pid) / 'children').read_text().split()
  except (FileNotFoundError, ProcessLookupError):  # It has just ended.
    return 0.0
  own = pages * resource.getpagesize() / 2**20
  return own + sum(resident_mib(int(child)) for child in children)


def status_mib(name: str) -> float:
  """Returns a value of /proc/self/status, such as VmRSS, in MiB."""
  with open('/proc/self/status', encoding='ascii') as file:
    line = next(line for line in file if line.startswith(f'{name}:'))
  return int(line.split()[1]) / 1024


def peak_mib(call: Callable[[], Any]) -> float:
  """Returns the peak memory of a call above what was resident, in MiB."""
  time.sleep(0.5)  # XLA's own threads may still free the last call's arrays.
  ctypes.CDLL(None).malloc_trim(0)  # Freed memory is no longer resident.
  with open('/proc/self/clear_refs', 'w', encoding='ascii') as file:
    file.write('5')  # VmHWM restarts from here.
  before = status_mib('VmRSS')
  call()
  return round(status_mib('VmHWM') - before, 1)
