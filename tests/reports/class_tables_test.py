"""The tables of an evaluation, for readers and for programs."""

import io
import json

import numpy as np
import pandas
import pytest
from sklearn import metrics as sklearn_metrics

from bigru_jax.metrics.by_class import classification_report
from bigru_jax.reports.class_tables import evaluation_as


def test_a_table_has_the_classes_the_averages_and_the_confusion_matrix():
  report = classification_report(
    np.array([0, 0, 1]), np.array([0, 1, 1]), ['neg', '好']
  )
  assert evaluation_as(report, {'loss': 0.25, 'examples': 3}).splitlines() == [
    'class     precision  recall      F1  support',
    'neg          1.0000  0.5000  0.6667        2',
    '好           0.5000  1.0000  0.6667        1',
    '',
    'micro        0.6667  0.6667  0.6667        3',
    'macro        0.7500  0.7500  0.6667        3',
    'weighted     0.8333  0.6667  0.6667        3',
    '',
    'label \\ prediction  neg  好',
    'neg                   1   1',
    '好                    0   1',
    '',
    'loss      0.2500',
    'examples       3',
  ]


def test_sums_of_weights_have_two_decimals():
  weights = np.array([0.1, 0.7, 3], np.float32)
  report = classification_report(
    np.array([0, 0, 1]), np.array([0, 1, 1]), ['neg', 'pos'], weights
  )
  lines = evaluation_as(report, {}).splitlines()
  assert [line.split()[-1] for line in lines[1:3]] == ['0.80', '3.00']
  assert ['neg', '0.10', '0.70'] in [line.split() for line in lines]


def test_of_many_classes_the_worst_are_shown():
  labels = np.arange(100)
  predictions = np.where(labels < 3, 99, labels)
  report = classification_report(labels, predictions, [f'c{i}' for i in labels])
  lines = evaluation_as(report, {}).splitlines()
  assert [line.split()[0] for line in lines[1:4]] == ['c0', 'c1', 'c2']
  assert lines[0].startswith('the worst 60 of 100 classes')
  classes = json.loads(evaluation_as(report, {'loss': 1.0}, 'json'))['classes']
  assert [row['class'] for row in classes] == [f'c{i}' for i in labels]


def test_a_program_reads_what_scikit_learn_computes():
  rng = np.random.default_rng(0)
  labels, predictions = rng.integers(0, 3, (2, 50))
  names = ['a name of many letters', 'macro', 'c,"d"']
  report = classification_report(labels, predictions, names)
  values = {'loss': 2 / 3, 'examples': 50}
  tables = json.loads(evaluation_as(report, values, 'json'))
  expected = sklearn_metrics.classification_report(
    labels, predictions, target_names=names, output_dict=True
  )
  assert [row.pop('class') for row in tables['classes']] == names
  for row, name in zip(tables['classes'], names):
    assert {**row, 'f1-score': row['f1']} == pytest.approx(
      {**expected[name], 'f1': expected[name]['f1-score']}
    )
  (weighted,) = (x for x in tables['averages'] if x['average'] == 'weighted')
  assert weighted['f1'] == pytest.approx(expected['weighted avg']['f1-score'])
  matrix = [[row[name] for name in names] for row in tables['confusion']]
  counts = sklearn_metrics.confusion_matrix(labels, predictions)
  np.testing.assert_array_equal(matrix, counts)
  assert tables['metrics'] == [values]
  texts = evaluation_as(report, values, 'csv').split('\n\n')
  for rows, text in zip(tables.values(), texts, strict=True):
    table = pandas.read_csv(io.StringIO(text))
    assert len(table) == len(rows)
    assert table.iloc[0, -1] == pytest.approx(list(rows[0].values())[-1])


def test_a_paper_gets_the_averages_below_a_rule():
  report = classification_report(np.array([0, 1]), np.array([0, 1]), ['a', 'b'])
  lines = evaluation_as(report, {'macro_f1': 1.0}, 'latex').splitlines()
  assert lines[2] == r'class & precision & recall & F1 & support \\'
  assert lines[6:8] == [
    r'\midrule', r'micro & 1.0000 & 1.0000 & 1.0000 & 2 \\',
  ]  # fmt: skip
  assert r'label \textbackslash{} prediction & a & b \\' in lines
  assert r'macro\_f1 & 1.0000 \\' in lines
