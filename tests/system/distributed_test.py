"""Runs of several processes, against one process with as many devices."""

import json
import signal
import subprocess
import sys
import time

import chaos
import processes
import pytest
from scripts import call

from bigru_jax.reports.page.page import data_of
from bigru_jax.rundir import files as run_files

FLAGS = [*chaos.FLAGS, '--epochs=2']
# Two processes predict different texts in different numbers.
PREDICT = """
import json, sys
import jax
import bigru_jax
workdir, address, process = sys.argv[1:]
jax.distributed.initialize(address, 2, int(process))
texts = ['a film', 'another film', 'no film'][int(process):]
answers = bigru_jax.load(workdir).predict(texts)
print(json.dumps([answer['probabilities'] for answer in answers]))
"""


def _one(workdir, devices, flags):
  """A run of a single process."""
  done = call(
    'run.py', f'--workdir={workdir}', f'--cpu_devices={devices}', *flags
  )
  assert done.returncode == 0, done.stderr


def _several(workdir, count, flags, devices=1):
  """Runs several processes to their end; returns their logs."""
  started = processes.start(workdir, *[flags] * count, devices=devices)
  statuses, logs = processes.wait(started, workdir)
  assert statuses == [0] * count, '\n'.join(logs)
  return logs


def _assert_same_run(workdir, expected):
  ours, others = chaos.metrics(workdir), chaos.metrics(expected)
  assert len(ours) == len(others)
  for line, other in zip(ours, others):
    assert line == pytest.approx(other, abs=1e-5)
  for split in ('validation', 'test'):
    ours = run_files.read_predictions(workdir, split)
    others = run_files.read_predictions(expected, split)
    assert [x['row'] for x in ours] == [x['row'] for x in others]
    for answer, other in zip(ours, others):
      assert answer['probabilities'] == pytest.approx(
        other['probabilities'], abs=1e-5
      )
  # The page's attention is sharded over the processes.
  ours, others = (
    data_of(x / 'report.html')['texts'] for x in (workdir, expected)
  )
  assert ours['text'] == others['text'] and ours['tokens'] == others['tokens']
  for heads, other in zip(ours['largest'], others['largest']):
    assert heads == pytest.approx(other, rel=0.01)


@pytest.mark.slow
def test_two_processes_train_as_one_with_two_devices(tmp_path):
  _one(tmp_path / 'one', 2, FLAGS)
  logs = _several(tmp_path / 'two', 2, FLAGS)
  _assert_same_run(tmp_path / 'two', tmp_path / 'one')
  names = [
    {p.name for p in path.iterdir() if not p.name.startswith('events')}
    for path in (tmp_path / 'one', tmp_path / 'two')
  ]
  assert names[0] == names[1]
  assert len(list((tmp_path / 'two').glob('events.out.*'))) == 1
  assert 'epoch  1' in logs[0] and 'macro_f1' in logs[0]
  assert 'epoch  1' not in logs[1] and 'macro_f1' not in logs[1]
  # A single process on a single device reads what two have written.
  done = call('predict.py', f'--workdir={tmp_path / "two"}', '--text=a film')
  assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
  'count, devices, flags',
  [
    (4, 1, []),
    (2, 2, ['--model=hierarchical', '--ema_decay=0.9']),
    (
      2,
      1,
      [
        '--dataset=synthetic_multi_label',
        '--task=multi_label',
        '--select_by=roc_auc',
      ],
    ),
  ],
)
def test_processes_train_as_as_many_devices_do(tmp_path, count, devices, flags):
  flags = [*FLAGS, *flags]
  _one(tmp_path / 'one', count * devices, flags)
  _several(tmp_path / 'several', count, flags, devices)
  _assert_same_run(tmp_path / 'several', tmp_path / 'one')


@pytest.mark.slow
def test_processes_share_texts_without_labels(tmp_path):
  path = tmp_path / 'texts.jsonl'
  path.write_text('\n'.join(f'{{"text": "a film {i}"}}' for i in range(99)))
  flags = [*FLAGS, f'--unlabelled={path}', '--entropy_weight=0.5']
  _one(tmp_path / 'one', 2, flags)
  _several(tmp_path / 'two', 2, flags)
  _assert_same_run(tmp_path / 'two', tmp_path / 'one')


@pytest.mark.slow
def test_processes_pretrain_one_language_model(tmp_path):
  flags = [x for x in FLAGS if not x.startswith('--dropout=')]
  flags += ['--task=language_model']
  _one(tmp_path / 'one', 2, flags)
  _several(tmp_path / 'two', 2, flags)
  two, one = map(chaos.metrics, (tmp_path / 'two', tmp_path / 'one'))
  assert two == [pytest.approx(line, abs=1e-4) for line in one]
  assert 'perplexity' in two[-1]


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  """The directory of a run by two processes; not to be written to."""
  workdir = tmp_path_factory.mktemp('undisturbed') / 'run'
  _several(workdir, 2, chaos.FLAGS)
  return workdir


def _interrupted(workdir, process, number, flags=chaos.FLAGS):
  """A run by two processes, one of which gets a signal during training."""
  since = time.time()
  started = processes.start(workdir, flags, flags)
  chaos.wait_for_training(started[0], workdir, since)
  started[process].send_signal(number)
  sent = time.monotonic()
  statuses, logs = processes.wait(started, workdir)
  return statuses, logs, time.monotonic() - sent


@pytest.mark.slow
@pytest.mark.parametrize('process, number', [(0, 'SIGINT'), (1, 'SIGTERM')])
def test_a_signal_at_one_process_stops_all_at_the_same_step(
  undisturbed, tmp_path, process, number
):
  workdir = tmp_path / 'run'
  statuses, logs, _ = _interrupted(workdir, process, getattr(signal, number))
  assert statuses == [75, 75], '\n'.join(logs)
  messages = {log.splitlines()[-1] for log in logs}
  assert len(messages) == 1
  assert 'stopped at epoch' in messages.pop()
  _several(workdir, 2, chaos.FLAGS)
  assert chaos.ending(workdir) == chaos.ending(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize('process', [0, 1])
def test_a_killed_process_takes_the_others_down(undisturbed, tmp_path, process):
  workdir = tmp_path / 'run'
  statuses, logs, seconds = _interrupted(workdir, process, signal.SIGKILL)
  assert statuses[process] == -signal.SIGKILL
  assert statuses[1 - process] not in (0, 2, 75)
  assert seconds < 60
  # Ours, or that of JAX's runtime, whichever comes first.
  log = logs[1 - process]
  assert 'another process of the run has' in log or 'another task died' in log
  _several(workdir, 2, chaos.FLAGS)
  assert chaos.ending(workdir) == chaos.ending(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize('count', [1, 4])
def test_a_run_of_two_processes_resumes_on_four_devices(tmp_path, count):
  _one(tmp_path / 'undisturbed', 1, FLAGS)
  workdir = tmp_path / 'run'
  statuses, _, _ = _interrupted(workdir, 1, signal.SIGTERM, FLAGS)
  assert statuses == [75, 75]
  if count == 1:
    _one(workdir, 4, FLAGS)
  else:
    _several(workdir, count, FLAGS)
  ours, others = chaos.metrics(workdir), chaos.metrics(tmp_path / 'undisturbed')
  assert [x['step'] for x in ours] == [x['step'] for x in others]
  # Sums in another order differ by rounding, which a hundred steps amplify.
  for line, other in zip(ours, others):
    assert line['loss'] == pytest.approx(other['loss'], abs=1e-4)


@pytest.mark.slow
def test_each_of_two_processes_predicts_on_its_own(undisturbed):
  address = f'127.0.0.1:{processes.free_port()}'
  started = [
    subprocess.Popen(
      [sys.executable, '-c', PREDICT, undisturbed, address, str(i)],
      stdout=subprocess.PIPE,
      text=True,
    )
    for i in range(2)
  ]
  ours, others = (json.loads(x.communicate(timeout=300)[0]) for x in started)
  assert len(ours) == 3 and len(others) == 2
  for answer, other in zip(ours[1:], others):
    assert answer == pytest.approx(other, abs=1e-6)


def test_bad_input_at_one_process_ends_all_with_status_2(tmp_path):
  (tmp_path / 'x.csv').write_text(
    'text,label\n' + ''.join(f'film {i},{i % 2}\n' for i in range(60))
  )
  workdir = tmp_path / 'run'
  started = processes.start(
    workdir, [f'--train={tmp_path}/x.csv'], [f'--train={tmp_path}/y.csv']
  )
  statuses, logs = processes.wait(started, workdir)
  assert statuses == [2, 2]
  message = f'train={tmp_path}/y.csv: no such file'
  assert logs[0].splitlines()[-1] == f'run.py: process 1: {message}'
  assert logs[1].splitlines()[-1] == f'run.py: {message}'
  assert not workdir.exists()


@pytest.mark.slow
def test_distributed_needs_a_coordinator(tmp_path):
  done = call('run.py', f'--workdir={tmp_path}', *FLAGS, '--distributed')
  assert done.returncode == 2
  assert (
    'no Slurm, Open MPI, Kubernetes or Cloud TPU was found'
    in done.stderr.splitlines()[-1]
  )
