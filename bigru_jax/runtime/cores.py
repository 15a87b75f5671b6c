"""The model of the CPU, and the number of its cores for this process."""

import os
import pathlib
import platform
import re


def cores() -> int:
  """Returns how many CPU cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Linux.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def processor() -> str:
  """Returns the model of the processor, or else the kind of machine."""
  path = pathlib.Path('/proc/cpuinfo')
  if path.exists():
    match = re.search(
      r'^model name\s*:\s*(.+)$', path.read_text('utf-8'), re.MULTILINE
    )
    if match:
      return match[1].strip()
  return platform.processor() or platform.machine()
