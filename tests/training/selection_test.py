"""Runs that are selected and scored by metrics of scores, over four devices."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from scripts import run_command
from sklearn import metrics as theirs

import bigru_jax
from bigru_jax.evaluation.stored import read_stored
from bigru_jax.metrics import compute
from bigru_jax.reports.page.page import data_of
from bigru_jax.statistics import intervals
from bigru_jax.training import final_evaluation

TOXIC = ['toxic', 'severe_toxic', 'obscene', 'threat', 'insult', 'hate']
SIZES = {
  'embedding_size': 8, 'hidden_size': 4, 'batch_size': 16, 'epochs': 3,
  'learning_rate': 0.02,
}  # fmt: skip
WORDS = 'the a film plot was is slow fine old new scene cast'.split()


def _write(path, header, rows):
  with path.open('w', newline='') as file:
    csv.writer(file).writerows([header, *rows])
  return str(path)


def _comments(seed, count):
  """Texts and six labels, each of which has a word of its own."""
  rng = np.random.default_rng(seed)
  labels = rng.random((count, len(TOXIC))) < 0.25
  texts = [
    ' '.join(
      rng.permutation(
        [*rng.choice(WORDS, 6), *(f'w{c}' for c in np.flatnonzero(row))]
      )
    )
    for row in labels
  ]
  return texts, labels


@pytest.fixture
def reported(monkeypatch):
  """The labels, the logits and the weights of the splits that are reported."""
  splits = {}
  make_report = final_evaluation.make_report

  def make(config, task, data, logits, metrics):
    for name, split in data.splits.items():
      if name in logits:
        splits[name] = (
          split.label_array(),
          logits[name].astype(np.float64),
          split.example_weights(),
        )
    return make_report(config, task, data, logits, metrics)

  monkeypatch.setattr(final_evaluation, 'make_report', make)
  return splits


def _read(workdir):
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  validation = [x for x in map(json.loads, lines) if x['split'] == 'validation']
  return json.loads((workdir / 'result.json').read_text()), validation


def test_six_labels_are_selected_by_the_mean_roc_auc(tmp_path, reported):
  texts, labels = _comments(0, 300)
  rows = [[x, *y.astype(int)] for x, y in zip(texts, labels)]
  path = _write(tmp_path / 'toxic.csv', ['comment_text', *TOXIC], rows)
  config = bigru_jax.Config(
    train=path, text_column='comment_text', label_column=','.join(TOXIC),
    task='multi_label', select_by='roc_auc', **SIZES,
  )  # fmt: skip
  run = bigru_jax.train(config, tmp_path / 'run')
  result, validation = _read(tmp_path / 'run')
  areas = [line['roc_auc'] for line in validation]
  assert result['best_epoch'] == 1 + int(np.argmax(areas))
  assert result['validation']['roc_auc'] == max(areas)
  for name in ('validation', 'test'):
    gold, logits, _ = reported[name]
    for metric, average in (
      ('roc_auc', 'macro'),
      ('roc_auc_micro', 'micro'),
      ('roc_auc_weighted', 'weighted'),
    ):
      expected = theirs.roc_auc_score(gold, logits, average=average)
      assert result[name][metric] == pytest.approx(expected, abs=1e-9)
  by_label, precisions = (
    area(*reported['test'][:2], average=None)
    for area in (theirs.roc_auc_score, theirs.average_precision_score)
  )
  report = result['test_report']['classes']
  for c, label in enumerate(run.labels):
    found = report[label]
    assert found['roc_auc'] == pytest.approx(by_label[c], abs=1e-9)
    assert found['average_precision'] == pytest.approx(precisions[c], abs=1e-9)
  # Its probabilities have six decimals.
  lines = (tmp_path / 'run' / 'predictions-test.jsonl').read_text().splitlines()
  lines = [json.loads(line) for line in lines]
  gold = [[label in x['label'] for label in run.labels] for x in lines]
  scores = [[x['probabilities'][label] for label in run.labels] for x in lines]
  expected = theirs.roc_auc_score(gold, scores)
  assert result['test']['roc_auc'] == pytest.approx(expected, abs=1e-3)
  # New texts have the same metrics, by the same functions.
  texts, labels = _comments(1, 50)
  names = [[TOXIC[c] for c in np.flatnonzero(row)] for row in labels]
  evaluation = run.evaluate(texts, names)
  both = bigru_jax.Ensemble([run, run]).evaluate(texts, names)
  for found in (evaluation, both):
    assert found.keys() - {'ece_calibrated'} == (
      evaluation.keys() - {'ece_calibrated'}
    )
    expected = theirs.roc_auc_score(found.labels, found.scored.scores)
    assert found['roc_auc'] == pytest.approx(expected, abs=1e-9)
  assert both['roc_auc'] == pytest.approx(evaluation['roc_auc'], abs=1e-3)


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
def test_weights_of_examples_weight_all_metrics(tmp_path, reported, task):
  texts, labels = _comments(0, 240)
  rng = np.random.default_rng(2)
  names = ['|'.join(TOXIC[c] for c in np.flatnonzero(y)[:3]) for y in labels]
  if task == 'single_label':
    names = [TOXIC[int(row.argmax()) % 3] for row in labels]
  weights = rng.integers(0, 4, len(texts)) / 2
  rows = list(zip(texts, names, weights))
  path = _write(tmp_path / 'texts.csv', ['text', 'label', 'w'], rows)
  config = bigru_jax.Config(
    train=path, validation=path, test=path, task=task, weight_column='w',
    **({'label_separator': '|'} if task == 'multi_label' else {}), **SIZES,
  )  # fmt: skip
  run = bigru_jax.train(config, tmp_path / 'run')
  result, lines = _read(tmp_path / 'run')
  gold, logits, weights = reported['test']
  predictions = logits >= 0 if gold.ndim > 1 else logits.argmax(1)
  expected = {
    'accuracy': theirs.accuracy_score(gold, predictions, sample_weight=weights),
    'macro_f1': theirs.f1_score(
      gold, predictions, sample_weight=weights, average='macro', zero_division=0
    ),
  }
  if task == 'multi_label':
    expected['micro_f1'] = theirs.f1_score(
      gold, predictions, sample_weight=weights, average='micro'
    )
    expected['roc_auc'] = theirs.roc_auc_score(
      gold, logits, sample_weight=weights
    )
  else:
    expected['mcc'] = theirs.matthews_corrcoef(
      gold, predictions, sample_weight=weights
    )
  best = lines[result['best_epoch'] - 1]
  forms = [[x for x in name.split('|') if x] for name in names]
  evaluation = run.evaluate(
    texts,
    forms if task == 'multi_label' else names,
    weights=[row[2] for row in rows],
  )
  for name, value in expected.items():
    assert result['test'][name] == pytest.approx(value, abs=1e-9), name
    assert evaluation[name] == pytest.approx(value, abs=1e-3), name
  for name in ('accuracy', 'macro_f1'):
    assert best[name] == pytest.approx(expected[name], abs=1e-9)
  # The run's intervals and stored predictions are weighted, too.
  interval = result['intervals']['test']['accuracy']
  right = (gold == predictions).reshape(len(gold), -1).all(1)
  expected_interval = intervals.share(right, weights.astype(np.float64))
  assert interval == dataclasses.asdict(expected_interval)
  stored = read_stored(tmp_path / 'run', 'test').scored
  for name in ('accuracy', 'macro_f1'):
    value = compute(stored, [name])[name]
    assert value == pytest.approx(expected[name], abs=1e-9)
  report = theirs.classification_report(
    gold, predictions, sample_weight=weights, output_dict=True, zero_division=0
  )
  for c, label in enumerate(run.labels):
    found = result['test_report']['classes'][label]
    assert found['f1'] == pytest.approx(report[str(c)]['f1-score'], abs=1e-9)
    assert found['support'] == pytest.approx(report[str(c)]['support'])


def test_a_metric_that_validation_leaves_undefined_is_refused(tmp_path):
  texts = ['a good film', 'a bad film'] * 8
  corpus = {
    'train': (texts, ['x', 'y'] * 8),
    'validation': (texts, ['x'] * 16),
    'test': (texts, ['x', 'y'] * 8),
  }
  config = bigru_jax.Config(select_by='roc_auc', **SIZES)
  message = (
    "select_by=roc_auc is undefined on validation, where no text has the label "
    "'y'"
  )  # fmt: skip
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    bigru_jax.train(config, tmp_path, corpus)
  assert not (tmp_path / 'metrics.jsonl').exists()
  three = {name: (texts[:6], ['x', 'y', 'z'] * 2) for name in corpus}
  for fields, message in (
    ({'select_by': 'positive_f1'}, 'select_by=positive_f1 needs 2 labels'),
    ({'metrics': 'recall_at_5'}, 'metrics=recall_at_5 needs 6 or more labels'),
  ):
    with pytest.raises(ValueError, match=f'^{message}, and there are 3$'):
      bigru_jax.train(bigru_jax.Config(**SIZES, **fields), tmp_path, three)


def test_the_log_the_tables_and_the_page_show_the_chosen_metrics(tmp_path):
  texts = [f'a {x} film {i}' for i in range(20) for x in ('good', 'bad')]
  path = _write(
    tmp_path / 'x.csv', ['text', 'label'], zip(texts, ['yes', 'no'] * 20)
  )
  flags = [f'--{name}={value}' for name, value in SIZES.items()]
  flags += [f'--{name}={path}' for name in ('train', 'validation', 'test')]
  workdir = tmp_path / 'run'
  names = ['roc_auc', 'positive_f1', 'ece']
  done = run_command(
    'run', *flags, f'--metrics={",".join(names)}', f'--workdir={workdir}'
  )
  assert done.returncode == 0, done.stderr
  result, validation = _read(workdir)
  number = r'[\d.]+'
  epoch = f'roc_auc {number}  positive_f1 {number}  {number} tokens/s'
  assert re.search(f'validation {epoch}', done.stderr)
  end = f'roc_auc {number}, positive_f1 {number}, ece {number}'
  assert re.search(rf'test {end} \(best', done.stderr)
  assert {'roc_auc', 'positive_f1', 'accuracy'} <= set(validation[0])
  assert 'brier' not in validation[0] and 'brier' in result['test']
  table = [line.split()[0] for line in done.stdout.splitlines()[-3:]]
  assert table == names
  shown = dict(data_of(workdir / 'report.html')['metrics'])
  assert list(shown['test']) == list(shown['validation']) == names

  def evaluated(*more):
    done = run_command(
      'evaluate', f'--workdir={workdir}', '--split=test', *more
    )
    return done.stdout.splitlines()[-2:], done.stderr

  assert [line.split()[0] for line in evaluated()[0]] == names[1:]
  lines, _ = evaluated('--metrics=mcc,brier')
  assert [line.split()[0] for line in lines] == ['mcc', 'brier']
  assert (
    'metrics=lrap: the evaluation has loss' in evaluated('--metrics=lrap')[1]
  )
  assert "metrics='x': choose loss" in evaluated('--metrics=x')[1]
