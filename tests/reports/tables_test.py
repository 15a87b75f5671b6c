"""Tables with aligned columns."""

import numpy as np

from bigru_jax.metrics.by_class import classification_report
from bigru_jax.reports import tables


def test_a_table_has_the_classes_the_averages_and_the_confusion_matrix():
  report = classification_report(
    np.array([0, 0, 1]), np.array([0, 1, 1]), ['neg', '好']
  )
  assert tables.classification_table(report).splitlines() == [
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
  ]


def test_sums_of_weights_have_two_decimals():
  weights = np.array([0.1, 0.7, 3], np.float32)
  report = classification_report(
    np.array([0, 0, 1]), np.array([0, 1, 1]), ['neg', 'pos'], weights
  )
  lines = tables.classification_table(report).splitlines()
  assert [line.split()[-1] for line in lines[1:3]] == ['0.80', '3.00']
  assert lines[-2].split() == ['neg', '0.10', '0.70']


def test_of_many_classes_the_worst_are_shown():
  labels = np.arange(100)
  predictions = np.where(labels < 3, 99, labels)
  report = classification_report(labels, predictions, [f'c{i}' for i in labels])
  lines = tables.classification_table(report).splitlines()
  assert [line.split()[0] for line in lines[1:4]] == ['c0', 'c1', 'c2']
  assert lines[-1] == '(the worst 60 of 100 classes)'


def test_markdown_escapes_its_bars():
  assert tables.markdown([['a|b', 'c'], ['1', '2']]).splitlines() == [
    '| a\\|b | c |', '| --- | --- |', '| 1 | 2 |',
  ]  # fmt: skip
