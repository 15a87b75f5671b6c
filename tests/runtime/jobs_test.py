"""Jobs that end well, badly, early, and too often."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from bigru_jax.runtime.jobs import Job, core_shares, run_jobs


def _job(folder, name, code):
  (folder / name).mkdir(exist_ok=True)
  return Job(
    name, [sys.executable, '-c', code, str(folder / name)],
    folder / name / 'log.txt',
  )  # fmt: skip


# Fails the first time with what is filled in, and succeeds after that.
ONCE = """
import os, pathlib, signal, sys
mark = pathlib.Path(sys.argv[1], 'mark')
if not mark.exists():
  mark.touch()
  {}
print('done')
"""


def _statuses(jobs, at_once=2):
  found = run_jobs(jobs, at_once, lambda: False)
  return {job.name: status for job, status in found}


def test_preempted_and_killed_jobs_are_started_again(tmp_path):
  jobs = [
    _job(tmp_path, 'good', 'print("fine")'),
    _job(tmp_path, 'preempted', ONCE.format('sys.exit(75)')),
    _job(tmp_path, 'killed', ONCE.format('os.kill(os.getpid(), 9)')),
    _job(tmp_path, 'bad', ONCE.format('sys.exit(2)')),
    _job(tmp_path, 'hopeless', 'import os; os.kill(os.getpid(), 9)'),
  ]
  assert _statuses(jobs) == {
    'good': 0, 'preempted': 0, 'killed': 0, 'bad': 2, 'hopeless': -9,
  }  # fmt: skip
  assert jobs[0].log.read_text() == 'fine\n'
  assert jobs[3].log.read_text() == ''


def test_the_last_line_of_a_job_is_reported_on_a_full_disk(tmp_path):
  job = _job(tmp_path, 'bad', 'import sys; print("one"); sys.exit("reason")')
  job.log = pathlib.Path('/dev/full')
  silent = _job(tmp_path, 'silent', '')
  assert _statuses([job, silent]) == {'bad': 1, 'silent': 0}
  assert (job.last_line, silent.last_line) == ('reason', '')


def test_a_busy_job_waits(tmp_path):
  busy_until = time.monotonic() + 0.5
  job = _job(tmp_path, 'waits', 'print("fine")')
  job.is_busy = lambda: time.monotonic() < busy_until
  assert _statuses([job, _job(tmp_path, 'other', '')]) == {
    'other': 0, 'waits': 0,
  }  # fmt: skip
  assert time.monotonic() > busy_until


def test_stopping_signals_the_running_jobs_and_starts_no_other(tmp_path):
  code = """
import pathlib, signal, sys, time
def save(*_):
  pathlib.Path(sys.argv[1], 'saved').touch()
  sys.exit(75)
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1], 'ready').touch()
time.sleep(60)
"""
  jobs = [_job(tmp_path, name, code) for name in 'abc']

  def stop():
    return all((tmp_path / name / 'ready').exists() for name in 'ab')

  assert list(run_jobs(jobs, 2, stop)) == []
  assert [(tmp_path / name / 'saved').exists() for name in 'abc'] == [
    True, True, False,
  ]  # fmt: skip


PARENT = """
import pathlib, sys
from bigru_jax.runtime.jobs import Job, run_jobs
folder = pathlib.Path(sys.argv[1])
child = "import os, pathlib, sys, time;" \\
  "pathlib.Path(sys.argv[1], 'pid').write_text(str(os.getpid()));" \\
  "time.sleep(60)"
job = Job('child', [sys.executable, '-c', child, str(folder)], folder / 'log')
list(run_jobs([job], 1, lambda: False))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='needs prctl')
def test_jobs_end_when_their_parent_is_killed(tmp_path):
  script = tmp_path / 'parent.py'
  script.write_text(PARENT)
  parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
  pid_file = tmp_path / 'pid'
  while not (pid_file.exists() and pid_file.read_text()):
    assert parent.poll() is None
    time.sleep(0.05)
  child = int(pid_file.read_text())
  parent.kill()
  parent.wait()
  deadline = time.monotonic() + 10
  while time.monotonic() < deadline:
    try:
      os.kill(child, 0)
      state = pathlib.Path(f'/proc/{child}/stat').read_text().split()[2]
    except (ProcessLookupError, FileNotFoundError):
      break
    if state == 'Z':
      break
    time.sleep(0.05)
  else:
    os.kill(child, signal.SIGKILL)
    pytest.fail('the job lives on')


def test_the_cores_are_divided_among_the_jobs(monkeypatch):
  monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(6)))
  assert core_shares(2) == [{0, 1, 2}, {3, 4, 5}]
  assert core_shares(4) == [{0}, {1}, {2}, {3}]
  assert core_shares(8)[:2] == [{0}, {1}] and len(core_shares(8)) == 8
