"""Runs many commands, some at a time, each on its share of the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import BinaryIO

from bigru_jax.runtime.preemption import EXIT_STATUS

_KILLS = 3  # A job that signals have killed this often has failed.
_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_TAIL = 2**16  # The bytes of an output that are searched for its last line.


@dataclasses.dataclass
class Job:
  """A command.

  Attributes:
    name: the name in messages.
    command: the program and its arguments.
    log: the file to which its output is appended, unless the disk is full.
    is_busy: whether another process still runs this job; it starts when that
      process has ended.
    before: called just before the job starts.
    kills: the number of times that a signal has killed it.
    last_line: the last line of its output after it has ended, even if the disk
      is full.
  """

  name: str
  command: Sequence[str]
  log: pathlib.Path
  is_busy: Callable[[], bool] = lambda: False
  before: Callable[[], None] = lambda: None
  kills: int = 0
  last_line: str = ''


@dataclasses.dataclass
class _Running:
  """A job that has started.

  Attributes:
    job: the job.
    process: its process.
    output: the output of the process. It is not on the disk of the log, which
      may be full.
    copied: the number of its bytes that are in the log.
  """

  job: Job
  process: subprocess.Popen
  output: BinaryIO
  copied: int = 0

  def copy_output(self) -> None:
    """Appends the new part of the output to the log."""
    with contextlib.suppress(OSError):  # Tried again at the next call.
      while data := os.pread(self.output.fileno(), _TAIL, self.copied):
        with self.job.log.open('ab', buffering=0) as log:
          self.copied += log.write(data)

  def end(self) -> None:
    """Stores the last line that the process wrote."""
    self.copy_output()
    size = os.fstat(self.output.fileno()).st_size
    tail = os.pread(self.output.fileno(), _TAIL, max(size - _TAIL, 0))
    lines = tail.decode('utf-8', 'replace').strip().splitlines()
    self.job.last_line = lines[-1] if lines else ''
    self.output.close()


def run_jobs(
  jobs: Sequence[Job], at_once: int, stop: Callable[[], bool]
) -> Iterator[tuple[Job, int]]:
  """Runs jobs, and yields each with its exit status when it has ended.

  A job that exits with `preemption.EXIT_STATUS`, or that a signal kills, is
  started again; it resumes. On Linux each job has its share of the cores, and
  gets SIGTERM when this process dies.

  Args:
    jobs: in the order in which they start.
    at_once: the number of jobs to run at the same time.
    stop: called repeatedly. Once it returns True, the running jobs get SIGTERM,
      and the iterator ends when they have ended.

  Raises:
    ValueError: this is Windows, where the output of a job cannot be followed.
  """
  if not hasattr(os, 'pread'):
    raise ValueError(
      'runs can be started from here only on Linux and macOS; start each with '
      'its own command'
    )
  waiting = list(jobs)
  at_once = min(at_once, max(len(jobs), 1))
  shares = core_shares(at_once)
  running: dict[int, _Running] = {}
  stopping = False
  try:
    while waiting or running:
      if not stopping and stop():
        stopping = True
        waiting.clear()
        for started in running.values():
          started.process.terminate()
      for slot in range(at_once):
        if slot in running:
          continue
        job = next((job for job in waiting if not job.is_busy()), None)
        if job:
          waiting.remove(job)
          job.before()
          running[slot] = _start(job, shares[slot])
      for slot, started in list(running.items()):
        job, status = started.job, started.process.poll()
        if status is None:
          started.copy_output()
          continue
        started.end()
        del running[slot]
        job.kills += status < 0
        again = status == EXIT_STATUS or (status < 0 and job.kills < _KILLS)
        if not again:
          yield job, status
        elif not stopping:
          waiting.insert(0, job)
      time.sleep(_POLL_SECONDS)
  finally:
    for started in running.values():
      started.process.terminate()


def core_shares(at_once: int) -> list[set[int]]:
  """Divides the cores among jobs; the sets are empty where it cannot.

  Each job has equally many cores. With another number of cores sums may be
  rounded differently, so a job that is started again needs the same number.
  """
  if not hasattr(os, 'sched_getaffinity'):
    return [set() for _ in range(at_once)]
  cores = sorted(os.sched_getaffinity(0))
  if at_once >= len(cores):
    return [{cores[i % len(cores)]} for i in range(at_once)]
  each = len(cores) // at_once
  return [set(cores[i * each : (i + 1) * each]) for i in range(at_once)]


def _start(job: Job, cores: set[int]) -> _Running:
  library = ctypes.CDLL(None) if sys.platform == 'linux' else None

  def prepare():
    if library:
      library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if cores:
      os.sched_setaffinity(0, cores)

  job.log.parent.mkdir(parents=True, exist_ok=True)
  job.log.touch()
  output: BinaryIO
  if hasattr(os, 'memfd_create'):
    file = os.memfd_create('output')
    output = open(file, 'w+b', buffering=0)  # noqa: SIM115
  else:
    output = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
  process = subprocess.Popen(
    job.command,
    stdin=subprocess.DEVNULL,
    stdout=output,
    stderr=output,
    start_new_session=True,  # Ctrl-C reaches this process alone.
    # Windows does not support it, and needs no preparation.
    preexec_fn=prepare if library or cores else None,
  )
  return _Running(job, process, output)
