"""The launchers: their syntax, and the processes that they start."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import chaos
import pytest
from scripts import ROOT
import yaml

LAUNCH = ROOT / 'launch'
JOBS = 'kubernetes.yaml', 'kubernetes_bucket.yaml'
PATH = f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'


def _check(program, *arguments):
  """Runs a checker, which must find nothing."""
  found = shutil.which(program, path=PATH)
  if not found:
    pytest.skip(f"{program} is missing: pip install -e '.[dev]'")
  done = subprocess.run(
    [found, *map(str, arguments)], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.dev
def test_the_shell_scripts_pass_shellcheck():
  scripts = [*LAUNCH.glob('*.sh'), LAUNCH / 'slurm.sbatch']
  assert len(scripts) == 4
  _check('shellcheck', *scripts, *ROOT.glob('tests/system/*/*.sh'))


@pytest.mark.dev
def test_the_images_pass_hadolint():
  for folder in (LAUNCH, ROOT / 'docs' / 'serving'):
    _check('hadolint', folder / 'Dockerfile')


@pytest.mark.dev
def test_the_jobs_match_the_schemas_of_kubernetes():
  for name in JOBS:
    _check('kubernetes-validate', '--strict', LAUNCH / name)


@pytest.mark.parametrize('name', JOBS)
def test_the_processes_of_the_job_find_each_other(name):
  text = (LAUNCH / name).read_text()
  service, job = yaml.safe_load_all(text)
  pod = job['spec']['template']['spec']
  (container,) = pod['containers']
  # The DNS name of an indexed Job's pod: <job>-<index>.<subdomain>, where the
  # subdomain is a headless service that selects the pods.
  assert service['spec']['clusterIP'] == 'None'
  assert service['spec']['selector'] == {'job-name': job['metadata']['name']}
  assert pod['subdomain'] == service['metadata']['name']
  host = f'{job["metadata"]["name"]}-0.{pod["subdomain"]}'
  assert f'--coordinator={host}:55527' in container['args']
  processes = {entry['name']: entry['value'] for entry in container['env']}
  assert job['spec']['completionMode'] == 'Indexed'
  assert job['spec']['completions'] == int(processes['PROCESSES'])
  assert job['spec']['parallelism'] == int(processes['PROCESSES'])


@pytest.mark.parametrize('name', JOBS)
def test_the_job_retries_preempted_pods_but_not_bad_input(name):
  text = (LAUNCH / name).read_text()
  _, job = yaml.safe_load_all(text)
  template = job['spec']['template']['spec']
  actions = {}
  for rule in job['spec']['podFailurePolicy']['rules']:
    if 'onExitCodes' in rule:
      assert rule['onExitCodes']['operator'] == 'In'
      name = rule['onExitCodes']['containerName']
      assert name == template['containers'][0]['name']
      actions |= dict.fromkeys(rule['onExitCodes']['values'], rule['action'])
    else:
      (condition,) = rule['onPodConditions']
      actions[condition['type']] = rule['action']
  assert actions == {2: 'FailJob', 75: 'Ignore', 'DisruptionTarget': 'Ignore'}
  # Kubernetes accepts a podFailurePolicy only with this.
  assert template['restartPolicy'] == 'Never'


def _program(path, code):
  path.write_text(f'#!{sys.executable}\n{code}')
  path.chmod(0o755)
  return path


# A fake Python that exits with its process's status in STATUSES or, if
# that is -, waits for a signal and exits with status 75.
_PROCESS = """
import os, pathlib, signal, sys
flags = dict(f[2:].split('=') for f in sys.argv[2:] if '=' in f)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
index = flags['process_id']
pathlib.Path(os.environ['OUT'], index).write_text('\\n'.join(sys.argv[1:]))
status = os.environ['STATUSES'].split(',')[int(index)]
if status == '-':
  signal.pause()
sys.exit(int(status))
"""


def _local(tmp_path, statuses, *flags):
  python = _program(tmp_path / 'python', _PROCESS)
  return subprocess.Popen(
    [LAUNCH / 'local.sh', *flags],
    cwd=ROOT,
    env={
      **os.environ, 'PYTHON': str(python), 'OUT': str(tmp_path), 'PORT': '1234',
      'PROCESSES': str(len(statuses.split(','))), 'STATUSES': statuses,
    },
  )  # fmt: skip


def test_local_processes_have_the_same_flags_and_their_own_number(tmp_path):
  process = _local(tmp_path, '0,0,0', '--seed=1', '--train=a b.csv')
  assert process.wait(30) == 0
  for i in range(3):
    assert (tmp_path / str(i)).read_text().splitlines() == [
      'experiments/run.py', '--seed=1', '--train=a b.csv', '--distributed',
      '--coordinator=127.0.0.1:1234', '--num_processes=3', f'--process_id={i}',
    ]  # fmt: skip


@pytest.mark.parametrize(
  'statuses, status',
  [('75,75', 75), ('0,2', 2), ('75,2', 2), ('2,75', 2), ('0,75', 75)],
)
def test_a_local_run_exits_with_the_worst_status(tmp_path, statuses, status):
  assert _local(tmp_path, statuses).wait(30) == status


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_local_processes_are_asked_to_save(tmp_path, number):
  process = _local(tmp_path, '-,-')
  while not all((tmp_path / str(i)).exists() for i in range(2)):
    time.sleep(0.05)
  process.send_signal(number)
  assert process.wait(30) == 75


@pytest.mark.slow
def test_two_local_processes_are_one_run(tmp_path):
  done = subprocess.run(
    [LAUNCH / 'local.sh', f'--workdir={tmp_path}', *chaos.FLAGS],
    cwd=ROOT,
    env={**os.environ, 'PYTHON': sys.executable, 'PROCESSES': '2'},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  assert ', 2 devices; ' in done.stderr
  assert done.stdout.count('macro_f1') == 1  # Only process 0 prints it.
  assert (tmp_path / 'result.json').exists()


# A fake gcloud that records the files it copies and the commands it runs.
_GCLOUD = """
import os, pathlib, shutil, sys
folder = pathlib.Path(os.environ['OUT'])
action = sys.argv[4]
(folder / action).write_text('\\n'.join(sys.argv[5:]))
if action == 'scp':
  shutil.copy(sys.argv[5], folder / 'source.tar')
else:
  command = sys.argv[-1].removeprefix('--command=')
  (folder / 'run.sh').write_text(command[command.rindex('&& ') + 3 :])
sys.exit(75 if action == 'ssh' else 0)
"""


def test_a_slice_gets_the_last_commit_and_the_flags(tmp_path):
  if not (ROOT / '.git').exists():
    pytest.skip('not a git repository')
  _program(tmp_path / 'gcloud', _GCLOUD)
  done = subprocess.run(
    [LAUNCH / 'tpu_vm.sh', '--seed=1', "--train=it's a.csv"],
    cwd=ROOT,
    env={
      **os.environ, 'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
      'OUT': str(tmp_path), 'TPU': 'v5e', 'ZONE': 'here',
    },
  )  # fmt: skip
  assert done.returncode == 75  # The run's own.
  for action in ('scp', 'ssh'):
    arguments = (tmp_path / action).read_text().splitlines()
    assert {'--zone=here', '--worker=all'} <= set(arguments)
  with tarfile.open(tmp_path / 'source.tar') as archive:
    assert {'setup.py', 'experiments/run.py'} <= set(archive.getnames())
  # The command as the shell of a worker reads it.
  words = subprocess.run(
    ['bash', '-c', f'printf "%s\\n" {(tmp_path / "run.sh").read_text()}'],
    capture_output=True, text=True, check=True,
  ).stdout.splitlines()  # fmt: skip
  assert words == [
    '.venv/bin/python', 'experiments/run.py', '--seed=1',
    "--train=it's a.csv", '--distributed',
  ]  # fmt: skip


# A fake gcloud that writes down its actions. The slice is asked for and becomes
# active, or is suspended; the run ends with the statuses in STATUSES.
_QUEUE = """
import os, pathlib, sys
folder = pathlib.Path(os.environ['OUT'])
with (folder / 'actions').open('a') as file:
  print(*sys.argv[3:6], file=file)
action = sys.argv[4]
if action in ('describe', 'ssh'):
  answers = folder / action
  first, *rest = answers.read_text().split()
  answers.write_text(' '.join(rest))
  if action == 'ssh':
    sys.exit(int(first))
  print(first)
"""


@pytest.mark.parametrize(
  'states, statuses, status, requests',
  [
    ('WAITING_FOR_RESOURCES ACTIVE ACTIVE ACTIVE', '75 1 0', 0, 3),
    ('SUSPENDED ACTIVE', '0', 0, 2),
    ('ACTIVE', '2', 2, 1),
  ],
)
def test_a_spot_slice_is_asked_for_until_the_run_is_finished(
  tmp_path, states, statuses, status, requests
):
  if not (ROOT / '.git').exists():
    pytest.skip('not a git repository')
  _program(tmp_path / 'gcloud', _QUEUE)
  (tmp_path / 'describe').write_text(states)
  (tmp_path / 'ssh').write_text(statuses)
  done = subprocess.run(
    [LAUNCH / 'tpu_spot.sh', '--workdir=gs://bucket/run'],
    cwd=ROOT,
    env={
      **os.environ, 'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
      'OUT': str(tmp_path), 'TPU': 'mine', 'ZONE': 'here', 'TYPE': 'v5e',
      'SECONDS_BETWEEN_CHECKS': '0',
    },
    timeout=60,
  )  # fmt: skip
  assert done.returncode == status
  actions = (tmp_path / 'actions').read_text().splitlines()
  assert actions.count('queued-resources create mine') == requests
  assert actions[-1] == 'queued-resources delete mine'
