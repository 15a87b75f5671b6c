"""Running many commands, some at a time, each on its share of the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import ctypes
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

from bigru_jax.runtime.preemption import EXIT_STATUS

_KILLS = 3  # A job that signals have killed so often has failed.
_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass
class Job:
  """A command.

  Attributes:
    name: for messages.
    command: the program and its arguments.
    log: the file that its output is appended to.
    is_busy: whether another process still does this job; it starts when that
      has ended.
    before: is called when it is about to start.
    kills: how often a signal has killed it.
  """

  name: str
  command: Sequence[str]
  log: pathlib.Path
  is_busy: Callable[[], bool] = lambda: False
  before: Callable[[], None] = lambda: None
  kills: int = 0


def run_jobs(
  jobs: Sequence[Job], at_once: int, stop: Callable[[], bool]
) -> Iterator[tuple[Job, int]]:
  """Runs jobs, and yields each with its exit status when it has ended.

  A job that exits with `preemption.EXIT_STATUS`, or that a signal kills, is
  started again; it resumes. On Linux each job has its share of the cores, and
  gets SIGTERM when this process dies.

  Args:
    jobs: in the order in which they start.
    at_once: how many run at the same time.
    stop: asked all the time. When it says so, the running jobs get SIGTERM, and
      the iterator ends when they have ended.
  """
  waiting = list(jobs)
  at_once = min(at_once, max(len(jobs), 1))
  shares = core_shares(at_once)
  running: dict[int, tuple[Job, subprocess.Popen]] = {}
  stopping = False
  try:
    while waiting or running:
      if not stopping and stop():
        stopping = True
        waiting.clear()
        for _, process in running.values():
          process.terminate()
      for place in range(at_once):
        if place in running:
          continue
        job = next((job for job in waiting if not job.is_busy()), None)
        if job:
          waiting.remove(job)
          job.before()
          running[place] = job, _start(job, shares[place])
      for place, (job, process) in list(running.items()):
        status = process.poll()
        if status is None:
          continue
        del running[place]
        job.kills += status < 0
        again = status == EXIT_STATUS or (status < 0 and job.kills < _KILLS)
        if not again:
          yield job, status
        elif not stopping:
          waiting.insert(0, job)
      time.sleep(_POLL_SECONDS)
  finally:
    for _, process in running.values():
      process.terminate()


def core_shares(at_once: int) -> list[set[int]]:
  """The cores of each of several jobs, equally many; empty where they cannot be
  divided.

  Another number of cores may round sums otherwise, so a job that is started
  again must find as many.
  """
  if not hasattr(os, 'sched_getaffinity'):
    return [set() for _ in range(at_once)]
  cores = sorted(os.sched_getaffinity(0))
  if at_once >= len(cores):
    return [{cores[i % len(cores)]} for i in range(at_once)]
  each = len(cores) // at_once
  return [set(cores[i * each : (i + 1) * each]) for i in range(at_once)]


def _start(job: Job, cores: set[int]) -> subprocess.Popen:
  library = ctypes.CDLL(None) if sys.platform == 'linux' else None

  def prepare():
    if library:
      library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if cores:
      os.sched_setaffinity(0, cores)

  job.log.parent.mkdir(parents=True, exist_ok=True)
  with job.log.open('ab') as log:
    return subprocess.Popen(
      job.command,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=log,
      start_new_session=True,  # Ctrl-C reaches this process alone.
      preexec_fn=prepare,
    )
