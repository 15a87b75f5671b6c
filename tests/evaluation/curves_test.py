"""The curves of a run, against scikit-learn's."""

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sklearn_metrics

from bigru_jax.evaluation.curves import ALL_LABELS, decision_curves
from bigru_jax.tasks import MultiLabel, SingleLabel


def _binary(size, digits=6):
  rng = np.random.default_rng(0)
  labels = (rng.random(size) < 0.2).astype(np.int32)
  logits = np.round(rng.normal(2 * labels - 1, 1.5), digits)[:, None]
  return labels, logits.astype(np.float32)


def _two_classes(labels, logits, positive=1, threshold=0.3, weights=None):
  task = SingleLabel(2, 'sigmoid', labels=('a', 'b'), positive=positive)
  predictions = task.predictions(logits, np.array([threshold]))
  return decision_curves(
    task, ['a', 'b'], labels, logits, predictions, (threshold,), weights
  )


@pytest.mark.parametrize('positive', [0, 1])
@pytest.mark.parametrize('weighted', [False, True])
def test_points_lie_on_the_curves_of_scikit_learn(positive, weighted):
  labels, logits = _binary(5000, digits=2)
  weights = None
  if weighted:
    weights = np.random.default_rng(1).integers(0, 3, len(labels)) / 2
  (curve,) = _two_classes(labels, logits, positive, weights=weights)
  is_true = labels == positive
  scores = logits[:, 0] if positive else -logits[:, 0]
  assert curve['name'] == 'ab'[positive]
  assert len(curve['recall']) <= 200
  for name, function in (
    ('roc_auc', sklearn_metrics.roc_auc_score),
    ('average_precision', sklearn_metrics.average_precision_score),
  ):
    expected = function(is_true, scores, sample_weight=weights)
    assert curve[name] == pytest.approx(expected)
  rates, recalls, _ = sklearn_metrics.roc_curve(
    is_true, scores, sample_weight=weights, drop_intermediate=False
  )
  precisions, of_precisions, _ = sklearn_metrics.precision_recall_curve(
    is_true, scores, sample_weight=weights
  )
  of_roc = set(zip(rates.round(5), recalls.round(5)))
  assert of_roc >= set(zip(curve['false_positive_rate'], curve['recall']))
  of_pr = set(zip(of_precisions.round(5), precisions.round(5)))
  assert of_pr >= set(zip(curve['recall'], curve['precision']))
  # No part of the curve lacks points.
  lengths = np.diff(curve['recall']) + np.diff(curve['false_positive_rate'])
  assert lengths.max() < 0.03
  assert curve['recall'][-1] == curve['false_positive_rate'][-1] == 1


def test_the_point_is_that_of_the_predictions():
  labels, logits = _binary(300)
  (curve,) = _two_classes(labels, logits, threshold=0.3)
  predicted = special.expit(logits[:, 0]) >= 0.3
  point = curve['point']
  assert point['threshold'] == 0.3
  assert point['recall'] == sklearn_metrics.recall_score(labels, predicted)
  expected = sklearn_metrics.precision_score(labels, predicted)
  assert point['precision'] == expected
  assert point['false_positive_rate'] == pytest.approx(
    1 - sklearn_metrics.recall_score(labels, predicted, pos_label=0)
  )
  (nothing,) = _two_classes(labels, logits, threshold=0.9999)
  assert nothing['point']['precision'] is None
  assert nothing['point']['recall'] == 0


def test_several_labels_have_one_curve_together_and_the_worst_ones_their_own():
  rng = np.random.default_rng(0)
  labels = rng.random((200, 8)) < 0.3
  labels[:, 3] = False  # It has no curve.
  logits = rng.normal(labels * np.arange(8), 1.0)
  names, task = [f'label {i}' for i in range(8)], MultiLabel(8)

  def curves(thresholds):
    predictions = task.predictions(logits, np.array(thresholds))
    return decision_curves(task, names, labels, logits, predictions, thresholds)

  together, *others = curves((0.4,) * 8)
  assert together['name'] == ALL_LABELS
  assert together['point']['threshold'] == 0.4
  assert together['roc_auc'] == pytest.approx(
    sklearn_metrics.roc_auc_score(labels.ravel(), logits.ravel())
  )
  kept = [0, 1, 2, *range(4, 8)]
  scores = {
    names[c]: sklearn_metrics.average_precision_score(
      labels[:, c], logits[:, c]
    )
    for c in kept
  }
  assert [x['name'] for x in others] == sorted(scores, key=scores.get)[:5]
  assert all(x['point']['threshold'] == 0.4 for x in others)
  different = curves((*(0.4,) * 7, 0.6))[0]
  assert different['point']['threshold'] is None


def test_more_classes_and_missing_ones_have_no_curve():
  task = SingleLabel(3)
  labels, logits = np.array([0, 1, 2]), np.eye(3)
  assert decision_curves(task, list('abc'), labels, logits, labels, ()) == []
  ones, logits = np.ones(3, np.int32), np.zeros((3, 1))
  assert _two_classes(ones, logits) == []
  labels, logits = _binary(20)
  assert _two_classes(labels, logits, weights=labels.astype(float)) == []
