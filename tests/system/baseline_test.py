"""The linear baseline, and the commands that set it beside the network."""

import dataclasses
import json
import shutil
import sys
from unittest import mock

import chaos
import numpy as np
import pytest
from scripts import run_command
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from bigru_jax.cli.planned_runs import Planned
from bigru_jax.config import Config
from bigru_jax.data.prepare import prepare
from bigru_jax.data.splits import NAMES
from bigru_jax.reports.page.page import data_of, update_page

_WORDS = 'fine dull slow quick grave light loud calm'.split()
_CLASSES = 'good', 'bad', 'odd'


def _texts(count, seed):
  """Texts of a few words, and which of three words each has."""
  generator = np.random.default_rng(seed)
  words = generator.choice(_WORDS, (count, 6))
  words[generator.random(count) < 0.2, 3:] = 'plain'
  return [' '.join(text) for text in words], [
    [word in text for word in _WORDS[:3]] for text in words
  ]


def _write(folder, task, seed=0):
  """Files of the three splits, in the folder; returns texts and labels."""
  splits = {}
  for name, count in zip(NAMES, (120, 40, 40)):
    texts, flags = _texts(count, seed + len(name))
    if task == 'multi_label':
      labels = [
        '|'.join(np.array(_CLASSES)[np.array(x)].tolist()) for x in flags
      ]
    else:
      num_classes = 2 if task == 'binary' else 3
      labels = [_CLASSES[(2 * x[0] + x[1]) % num_classes] for x in flags]
    rows = [f'{text},{label}' for text, label in zip(texts, labels)]
    (folder / f'{name}.csv').write_text('\n'.join(['text,label', *rows]))
    splits[name] = texts, labels
  return splits


def _fit(folder, *flags, workdir='baseline', files=NAMES):
  flags = [*(f'--{name}={folder}/{name}.csv' for name in files), *flags]
  done = run_command('baseline', f'--workdir={folder}/{workdir}', *flags)
  assert done.returncode == 0, done.stderr
  return folder / workdir, done


def _lines(workdir, split='test'):
  path = workdir / f'predictions-{split}.jsonl'
  return [json.loads(line) for line in path.read_text().splitlines()]


def _read(path):
  return json.loads(path.read_text())


def _weights(is_true_NxC, class_weights, task):
  """The weight of each training text in the regression of each class."""
  count, num_classes = is_true_NxC.shape
  positive_C = is_true_NxC.sum(0)
  if not class_weights:
    return np.ones(is_true_NxC.shape)
  if task == 'multi_label':
    return np.where(is_true_NxC, (count - positive_C) / positive_C, 1)
  of_class_C = count / (num_classes * positive_C)
  return np.repeat(is_true_NxC @ of_class_C[:, None], num_classes, axis=1)


@pytest.mark.parametrize('task', ['binary', 'three', 'multi_label'])
@pytest.mark.parametrize('class_weights', ['', 'balanced'])
def test_the_probabilities_are_scikit_learns(tmp_path, task, class_weights):
  splits = _write(tmp_path, task)
  flags = [f'--class_weights={class_weights}']
  if task == 'multi_label':
    flags.append('--task=multi_label')
  workdir, _ = _fit(tmp_path, *flags)
  model = LogisticRegression(
    C=_read(workdir / 'baseline.json')['C'],
    solver='liblinear',
    dual=True,
    max_iter=1000,
    random_state=0,
  )
  vectorizer = TfidfVectorizer(
    token_pattern=r'\w+', ngram_range=(1, 2), sublinear_tf=True
  )
  features = vectorizer.fit_transform(splits['train'][0])
  tests = vectorizer.transform(splits['test'][0])
  labels = splits['train'][1]
  names = sorted(_CLASSES[: 2 if task == 'binary' else 3])
  is_true_NxC = np.array([[x in y.split('|') for x in names] for y in labels])
  weights_NxC = _weights(is_true_NxC, class_weights, task)
  columns = [
    model.fit(features, is_true, weights).predict_proba(tests)[:, 1]
    for is_true, weights in zip(is_true_NxC.T, weights_NxC.T)
  ]
  expected = np.stack(columns, 1)
  if task != 'multi_label':
    expected /= expected.sum(1, keepdims=True)
  actual = [list(line['probabilities'].values()) for line in _lines(workdir)]
  np.testing.assert_allclose(actual, expected, atol=2e-3)
  if task == 'three' and not class_weights:
    whole = OneVsRestClassifier(model).fit(features, labels)
    np.testing.assert_allclose(actual, whole.predict_proba(tests), atol=2e-3)


@pytest.mark.parametrize('select_by', ['loss', 'macro_f1', 'roc_auc'])
def test_the_strength_is_the_best_one_on_validation(tmp_path, select_by):
  _write(tmp_path, 'three')
  workdir, _ = _fit(tmp_path, f'--select_by={select_by}')
  content = _read(workdir / 'baseline.json')
  scores = content[f'validation_{select_by}']
  best = (min if select_by == 'loss' else max)(scores.values())
  assert scores[str(content['C'])] == best
  assert _read(workdir / 'result.json')['validation'][select_by] == best


def test_the_splits_are_those_of_the_network(run_directory, tmp_path):
  _write(tmp_path, 'three')
  train = f'{tmp_path}/train.csv'
  workdir, _ = _fit(tmp_path, '--folds=3', '--split_seed=5', files=NAMES[:1])
  data = prepare(Config(train=train, folds=3, split_seed=5))
  assert _read(workdir / 'data.json') == data.identity
  for name in NAMES[1:]:
    table = data.splits[name].table
    expected = zip(table['source'], table['row'], table['label'])
    assert [
      (x['source'], x['row'], data.labels.index(x['label']))
      for x in _lines(workdir, name)
    ] == list(expected)
  ours, theirs = (
    _read(path / 'result.json')['test'] for path in (workdir, run_directory)
  )
  # Only two classes have a positive one.
  assert ours.keys() == {x for x in theirs if not x.startswith('positive_')}


def test_the_same_seed_gives_the_same_files(tmp_path):
  _write(tmp_path, 'three')
  first, _ = _fit(tmp_path, '--seed=3')
  second, _ = _fit(tmp_path, '--seed=3', workdir='second')
  again, _ = _fit(tmp_path, '--seed=3')  # It takes the place of the first.
  for path in (second, again):
    for name in ('predictions-validation.jsonl', 'predictions-test.jsonl',
                 'config.json', 'data.json', 'calibration.json',
                 'baseline.json'):  # fmt: skip
      assert (path / name).read_bytes() == (first / name).read_bytes()


def test_a_longer_text_is_read_to_its_end(tmp_path):
  _write(tmp_path, 'binary')
  for name in NAMES:
    path = tmp_path / f'{name}.csv'
    head, *lines = path.read_text().splitlines()
    path.write_text('\n'.join([head, *('so ' * 600 + x for x in lines)]))
  workdir, _ = _fit(tmp_path)
  assert _read(workdir / 'result.json')['test']['accuracy'] > 0.8


@pytest.mark.parametrize('task', ['three', 'multi_label'])
def test_evaluate_prints_what_the_baseline_stored(tmp_path, task):
  _write(tmp_path, task)
  task_flags = ['--task=multi_label'] if task == 'multi_label' else []
  workdir, fitted = _fit(tmp_path, *task_flags)
  output = tmp_path / 'answers.jsonl'
  done = run_command(
    'evaluate', f'--workdir={workdir}', '--split=test', f'--output={output}'
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout == fitted.stdout
  stored = _lines(workdir)
  for line, expected in zip(
    map(json.loads, output.read_text().splitlines()), stored, strict=True
  ):
    assert line == {**expected, 'empty': False}


def test_the_page_shows_the_baseline_beside_the_run(run_directory, tmp_path):
  workdir, other = tmp_path / 'network', tmp_path / 'linear'
  shutil.copytree(run_directory, workdir)
  done = run_command('baseline', '--dataset=synthetic', f'--workdir={other}')
  assert done.returncode == 0, done.stderr
  flags = [f'--workdir={workdir}', f'--baseline={other}']
  assert run_command('report', *flags).returncode == 0
  scores = _read(other / 'result.json')['test']
  page = data_of(workdir / 'report.html')
  assert page['baseline']['metrics'] == scores
  assert page['top']['shares'][1]['value'] == scores['accuracy']
  update_page(workdir)
  assert data_of(workdir / 'report.html')['baseline'] == page['baseline']

  done = run_command('report', flags[0], f'--baseline={run_directory}')
  assert f'baseline={run_directory} is not a linear baseline' in done.stderr
  _write(tmp_path, 'three')
  other, _ = _fit(tmp_path, workdir='of_other_data')
  done = run_command('report', flags[0], f'--baseline={other}')
  assert f'baseline={other}: its data, split_seed or fold' in done.stderr


def test_a_sweep_compares_the_baselines_in_its_folder(run_directory, tmp_path):
  output = tmp_path / 'sweep'
  shutil.copytree(run_directory, output / 'network,seed=0')
  plan = [
    Planned(f'network,seed={seed}', 'network', seed, 0, chaos.FLAGS)
    for seed in (0, 1)
  ]
  lines = [json.dumps(dataclasses.asdict(run)) for run in plan]
  (output / 'runs.jsonl').write_text('\n'.join(lines))
  flags = ['--dataset=synthetic', '--select_by=accuracy']
  for seed in range(3):
    workdir, _ = _fit(
      output, f'--seed={seed}', *flags, files=(), workdir=f'linear,seed={seed}'
    )
  done = run_command('sweep', '--collect', f'--output={output}')
  assert done.returncode == 0, done.stderr
  assert 'linear,seed=2: no run has seed=2 and fold=0' in done.stderr
  assert '1 of 2 runs are finished.' in done.stdout
  settings = _read(output / 'sweep.json')['settings']
  name = 'baseline,ngrams=2,select_by=accuracy'
  assert settings.keys() == {'network', name}
  assert settings[name]['test']['n'] == 2
  result = _read(output / 'linear,seed=1' / 'result.json')
  assert settings[name]['runs'][1]['test'] == result['test']
  (workdir / 'result.json').unlink()
  done = run_command('sweep', '--collect', f'--output={output}')
  assert 'linear,seed=2 is not finished' in done.stderr
  _fit(output, '--split_seed=1', *flags, files=(), workdir='other')
  done = run_command('sweep', '--collect', f'--output={output}')
  assert done.returncode == 2
  assert 'its data, split_seed or fold are not those of' in done.stderr


@pytest.mark.parametrize(
  'command',
  [
    ['predict', '--text=fine'],
    ['explain', '--split=test'],
    ['export', '--output=model.onnx'],
    ['report'],
    ['evaluate', '--input=test.csv'],
    ['evaluate', '--split=test', '--workdir=baseline'],
    ['run', '--train=train.csv', '--validation=validation.csv'],
    ['baseline', '--train=train.csv', '--ngrams=1'],
    ['evaluate', '--split=test', '--calibrated', '--mistakes=1'],
  ],
)
def test_what_needs_a_network_or_another_baseline_is_refused(tmp_path, command):
  _write(tmp_path, 'three')
  workdir, _ = _fit(tmp_path)
  before = {path: path.read_bytes() for path in workdir.iterdir()}
  name, *flags = command
  done = run_command(name, '--workdir=baseline', *flags, cwd=tmp_path)
  assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
  assert 'baseline' in done.stderr or 'a run of the network' in done.stderr
  assert {path: path.read_bytes() for path in workdir.iterdir()} == before


def test_a_run_of_the_network_is_not_overwritten(run_directory, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(run_directory, workdir)
  done = run_command('baseline', f'--workdir={workdir}', '--dataset=synthetic')
  assert done.returncode == 2
  assert done.stderr.endswith('holds a run of the network\n')
  assert not (workdir / 'baseline.json').exists()


def test_without_scikit_learn_one_line_names_the_extra(tmp_path):
  with mock.patch.dict(sys.modules, {'sklearn.feature_extraction.text': None}):
    done = run_command(
      'baseline', f'--workdir={tmp_path}/x', '--dataset=synthetic'
    )
  assert done.returncode == 2
  assert 'pip install "bigru_jax[baseline]"' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
  'flags, message',
  [
    (['--learning_rate=1'], "Unknown command line flag 'learning_rate'"),
    (['--ngrams=0'], 'ngrams'),
    (['--threshold=per_label'], 'threshold=per_label needs task=multi_label'),
    (['--train=blank.csv'], 'blank.csv: no training text has a word'),
    (['--train=none.csv'], 'train=none.csv: no such file'),
  ],
)
def test_bad_input_is_one_line(tmp_path, flags, message):
  rows = [f',{label}' for label in _CLASSES]
  (tmp_path / 'blank.csv').write_text('\n'.join(['text,label', *rows]))
  _write(tmp_path, 'three')
  others = ['--validation=test.csv', '--test=test.csv']
  done = run_command('baseline', *flags, *others, cwd=tmp_path)
  assert done.returncode == 2
  assert message in done.stderr.splitlines()[-1]
