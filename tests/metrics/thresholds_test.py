"""The thresholds that are chosen on validation, against all that there are."""

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sklearn_metrics

from bigru_jax.metrics.thresholds import (
  THRESHOLD_METRICS,
  best_threshold,
  fit_thresholds,
)
from bigru_jax.tasks import SingleLabel


def _youden(labels, predictions, weights):
  rates = [
    sklearn_metrics.recall_score(
      labels, predictions, pos_label=x, sample_weight=weights, zero_division=0
    )
    for x in (True, False)
  ]
  return sum(rates) - 1


def _score(metric, labels, predictions, weights=None):
  """The metric as scikit-learn computes it."""
  if metric == 'f1':
    return sklearn_metrics.f1_score(
      labels, predictions, sample_weight=weights, zero_division=0
    )
  if metric == 'mcc':
    return sklearn_metrics.matthews_corrcoef(
      labels, predictions, sample_weight=weights
    )
  return _youden(labels, predictions, weights)


def _examples(seed):
  """Labels, probabilities with ties, and weights of which some are 0."""
  rng = np.random.default_rng(seed)
  labels = rng.random(40) < rng.choice([0.05, 0.3, 0.6])
  labels[:2] = False, True
  logits = np.round(rng.normal(1.5 * labels - 2, 1.5), seed % 3)
  return labels, special.expit(logits), rng.integers(0, 4, 40).astype(float)


@pytest.mark.parametrize('metric', THRESHOLD_METRICS)
@pytest.mark.parametrize('weighted', [False, True])
def test_a_threshold_is_as_good_as_the_best_of_all(metric, weighted):
  for seed in range(20):
    labels, probabilities, weights = _examples(seed)
    weights = weights if weighted else np.ones(40)
    found = best_threshold(
      labels, probabilities, metric, weights if weighted else None
    )
    best = max(
      _score(metric, labels, probabilities >= candidate, weights)
      for candidate in (0.5, *np.unique(probabilities))
    )
    value = _score(metric, labels, probabilities >= found, weights)
    assert value == pytest.approx(best, abs=1e-12)
    assert 0 < found < 1


def test_a_threshold_lies_between_two_probabilities_or_is_a_half():
  labels = np.array([False, False, True, True])
  probabilities = np.array([0.1, 0.2, 0.4, 0.9])
  assert best_threshold(labels, probabilities) == pytest.approx(0.3)
  # 0.5 is as good as 0.45 here.
  assert best_threshold(labels, probabilities + [0, 0, 0.2, 0]) == 0.5
  assert best_threshold(np.zeros(4, bool), probabilities) == 0.5
  assert best_threshold(np.zeros(0, bool), np.zeros(0)) == 0.5
  # No number lies between these two.
  neighbours = np.array([0.1, np.nextafter(0.1, 1)])
  found = best_threshold(np.array([False, True]), neighbours)
  assert (neighbours >= found).tolist() == [False, True]


@pytest.mark.parametrize('positive', [0, 1])
@pytest.mark.parametrize('loss', ['softmax', 'sigmoid'])
def test_two_classes_are_decided_by_the_positive_ones_probability(
  loss, positive
):
  task = SingleLabel(2, loss, labels=('a', 'b'), positive=positive)
  rng = np.random.default_rng(0)
  logits = rng.normal(0, 3, (200, task.num_outputs)).astype(np.float32)
  probabilities = np.asarray(task.probabilities(logits))
  for threshold in (0.02, 0.3, 0.5, 0.97):
    expected = np.where(
      probabilities[:, positive] >= threshold, positive, 1 - positive
    )
    thresholds = np.array([threshold])
    np.testing.assert_array_equal(
      task.predictions(logits, thresholds), expected
    )
    np.testing.assert_array_equal(
      task.decide(probabilities, thresholds), expected
    )
  none = np.array([])
  most_probable = probabilities.argmax(1)
  np.testing.assert_array_equal(task.predictions(logits, none), most_probable)
  np.testing.assert_array_equal(task.decide(probabilities, none), most_probable)
  np.testing.assert_allclose(
    special.expit(task.log_odds(logits)), probabilities[:, positive], rtol=1e-4
  )


@pytest.mark.parametrize('setting', ['tuned', 'per_label'])
def test_each_threshold_is_the_best_possible(setting):
  rng = np.random.default_rng(0)
  labels = rng.random((60, 3)) < 0.3
  probabilities = np.clip(labels * 0.2 + rng.random((60, 3)) * 0.5, 0, 1)
  labels[:, 2] = False  # A label that does not occur.
  found = fit_thresholds(setting, labels, probabilities)

  def f1(thresholds):
    average = 'micro' if setting == 'tuned' else None
    return sklearn_metrics.f1_score(
      labels, probabilities >= thresholds, average=average, zero_division=0
    )

  candidates = np.unique(np.append(probabilities.ravel(), 0.5))
  best = np.max([f1(np.full(3, c)) for c in candidates], axis=0)
  np.testing.assert_allclose(f1(np.array(found)), best)
  if setting == 'per_label':
    assert found[2] == 0.5
  else:
    assert len(set(found)) == 1
  assert fit_thresholds('fixed', labels, probabilities) == (0.5,) * 3


@pytest.mark.parametrize('setting', ['tuned', 'per_label'])
def test_an_example_of_weight_two_counts_as_two_examples(setting):
  rng = np.random.default_rng(0)
  labels = rng.random((50, 3)) < 0.3
  probabilities = np.clip(labels * 0.1 + rng.random((50, 3)) * 0.8, 0, 1)
  weights = rng.integers(0, 3, 50)
  repeated = np.repeat(np.arange(50), weights)
  found = fit_thresholds(setting, labels, probabilities, 'mcc', weights)
  expected = fit_thresholds(
    setting, labels[repeated], probabilities[repeated], 'mcc'
  )
  assert found == expected
  assert found != fit_thresholds(setting, labels, probabilities, 'mcc')
