"""The batch script under a real Slurm on this machine's loopback."""

import getpass
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import chaos
import pytest
from scripts import ROOT, call

LONG = [*chaos.FLAGS, '--epochs=99', '--patience=99']
CLUSTER = str(pathlib.Path(__file__).with_name('slurm') / 'cluster.sh')
PATH = os.environ['PATH'] + os.pathsep + '/usr/sbin'
PROGRAMS = ['sbatch', 'slurmctld', 'slurmd', 'munged']
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=PATH)]

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    bool(MISSING), reason=f'not installed: {", ".join(MISSING)}'
  ),
]


@pytest.fixture(scope='module')
def cluster(tmp_path_factory):
  """Runs a Slurm command in the repository's root; returns its output."""
  folder = tmp_path_factory.mktemp('slurm')
  environment = {
    **os.environ,
    'PATH': PATH,
    'SLURM_CONF': str(folder / 'slurm.conf'),
    'PYTHON': sys.executable,
  }
  subprocess.run([CLUSTER, 'start', folder], check=True, timeout=60)

  def run(*command):
    done = subprocess.run(
      list(map(str, command)), cwd=ROOT, env=environment, check=True,
      timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()

  yield run
  subprocess.run([CLUSTER, 'stop', folder], check=True, timeout=60)


@pytest.fixture
def slurm(cluster):
  """The cluster, without jobs after each test."""
  yield cluster
  cluster('scancel', f'--user={getpass.getuser()}')


def _submit(slurm, log, *arguments, options=()):
  return slurm(
    'sbatch', '--parsable', f'--output={log}', *options,
    'launch/slurm.sbatch', *arguments,
  )  # fmt: skip


def _job(slurm, job):
  """Slurm's record of a job: JobState, ExitCode, Restarts."""
  line = slurm('scontrol', '--oneliner', 'show', 'job', job)
  return dict(word.partition('=')[::2] for word in line.split())


def _wait(slurm, job, *states, seconds=600):
  """Waits until a job is in one of some states."""
  end = time.monotonic() + seconds
  while (found := _job(slurm, job))['JobState'] not in states:
    assert time.monotonic() < end, found
    time.sleep(0.3)
  return found


def _wait_for_training(workdir, seconds=600):
  end = time.monotonic() + seconds
  while not (workdir / 'metrics.jsonl').exists():
    assert time.monotonic() < end, f'{workdir} does not train'
    time.sleep(0.1)


def test_a_run_that_gets_sigterm_is_requeued_and_ends_as_if_undisturbed(
  slurm, tmp_path, run_directory
):
  workdir, log = tmp_path / 'run', tmp_path / 'log'
  job = _submit(slurm, log, f'--workdir={workdir}', *chaos.FLAGS)
  _wait_for_training(workdir)
  slurm('scancel', '--signal=TERM', job)
  found = _wait(slurm, job, 'COMPLETED', 'FAILED', 'CANCELLED')
  text = log.read_text()
  assert (found['JobState'], found['Restarts']) == ('COMPLETED', '1'), text
  # Both starts write to one log.
  assert text.index('run.py: stopped at epoch') < text.index(
    'resuming at epoch'
  )
  assert (workdir / 'result.json').exists()
  assert chaos.ending(workdir) == chaos.ending(run_directory)


def test_two_tasks_are_one_run_and_resume_together(slurm, tmp_path):
  workdir, log = tmp_path / 'run', tmp_path / 'log'
  job = _submit(
    slurm, log, f'--workdir={workdir}', *chaos.FLAGS,
    options=['--ntasks-per-node=2', '--cpus-per-task=1'],
  )  # fmt: skip
  _wait_for_training(workdir)
  slurm('scancel', '--signal=TERM', job)
  found = _wait(slurm, job, 'COMPLETED', 'FAILED', 'CANCELLED')
  text = log.read_text()
  assert (found['JobState'], found['Restarts']) == ('COMPLETED', '1'), text
  assert text.count('run.py: stopped at epoch') == 2  # One a task.
  assert ', 2 devices; ' in text
  one = call(
    'run.py', f'--workdir={tmp_path / "one"}', '--cpu_devices=2', *chaos.FLAGS
  )
  assert one.returncode == 0, one.stderr
  ours, others = chaos.metrics(workdir), chaos.metrics(tmp_path / 'one')
  assert len(ours) == len(others)
  for line, other in zip(ours, others):
    assert line == pytest.approx(other, abs=1e-5)


def test_a_run_whose_time_is_almost_over_is_requeued(slurm, tmp_path):
  workdir, log = tmp_path / 'run', tmp_path / 'log'
  job = _submit(slurm, log, f'--workdir={workdir}', *LONG)
  _wait_for_training(workdir)
  slurm('scancel', '--batch', '--signal=USR1', job)  # As --signal=B:USR1 does.
  _wait(slurm, job, 'PENDING')
  assert 'run.py: stopped at epoch' in log.read_text()


def test_a_run_that_is_preempted_for_an_urgent_job_saves(slurm, tmp_path):
  workdir, log = tmp_path / 'run', tmp_path / 'log'
  job = _submit(slurm, log, f'--workdir={workdir}', *LONG)
  _wait_for_training(workdir)
  urgent = slurm(
    'sbatch', '--parsable', '--partition=urgent', '--ntasks=2',
    f'--output={os.devnull}', '--wrap=true',
  )  # fmt: skip
  _wait(slurm, urgent, 'COMPLETED')
  assert _job(slurm, job)['Restarts'] == '1'
  assert 'run.py: stopped at epoch' in log.read_text()


def test_a_cancelled_run_stays_cancelled(slurm, tmp_path):
  workdir, log = tmp_path / 'run', tmp_path / 'log'
  job = _submit(slurm, log, f'--workdir={workdir}', *LONG)
  _wait_for_training(workdir)
  slurm('scancel', job)
  found = _wait(slurm, job, 'CANCELLED', 'PENDING')
  assert (found['JobState'], found['Restarts']) == ('CANCELLED', '0')
  assert 'run.py: stopped at epoch' in log.read_text()


def test_a_wrong_flag_fails_the_job_for_good(slurm, tmp_path):
  job = _submit(slurm, tmp_path / 'log', '--batch_size=0')
  found = _wait(slurm, job, 'FAILED')
  assert (found['ExitCode'], found['Restarts']) == ('2:0', '0')


def test_an_array_job_runs_a_sweep(slurm, tmp_path):
  output, lines = tmp_path / 'a sweep', tmp_path / 'runs.txt'
  common = [flag for flag in chaos.FLAGS if 'learning_rate' not in flag]
  printed = call(
    'sweep.py', f'--output={output}', '--grid=learning_rate=0.02,0.0001',
    '--seeds=0-1', '--print_commands', '--', *common, '--epochs=3',
  )  # fmt: skip
  assert printed.returncode == 0, printed.stderr
  lines.write_text(printed.stdout)
  log = f'{tmp_path}/%a.log'
  options = ['--array=1-4', '--cpus-per-task=1']
  job = _submit(slurm, log, lines, options=options)
  for task in range(1, 5):
    found = _wait(slurm, f'{job}_{task}', 'COMPLETED', 'FAILED')
    text = (tmp_path / f'{task}.log').read_text()
    assert found['JobState'] == 'COMPLETED', text
  collected = call('sweep.py', '--collect', f'--output={output}')
  assert collected.returncode == 0, collected.stderr
  assert '**learning_rate=0.02**' in collected.stdout
  assert '| learning_rate=0.0001 |' in collected.stdout
  settings = json.loads((output / 'sweep.json').read_text())['settings']
  assert [len(each['runs']) for each in settings.values()] == [2, 2]


def test_an_array_job_with_too_many_tasks_is_named(slurm, tmp_path):
  (tmp_path / 'runs.txt').write_text('true\n')
  log = tmp_path / 'log'
  job = _submit(slurm, log, tmp_path / 'runs.txt', options=['--array=2'])
  found = _wait(slurm, f'{job}_2', 'FAILED', 'COMPLETED')
  assert found['ExitCode'] == '2:0'
  assert 'runs.txt has no line 2' in log.read_text()
