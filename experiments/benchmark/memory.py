"""The memory of Linux processes."""

from collections.abc import Callable
import ctypes
import pathlib
import resource
import time
from typing import Any


def status_mib(name: str) -> float:
  """A line of /proc/self/status, such as VmRSS, in MiB."""
  with open('/proc/self/status', encoding='ascii') as file:
    line = next(line for line in file if line.startswith(f'{name}:'))
  return int(line.split()[1]) / 1024


def peak_mib(call: Callable[[], Any]) -> float:
  """The memory that a call takes at its peak, above what was resident."""
  time.sleep(0.5)  # The last call's arrays are freed on XLA's own threads.
  ctypes.CDLL(None).malloc_trim(0)  # Freed memory is not resident now.
  with open('/proc/self/clear_refs', 'w', encoding='ascii') as file:
    file.write('5')  # VmHWM restarts from here.
  before = status_mib('VmRSS')
  call()
  return round(status_mib('VmHWM') - before, 1)


def resident_mib(pid: int) -> float:
  """The resident memory of a process and of those it has started."""
  folder = pathlib.Path('/proc', str(pid))
  try:
    pages = int((folder / 'statm').read_text().split()[1])
    children = (folder / 'task' / str(pid) / 'children').read_text().split()
  except (FileNotFoundError, ProcessLookupError):  # It has just ended.
    return 0.0
  own = pages * resource.getpagesize() / 2**20
  return own + sum(resident_mib(int(child)) for child in children)
