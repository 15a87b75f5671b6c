"""The scripts as a user runs them, on the synthetic data set."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

import chaos
import pytest

from bigru_jax import runs

ROOT = pathlib.Path(__file__).resolve().parents[1]
SMALL = chaos.FLAGS


def _command(script, *arguments):
  return [sys.executable, str(ROOT / 'experiments' / script), *arguments]


def _call(script, *arguments, **options):
  return subprocess.run(
    _command(script, *map(str, arguments)),
    capture_output=True,
    text=True,
    timeout=300,
    **options,
  )


def _figures(workdir):
  """The lines of metrics.jsonl without what depends on the clock."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [
    {k: v for k, v in json.loads(line).items() if 'second' not in k}
    for line in lines
  ]


def test_a_run_leaves_what_the_readme_says(run):
  result = json.loads((run / 'result.json').read_text())
  assert set(result) == {
    'dataset', 'best_epoch', 'validation', 'test', 'train_seconds',
    'examples_per_second', 'tokens_per_second', 'compile_seconds',
    'padding_fraction', 'parameters', 'save_seconds', 'skipped_steps',
  }  # fmt: skip
  assert set(result['test']) == {'loss', 'accuracy', 'macro_f1', 'examples'}
  assert result['test']['examples'] == 400
  assert result['test']['accuracy'] > 0.95
  assert json.loads((run / 'labels.json').read_text()) == [
    'negative', 'positive',
  ]  # fmt: skip
  assert (run / 'vocabulary.txt').read_text().startswith('<pad>\n<unk>\n')
  assert list(run.glob('events.out.tfevents.*'))
  lines = _figures(run)
  assert {line['split'] for line in lines} == {'train', 'validation', 'test'}
  best = min(
    (line for line in lines if line['split'] == 'validation'),
    key=lambda line: line['loss'],
  )
  assert result['best_epoch'] == best['epoch']
  assert result['validation']['loss'] == best['loss']


def test_killed_runs_go_on_to_the_same_bits(run, tmp_path):
  killed = chaos.survive(tmp_path, 3, random.Random(0))
  assert killed == 3
  assert chaos.same(chaos.last_state(tmp_path), chaos.last_state(run))


@pytest.mark.parametrize('number', ['SIGTERM', 'SIGINT', 'SIGUSR1'])
def test_a_signal_saves_and_leaves_with_status_75(tmp_path, number):
  process = chaos.start(tmp_path)
  chaos.wait_for_training(process)
  process.send_signal(getattr(signal, number))
  log = process.communicate()[1]
  assert process.returncode == 75
  assert 'stopped at epoch 1' in log.splitlines()[-1]
  assert 'Traceback' not in log


def test_two_runs_do_not_share_a_workdir(tmp_path):
  with runs.locked(tmp_path):
    done = _call('run.py', f'--workdir={tmp_path}', *SMALL)
  assert done.returncode == 2
  assert f'in use by process {os.getpid()} on' in done.stderr


def test_another_patience_is_accepted_and_recorded(run, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(run, workdir)
  done = _call('run.py', f'--workdir={workdir}', *SMALL, '--patience=5')
  assert done.returncode == 0, done.stderr
  assert 'goes on with another patience' in done.stderr
  assert json.loads((workdir / 'config.json').read_text())['patience'] == 5
  assert _figures(workdir) == _figures(run)


def test_another_configuration_on_the_same_workdir_is_refused(run):
  done = _call('run.py', f'--workdir={run}', *SMALL, '--seed=1')
  assert done.returncode == 2
  assert '--seed (0 there)' in done.stderr.splitlines()[-1]


def test_predictions_keep_their_order(run):
  texts = ['the film was good', '', 'a not good plot with the actor', 'x' * 9]
  done = _call(
    'predict.py', f'--workdir={run}', '--input=-', '--output=-',
    '--batch_size=2', input='\n'.join(texts) + '\n',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  answers = [json.loads(line) for line in done.stdout.splitlines()]
  assert [answer['label'] for answer in answers][::2] == [
    'positive', 'negative',
  ]  # fmt: skip
  assert [token for token, _ in answers[0]['attention']] == texts[0].split()
  assert answers[1]['attention'] == [['<unk>', 1.0]]
  for answer in answers:
    assert abs(sum(answer['probabilities'].values()) - 1) < 1e-5
    assert abs(sum(weight for _, weight in answer['attention']) - 1) < 1e-5
  alone = _call('predict.py', f'--workdir={run}', f'--text={texts[2]}')
  assert json.loads(alone.stdout)['label'] == 'negative'


def test_predictions_to_a_file(run, tmp_path):
  source, output = tmp_path / 'in.csv', tmp_path / 'out.jsonl'
  source.write_text('review\nbad film\n"good, film"\n')
  done = _call(
    'predict.py', f'--workdir={run}', f'--input={source}',
    f'--output={output}', '--text_column=review',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  labels = [json.loads(x)['label'] for x in output.read_text().splitlines()]
  assert labels == ['negative', 'positive']


@pytest.mark.parametrize(
  'arguments, message',
  [
    (['--dataset=imdbb'], '--dataset: no data set'),
    (['--train=nowhere.csv'], '--train: no such file: nowhere.csv'),
    (['--dataset=synthetic', '--dropout=1'], '--dropout=1.0 is not below 1'),
    (['--dataset=synthetic', '--embeddings=no'], '--embeddings: no such file'),
    (['--dataset=synthetic', '--tokenizer=x'], '--tokenizer=x: choose words'),
    (['--dataset=synthetic', '--class_weights=1'], '--class_weights=1: give'),
    (
      ['--dataset=synthetic', '--cpu_devices=3', '--batch_size=64'],
      '--batch_size=64 is not a multiple of the 3 devices',
    ),
  ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, arguments, message):
  workdir = tmp_path / 'run'
  done = _call('run.py', f'--workdir={workdir}', *arguments)
  assert done.returncode == 2
  assert message in done.stderr.splitlines()[-1]
  assert 'Traceback' not in done.stderr
  assert not (workdir / 'metrics.jsonl').exists()


@pytest.mark.parametrize(
  'name, content',
  [
    ('config.json', '{"hidden_size": 1e99}'),
    ('config.json', '{"tokenizer": ["words"]}'),
    ('config.json', '[' * 9999),
    ('labels.json', '{"a": 1}'),
    ('vocabulary.txt', 'good\n'),
  ],
)
def test_a_damaged_run_is_one_line_and_status_2(run, tmp_path, name, content):
  for path in run.iterdir():
    if path.name != name:
      os.symlink(path, tmp_path / path.name)
  (tmp_path / name).write_text(content)
  done = _call('predict.py', f'--workdir={tmp_path}', '--text=good')
  assert done.returncode == 2
  assert name in done.stderr.splitlines()[-1]
  assert 'Traceback' not in done.stderr
