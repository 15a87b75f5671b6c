"""Sweeps as a user starts, kills and resumes them."""

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import time

import numpy as np
import pandas
import pytest
from scripts import call, command, run_command
from sklearn import metrics as sklearn_metrics

import bigru_jax

FLAGS = [
  '--', '--dataset=synthetic', '--embedding_size=16', '--hidden_size=16',
  '--batch_size=32', '--checkpoint_every=10', '--epochs=3', '--dropout=0.2',
  '--embedding_dropout=0.2',
]  # fmt: skip


def _sweep(output, *flags, others=FLAGS):
  return call('sweep.py', f'--output={output}', *flags, *others)


def _table(output):
  """The comparison without its times."""
  found = json.loads((output / 'sweep.json').read_text())
  for setting in found['settings'].values():
    for run in setting['runs']:
      del run['seconds']
  return found


@pytest.mark.slow
def test_printed_commands_run_the_sweep_and_are_collected(tmp_path):
  flags = ['--grid=learning_rate=0.02,0.0001', '--seeds=0-1']
  printed = _sweep(tmp_path, *flags, '--print_commands')
  assert printed.returncode == 0, printed.stderr
  lines = printed.stdout.splitlines()
  assert len(lines) == 4
  early = run_command('sweep', '--collect', f'--output={tmp_path}')
  assert early.returncode == 2 and 'no run is finished' in early.stderr
  for line in lines[:3]:
    subprocess.run(shlex.split(line), check=True, capture_output=True)
  collected = run_command('sweep', '--collect', f'--output={tmp_path}')
  assert collected.returncode == 0, collected.stderr
  assert '3 of 4 runs are finished.' in collected.stdout
  table = run_command(
    'sweep', '--collect', f'--output={tmp_path}', '--format=csv'
  )
  assert '3 of 4 runs are finished.' in table.stderr
  setting = pandas.read_csv(io.StringIO(table.stdout)).iloc[0]
  assert setting.setting == 'learning_rate=0.02' and setting.n == 2
  done = _sweep(tmp_path, *flags)  # The rest; what is finished is skipped.
  assert done.returncode == 0, done.stderr
  assert (tmp_path / 'sweep.md').read_text() == done.stdout
  assert '**learning_rate=0.02**' in done.stdout
  assert '| learning_rate=0.0001 |' in done.stdout
  with (tmp_path / 'sweep.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert [(row['setting'], row['seed']) for row in rows] == [
    ('learning_rate=0.02', '0'), ('learning_rate=0.02', '1'),
    ('learning_rate=0.0001', '0'), ('learning_rate=0.0001', '1'),
  ]  # fmt: skip
  result = json.loads(
    (tmp_path / 'learning_rate=0.02,seed=1' / 'result.json').read_text()
  )
  accuracy = result['test']['accuracy']
  assert float(rows[1]['test_accuracy']) == accuracy
  # Without a terminal, the log has a line for each run that it has trained.
  finished = 'learning_rate=0.0001,seed=1 is finished, validation accuracy '
  assert done.stderr.count(' is finished, ') == 1 and finished in done.stderr
  assert (tmp_path / 'sweep.png').exists()
  assert _sweep(tmp_path, *flags, '--print_commands').stdout == ''
  # The same folder with other flags is another sweep.
  other = _sweep(tmp_path, *flags, others=[*FLAGS, '--dropout=0.1'])
  assert other.returncode == 2
  assert 'holds another run, which differs in dropout' in other.stderr


_WRONG = [
  (['--grid=learning_rate=-1'], 'learning_rate=-1.0 is below 0'),
  (['--grid=hidden=3'], "Unknown command line flag 'hidden'"),
  (['--grid=hidden_size'], "grid='hidden_size': give name=value,value"),
  (['--grid=seed=1,2'], 'seed is not a setting'),
  (['--seeds=3-1'], "seeds='3-1': there is no seed, or one occurs twice"),
  (['--seeds=x'], "seeds='x': give seeds such as 0-4 or 0,3,7"),
  (
    ['--settings_file=missing.jsonl'],
    'settings_file=missing.jsonl: no such file',
  ),
  (['--metric=f2'], "metric='f2': choose loss, accuracy"),
  (['--metric=lrap'], 'metric=lrap needs --task=multi_label'),
  (
    ['--metric=semeval2010'],
    'metric=semeval2010_f1 needs --select_by=semeval2010_f1',
  ),
  (['--predict=missing.csv'], 'predict=missing.csv: no such file'),
  (
    ['--predict=a.csv', '--print_commands'],
    'predict needs a sweep without pri',
  ),
  ([*FLAGS, '--seed=3'], 'seed is set after --: see seeds, folds and output'),
]


@pytest.mark.parametrize('flags, message', _WRONG)
def test_a_wrong_sweep_starts_nothing(tmp_path, flags, message):
  others = [] if '--' in flags else FLAGS
  done = run_command('sweep', f'--output={tmp_path}/sweep', *flags, *others)
  assert done.returncode == 2, done.stdout
  assert message in done.stderr and len(done.stderr.splitlines()) == 1
  assert not (tmp_path / 'sweep').exists()


@pytest.mark.parametrize(
  'varied, common, message',
  [
    (
      '--grid=dropout=0.5,0.3',
      '--dropout=0.1',
      'dropout is set after --: see grid',
    ),
    (
      '--grid=sst_phrases=true',
      '--nosst_phrases',
      'sst_phrases is set after --: see grid',
    ),
    (
      '--settings_file=settings.jsonl',
      '--epochs=2',
      'epochs is set after --: see grid and settings_file',
    ),
    ('--grid=epochs=2,3', '--flagfile=epochs.flags', 'epochs is set after --'),
    ('--grid=keep=head,tail', '--truncate=middle', 'keep is set after --'),
    ('--seeds=1', '--flagfile=seed.flags', 'seed is set after --: see seeds,'),
    (
      '--settings_file=twice.jsonl',
      '--epochs=2',
      "row 2 names 'dropout' twice",
    ),
    (
      '--settings_file=.',
      '--epochs=2',
      'settings_file=. is a folder: name a file',
    ),
  ],
)
def test_flags_that_a_sweep_would_ignore_are_refused(
  tmp_path, varied, common, message
):
  (tmp_path / 'settings.jsonl').write_text('{"dropout": 0.1}\n{"epochs": 3}\n')
  (tmp_path / 'twice.jsonl').write_text('{}\n{"dropout": 0.1, "dropout": 0}\n')
  (tmp_path / 'epochs.flags').write_text('--epochs=2\n')
  (tmp_path / 'seed.flags').write_text('--seed=2\n')
  done = run_command(
    'sweep', '--output=sweep', varied, '--', common, cwd=tmp_path
  )
  assert done.returncode == 2 and message in done.stderr, done.stderr
  assert len(done.stderr.splitlines()) == 1
  assert not (tmp_path / 'sweep').exists()


def test_a_sweep_that_leaves_out_runs_of_the_one_before_warns(tmp_path):
  flags = [f'--output={tmp_path}', '--print_commands']
  for grid, is_warned in (('0.1,0.2', False), ('0.1,0.2,0.3', False),
                          ('0.3', True)):  # fmt: skip
    done = run_command('sweep', *flags, f'--grid=dropout={grid}', *FLAGS[:2])
    assert done.returncode == 0, done.stderr
    assert ('2 other runs, such as dropout=0.1' in done.stderr) == is_warned


@pytest.mark.slow
def test_a_failed_run_costs_one_cell(tmp_path):
  settings = tmp_path / 'settings.jsonl'
  settings.write_text(
    '{"learning_rate": 0.01}\n{"class_weights": "1,2,3"}\n'  # For two classes.
  )
  done = _sweep(tmp_path / 'sweep', f'--settings_file={settings}', '--jobs=2')
  assert done.returncode == 1
  assert '1 of 2 runs are finished.' in done.stdout
  assert 'Failed: class_weights=1,2,3,seed=0' in done.stdout
  assert "class_weights='1,2,3': give" in done.stderr


@pytest.mark.slow
def test_a_killed_sweep_ends_as_an_undisturbed_one(tmp_path):
  flags = ['--grid=hidden_size=8,16', '--seeds=0-1', '--folds=0']
  flags += ['--grid=learning_rate=0.01,0.003']
  flags += ['--jobs=2']  # Each run has the same number of cores in both sweeps.
  common = [flag for flag in FLAGS if 'hidden_size' not in flag]
  undisturbed = _sweep(tmp_path / 'whole', *flags, others=common)
  assert undisturbed.returncode == 0, undisturbed.stderr
  output = tmp_path / 'killed'
  line = command('sweep.py', f'--output={output}', *flags, *common)

  def wait_for(count, name):
    deadline = time.monotonic() + 120
    while len(list(output.glob(f'*/{name}'))) < count:
      assert sweep.poll() is None and time.monotonic() < deadline
      time.sleep(0.05)

  # SIGKILL for a run, then for the sweep itself, then Ctrl-C.
  sweep = subprocess.Popen(line, stderr=subprocess.DEVNULL)
  wait_for(1, 'metrics.jsonl')
  found = subprocess.run(
    ['pgrep', '-P', str(sweep.pid)], capture_output=True, text=True
  )
  os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
  wait_for(2, 'result.json')
  sweep.kill()
  sweep.wait()
  sweep = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
  wait_for(4, 'result.json')
  sweep.send_signal(signal.SIGINT)
  _, said = sweep.communicate(timeout=60)
  assert sweep.returncode == 75 and 'the same command resumes' in said
  done = subprocess.run(line, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert _table(output) == _table(tmp_path / 'whole')


@pytest.mark.slow
def test_a_sweep_over_folds_predicts_each_example_and_new_texts(tmp_path):
  rows = [
    f'a {"good" if i % 2 else "bad"} film {i % 60},{i % 7 % 2},n{i}'
    for i in range(200)
  ]
  path, new = tmp_path / 'reviews.csv', tmp_path / 'new.csv'
  path.write_text('text,label,key\n' + '\n'.join(rows) + '\n')
  new.write_text('key,text\n7,a good film\n8,a bad film\n')
  others = ['--', f'--train={path}', '--epochs=2', '--id_column=key']
  flags = ['--folds=3', '--jobs=2', f'--predict={new}']
  done = _sweep(tmp_path / 'sweep', *flags, others=others)
  assert done.returncode == 0, done.stderr
  assert '(n = 3)' in done.stdout
  assert done.stdout.count('redictions: ') == 2
  found = pandas.read_csv(tmp_path / 'sweep' / 'out_of_fold.csv')
  assert list(found) == [
    'id',
    'label',
    'probability_0',
    'probability_1',
    'fold',
  ]
  assert found.id.tolist() == [f'n{i}' for i in range(200)]
  assert found.label.tolist() == [i % 7 % 2 for i in range(200)]
  workdirs = []
  for fold, group in found.groupby('fold'):
    workdirs.append(tmp_path / 'sweep' / f'default,seed=0,fold={fold}')
    result = json.loads((workdirs[-1] / 'result.json').read_text())['test']
    is_correct = group.label == (group.probability_1 > group.probability_0)
    assert result['examples'] == len(group)
    assert result['accuracy'] == pytest.approx(is_correct.mean())
    score = sklearn_metrics.log_loss(group.label, group.probability_1)
    assert result['loss'] == pytest.approx(score, abs=1e-4)
  assert len(workdirs) == 3
  predictions = pandas.read_csv(tmp_path / 'sweep' / 'predictions.csv')
  expected = bigru_jax.load_ensemble(workdirs).predict(predictions.text)
  np.testing.assert_allclose(
    predictions.probability_1,
    [answer['probabilities']['1'] for answer in expected],
    atol=1e-5,
  )
  assert predictions.key.tolist() == [7, 8]
