"""Soft labels and weights, as commands train on them and evaluate them."""

import csv
import json
import re

import numpy as np
import pytest
from scripts import run_command
from sklearn.metrics import accuracy_score

RNG = np.random.default_rng(0)
WORDS = 'a fine dull long film plot cast of the'.split()
TEXTS = [' '.join(RNG.choice(WORDS, 3 + i % 5)) for i in range(60)]
SHARES = RNG.dirichlet([0.5, 0.5, 0.5], 60).round(4)
WEIGHTS = RNG.integers(0, 5, 60) / 2
SIZES = '--embedding_size=4', '--hidden_size=4', '--batch_size=8', '--epochs=1'
COLUMNS = '--label_column=a,b,c', '--weight_column=w'


def _write(path, columns, rows=slice(None)):
  with path.open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['text', *columns])
    writer.writerows(
      list(zip(TEXTS, *(list(x) for x in columns.values())))[rows]
    )
  return path


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """The folder of a run on soft labels and weights, and of its test file."""
  folder = tmp_path_factory.mktemp('soft')
  columns = {**dict(zip('abc', SHARES.T)), 'w': WEIGHTS}
  train = _write(folder / 'train.csv', columns)
  test = _write(folder / 'test.csv', columns, slice(30, 60))
  done = run_command(
    'run', f'--train={train}', f'--test={test}', '--soft_labels', *COLUMNS,
    *SIZES, f'--workdir={folder}/run',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert re.search(r'\d+ of \d+ texts have soft labels', done.stderr)
  return folder


def _metric(done, name):
  assert done.returncode == 0, done.stderr
  return re.search(rf'^{name} +(\S+)$', done.stdout, re.MULTILINE)[1]


def test_a_file_is_evaluated_with_its_soft_labels_and_weights(trained):
  result = json.loads((trained / 'run/result.json').read_text())['test']
  evaluate = 'evaluate', f'--workdir={trained}/run'
  of_file = run_command(*evaluate, f'--input={trained}/test.csv')
  of_split = run_command(*evaluate, '--split=test')
  for done in (of_file, of_split):
    for name in ('loss', 'accuracy', 'macro_f1'):
      assert _metric(done, name) == f'{result[name]:.4f}'
  lines = (trained / 'run/predictions-test.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  expected = accuracy_score(
    [line['label'] for line in lines],
    [line['prediction'] for line in lines],
    sample_weight=WEIGHTS[30:],
  )
  np.testing.assert_allclose(result['accuracy'], expected)
  diagnostics = json.loads((trained / 'run/diagnostics.json').read_text())
  bins = diagnostics['reliability']
  assert sum(x['count'] for x in bins) == WEIGHTS[30:].sum()
  correct = sum(x['count'] * x['accuracy'] for x in bins)
  np.testing.assert_allclose(correct / WEIGHTS[30:].sum(), expected)
  by_length = diagnostics['by_length']
  assert sum(x['count'] for x in by_length) == np.count_nonzero(WEIGHTS[30:])
  lengths = np.array([len(text.split()) for text in TEXTS[30:]])
  right = [line['label'] == line['prediction'] for line in lines]
  for x in by_length:
    inside = (x['low'] <= lengths) & (lengths <= x['high'])
    np.testing.assert_allclose(
      x['accuracy'], np.average(right, weights=WEIGHTS[30:] * inside)
    )


def test_a_file_may_have_other_columns(trained):
  evaluate = 'evaluate', f'--workdir={trained}/run'
  named = [*'abc']
  labels = [named[i] for i in SHARES.argmax(1)]
  path = _write(trained / 'named.csv', {'label': labels, 'mass': WEIGHTS})
  input_of = f'--input={path}', '--label_column=label'
  plain = run_command(*evaluate, *input_of)
  weighted = run_command(*evaluate, *input_of, '--weight_column=mass')
  assert _metric(plain, 'loss') != _metric(weighted, 'loss')
  refused = run_command(*evaluate, *input_of, '--weight_column=w')
  assert refused.returncode == 2 and "no column 'w'" in refused.stderr
  objects = [json.dumps(dict(zip(named, x))) for x in SHARES.tolist()]
  path = _write(trained / 'object.csv', {'label': objects, 'w': WEIGHTS})
  done = run_command(*evaluate, f'--input={path}', '--label_column=label')
  columns = run_command(*evaluate, f'--input={trained}/train.csv')
  assert done.stdout == columns.stdout
  without = run_command(
    *evaluate, f'--input={trained}/train.csv', '--weight_column='
  )
  accuracies = [_metric(x, 'accuracy') for x in (without, plain, columns)]
  assert accuracies[0] == accuracies[1] != accuracies[2]


def test_a_baseline_takes_soft_labels_and_weights(trained):
  flags = f'--train={trained}/train.csv', '--soft_labels', *COLUMNS
  done = run_command('baseline', *flags, f'--workdir={trained}/baseline')
  assert done.returncode == 0, done.stderr
  result = json.loads((trained / 'baseline/result.json').read_text())['test']
  lines = (trained / 'baseline/predictions-test.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  # The header of the file is its first line.
  rows = np.array([line['row'] for line in lines]) - 2
  probabilities = [[line['probabilities'][x] for x in 'abc'] for line in lines]
  shares = SHARES / SHARES.sum(1, keepdims=True)
  losses = -(shares[rows] * np.log(probabilities)).sum(1)
  expected = np.average(losses, weights=WEIGHTS[rows])
  np.testing.assert_allclose(result['loss'], expected, rtol=1e-4)


def test_a_wrong_sum_is_one_line(trained):
  shares = SHARES.copy()
  shares[3] += 0.1
  path = _write(trained / 'wrong.csv', dict(zip('abc', shares.T)))
  done = run_command(
    'run', f'--train={path}', '--soft_labels', COLUMNS[0],
    f'--workdir={trained}/other',
  )  # fmt: skip
  assert done.returncode == 2
  (line,) = done.stderr.strip().splitlines()
  assert f'train={path}, row 5: the probabilities in' in line
