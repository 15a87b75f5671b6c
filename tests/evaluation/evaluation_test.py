"""Metrics by class, thresholds and calibration, against scikit-learn."""

from hypothesis import given, settings, strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special
from sklearn import metrics as sklearn_metrics

from bigru_jax.evaluation import evaluation
from bigru_jax.evaluation.calibration import (
  Calibration,
  calibration_error,
  fit_temperature,
)
from bigru_jax.metrics.by_class import classification_report
from bigru_jax.tasks import MultiLabel, SingleLabel

AVERAGES = {'macro': 'macro avg', 'weighted': 'weighted avg'}


def _equal(ours, theirs):
  for key, their_key in [
    ('precision', 'precision'), ('recall', 'recall'), ('f1', 'f1-score'),
    ('support', 'support'),
  ]:  # fmt: skip
    assert ours[key] == pytest.approx(theirs[their_key], abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(
  classes=st.integers(2, 6),
  count=st.integers(1, 40),
  seed=st.integers(0, 2**31),
)
def test_single_label_metrics_equal_scikit_learn(classes, count, seed):
  rng = np.random.default_rng(seed)
  labels, predictions = rng.integers(0, classes, (2, count))
  names = [f'class {c}' for c in range(classes)]
  report = classification_report(labels, predictions, names)
  expected = sklearn_metrics.classification_report(
    labels, predictions, output_dict=True, zero_division=0
  )
  for c, name in enumerate(names):
    if str(c) in expected:  # It occurs.
      _equal(report['classes'][name], expected[str(c)])
  for ours, theirs in AVERAGES.items():
    _equal(report[ours], expected[theirs])
  assert report['micro']['f1'] == pytest.approx(expected['accuracy'])
  np.testing.assert_array_equal(
    report['confusion'],
    sklearn_metrics.confusion_matrix(
      labels, predictions, labels=range(classes)
    ),
  )


@settings(deadline=None, max_examples=30)
@given(
  classes=st.integers(2, 6),
  count=st.integers(1, 40),
  rate=st.floats(0, 1),
  seed=st.integers(0, 2**31),
)
def test_multi_label_metrics_equal_scikit_learn(classes, count, rate, seed):
  rng = np.random.default_rng(seed)
  labels = rng.random((count, classes)) < rate
  # Few distinct scores, so that there are ties.
  scores = rng.integers(0, 5, (count, classes)) / 5
  predictions = scores >= 0.5
  names = [f'label {c}' for c in range(classes)]
  report = classification_report(labels, predictions, names)
  expected = {
    name: dict(
      zip(
        ('precision', 'recall', 'f1-score', 'support'),
        sklearn_metrics.precision_recall_fscore_support(
          labels, predictions, average=name, zero_division=0
        ),
      )
    )
    for name in ('micro', 'macro', 'weighted', 'samples')
  }
  for name, theirs in expected.items():
    _equal(report[name], {**theirs, 'support': labels.sum()})
  by_class = sklearn_metrics.f1_score(
    labels, predictions, average=None, zero_division=0
  )
  for name, f1 in zip(names, by_class):
    assert report['classes'][name]['f1'] == pytest.approx(f1)


def test_calibration_error_equals_a_sum_by_hand():
  # Bins of 1/15: 0.9 and 0.92 share (13/15, 14/15], 0.6 is in (8/15, 9/15].
  probabilities = np.array([[0.9, 0.1], [0.08, 0.92], [0.6, 0.4]])
  labels = np.array([0, 0, 0])
  expected = (abs(1 - 0.9 - 0.92) + abs(1 - 0.6)) / 3
  found = calibration_error(labels, probabilities)
  assert found == pytest.approx(expected)
  several = calibration_error(np.array([[True, False]]), np.array([[1.0, 0.0]]))
  assert several == 0


@pytest.mark.parametrize('several', [False, True])
def test_a_weight_counts_as_that_many_texts(several):
  rng = np.random.default_rng(0)
  probabilities = special.softmax(rng.normal(size=(40, 3)), axis=1)
  labels = rng.integers(0, 3, 40)
  if several:
    labels = rng.random((40, 3)) < probabilities
  weights = rng.integers(0, 4, 40)
  task = MultiLabel(3) if several else SingleLabel(3)
  thresholds = np.full(3, 0.5) if several else np.array([])
  weighted, repeated = (
    evaluation.evaluate_probabilities(
      task, list('abc'), labels[texts], probabilities[texts], thresholds, w
    )
    for texts, w in (
      (np.arange(40), weights.astype(np.float32)),
      (np.repeat(np.arange(40), weights), None),
    )
  )
  assert weighted.metrics.keys() == repeated.metrics.keys()
  for name, value in repeated.metrics.items():
    if name != 'examples':
      assert weighted[name] == pytest.approx(value, abs=1e-6), name
  for name in 'abc':
    assert weighted['classes'][name] == pytest.approx(repeated['classes'][name])


def _over_confident(task, count=4000):
  """Logits three times as large as those that the labels are drawn from."""
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(count, 4)) * 1.5
  if isinstance(task, MultiLabel):
    labels = rng.random(logits.shape) < special.expit(logits)
  else:
    noise = rng.gumbel(size=logits.shape)
    labels = (logits + noise).argmax(1).astype(np.int32)
  return (3 * logits).astype(np.float32), labels


@pytest.mark.parametrize('task', [SingleLabel(4), MultiLabel(4)])
def test_the_temperature_equals_that_of_another_optimizer(task):
  logits, labels = _over_confident(task)

  def loss(log_temperature):
    scaled = logits / np.exp(log_temperature)
    if isinstance(task, MultiLabel):
      signed = np.where(labels, scaled, -scaled)
      return -special.log_expit(signed).sum(1).mean()
    return -special.log_softmax(scaled, 1)[range(len(labels)), labels].mean()

  best = np.exp(optimize.minimize_scalar(loss, (0, 1)).x)
  found = fit_temperature(task, logits, labels)
  assert found == pytest.approx(best, rel=1e-3)
  assert found == pytest.approx(3, rel=0.1)
  thresholds = (0.5,) * 4 if isinstance(task, MultiLabel) else ()
  calibration = Calibration(found, thresholds)
  names = list('abcd')
  made = evaluation.evaluate_logits(
    task, names, labels, logits, calibration, {}
  )
  assert made.metrics['ece_calibrated'] < 0.03 < made.metrics['ece']


def test_the_temperature_of_soft_labels_makes_them_probable():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(50, 3)).astype(np.float32)
  targets = special.softmax(logits / 2, axis=1)
  found = fit_temperature(SingleLabel(3), logits, targets.argmax(1), targets)
  assert found == pytest.approx(2, rel=1e-3)


def test_a_weight_counts_an_example_more_than_once():
  rng = np.random.default_rng(0)
  logits, labels = rng.normal(0, 3, (40, 3)), rng.integers(0, 3, 40)
  weights = rng.integers(0, 4, 40)
  rows = np.repeat(np.arange(40), weights)
  repeated = fit_temperature(SingleLabel(3), logits[rows], labels[rows])
  found = fit_temperature(SingleLabel(3), logits, labels, weights_N=weights)
  assert np.isclose(found, repeated, rtol=1e-4)
  assert not np.isclose(found, fit_temperature(SingleLabel(3), logits, labels))


def test_a_temperature_without_mistakes_is_bounded():
  logits = np.eye(3, dtype=np.float32) * 5
  found = fit_temperature(SingleLabel(3), logits, np.arange(3))
  assert np.exp(-3.001) <= found < 0.5


def test_calibration_changes_no_predicted_label():
  # Probabilities that float32 rounds to 1, on both sides of a threshold.
  task, names = MultiLabel(2), ['a', 'b']
  logits = np.array([[30.0, -1.0], [25.0, 1.0]], np.float32)
  labels = np.array([[True, False], [False, True]])
  sure = float(special.expit(28.0))
  for temperature in (0.3, 1.0, 3.0):
    calibration = Calibration(temperature, (sure, 0.5))
    found = evaluation.evaluate_logits(
      task, names, labels, logits, calibration, {}, calibrated=True
    )
    np.testing.assert_array_equal(found.predictions, labels)


@pytest.mark.parametrize(
  'task',
  [
    SingleLabel(3),
    SingleLabel(3, 'sigmoid'),
    SingleLabel(2, 'sigmoid'),
    MultiLabel(3),
  ],
  ids=['softmax', 'sigmoid', 'one sigmoid', 'multi-label'],
)
def test_the_metrics_of_probabilities_are_those_of_their_logits(task):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(20, task.num_outputs)).astype(np.float32)
  labels = rng.integers(0, task.num_classes, 20)
  thresholds = np.array([])
  if isinstance(task, MultiLabel):
    labels, thresholds = rng.random((20, 3)) < 0.5, np.full(3, 0.5)
  made = evaluation.evaluate_probabilities(
    task,
    [str(c) for c in range(task.num_classes)],
    labels,
    np.asarray(task.probabilities(logits)),
    thresholds,
  )
  losses = task.losses(jnp.asarray(logits), {'labels': jnp.asarray(labels)})
  np.testing.assert_allclose(made['loss'], losses.mean(), rtol=1e-5)
  predictions = task.predictions(logits, thresholds)
  np.testing.assert_array_equal(made.predictions, predictions)
  right = (predictions == labels).reshape(20, -1).all(1)
  np.testing.assert_allclose(made['accuracy'], right.mean())


def test_the_most_confident_mistakes_come_first():
  probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]])
  found = evaluation.Evaluation(
    names=['a', 'b'], metrics={}, labels=np.array([0, 0, 0, 1]),
    predictions=probabilities.argmax(1), probabilities=probabilities,
  )  # fmt: skip
  assert found.mistakes().tolist() == [1, 3, 2]
  (answer, *_) = found.answers([7, 8, 9, 10], ['file'] * 4)
  assert answer == {
    'source': 'file', 'row': 7, 'label': 'a', 'prediction': 'a',
    'probabilities': {'a': 0.9, 'b': 0.1},
  }  # fmt: skip


def test_only_the_largest_of_many_probabilities_are_written():
  probabilities = np.linspace(0, 1, 300)[None]
  names = [str(c) for c in range(300)]
  labels = probabilities > 0.99
  found = evaluation.Evaluation(
    names=names, metrics={}, labels=labels, predictions=labels,
    probabilities=probabilities,
  )  # fmt: skip
  (answer,) = found.answers([1], ['file'])
  assert list(answer['probabilities'])[:2] == ['299', '298']
  assert len(answer['probabilities']) == 100
  assert answer['label'] == ['297', '298', '299']
