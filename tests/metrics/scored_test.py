"""Every metric that needs scores, against scikit-learn."""

import warnings

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from scipy import special
from sklearn import metrics as theirs

from bigru_jax.evaluation.scoring import score_logits
from bigru_jax.metrics import METRICS, compute
from bigru_jax.metrics.by_class import classification_report
from bigru_jax.metrics.scored import Scored
from bigru_jax.tasks import SingleLabel

AREAS = {
  'roc_auc': theirs.roc_auc_score,
  'average_precision': theirs.average_precision_score,
}
AVERAGES = {'': 'macro', '_micro': 'micro', '_weighted': 'weighted'}
CASES = {
  'count': st.integers(1, 40),
  'classes': st.integers(2, 5),
  'distinct': st.sampled_from([2, 5, 1000]),
  'rate': st.sampled_from([0.0, 0.3, 1.0]),
  'weighted': st.booleans(),
  'seed': st.integers(0, 2**31),
}


def _compute(scored):
  """All metrics but those on request."""
  names = [name for name, metric in METRICS.items() if not metric.on_request]
  return compute(scored, names)


def _weights(rng, count, weighted):
  """The weights of examples, some of them 0, or None."""
  if not weighted:
    return None
  weights = rng.random(count) * (rng.random(count) < 0.8)
  weights[rng.integers(count)] = 0.5
  return weights


def _assert_equal(found, expected):
  for name, value in expected.items():
    assert found[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def _areas(is_true, scores, weights):
  return {
    name + suffix: area(is_true, scores, average=average, sample_weight=weights)
    for name, area in AREAS.items()
    for suffix, average in AVERAGES.items()
  }


@pytest.mark.filterwarnings('ignore')  # Of undefined values.
@settings(deadline=None, max_examples=150)
@given(**CASES)
def test_the_metrics_of_several_labels_equal_scikit_learn(
  count, classes, distinct, rate, weighted, seed
):
  rng = np.random.default_rng(seed)
  weights = _weights(rng, count, weighted)
  labels = rng.random((count, classes)) < rate
  scores = rng.integers(0, distinct + 1, labels.shape) / distinct
  predictions = scores >= 0.5
  scored = Scored(
    labels=labels,
    predictions=predictions,
    scores=scores,
    probabilities=scores,
    weights=weights,
  )
  found = _compute(scored)
  assert set(found) == {
    name
    for name, metric in METRICS.items()
    if metric.of_scores and metric.has(scored)
  }
  _assert_equal(found, _areas(labels, scores, weights))
  _assert_equal(
    found,
    {
      'accuracy': theirs.accuracy_score(
        labels, predictions, sample_weight=weights
      ),
      'lrap': theirs.label_ranking_average_precision_score(
        labels, scores, sample_weight=weights
      ),
      **{
        f'{average}_f1': theirs.f1_score(
          labels, predictions, average=average, sample_weight=weights
        )
        for average in ('micro', 'macro', 'samples')
      },
      # The means over the labels, each a decision between two classes.
      'log_loss': np.mean(
        [
          theirs.log_loss(y, p, sample_weight=weights, labels=[False, True])
          for y, p in zip(labels.T, scores.T)
        ]
      ),
      'brier': np.mean(
        [
          theirs.brier_score_loss(y, p, sample_weight=weights, pos_label=True)
          for y, p in zip(labels.T, scores.T)
        ]
      ),
    },
  )


@pytest.mark.filterwarnings('ignore')  # Of undefined values.
@settings(deadline=None, max_examples=150)
@given(**{**CASES, 'classes': st.integers(3, 5)})
def test_the_metrics_of_several_classes_equal_scikit_learn(
  count, classes, distinct, rate, weighted, seed
):
  rng = np.random.default_rng(seed)
  weights = _weights(rng, count, weighted)
  labels = np.minimum(rng.geometric(1 - rate / 2, count) - 1, classes - 1)
  scores = rng.integers(0, distinct, (count, classes)).astype(float)
  scores[:, 0] += scores.sum(1) == 0
  scores /= scores.sum(1, keepdims=True)
  predictions = scores.argmax(1)
  found = _compute(
    Scored(
      labels=labels,
      predictions=predictions,
      scores=scores,
      probabilities=scores,
      weights=weights,
    )
  )
  names, is_true = range(classes), labels[:, None] == np.arange(classes)
  _assert_equal(found, _areas(is_true, scores, weights))
  for suffix, average in AVERAGES.items():
    if len(np.unique(labels)) > 1:
      _assert_equal(
        found,
        {
          f'roc_auc{suffix}': theirs.roc_auc_score(
            labels, scores, labels=names, average=average, multi_class='ovr',
            sample_weight=weights,
          )
        },
      )  # fmt: skip
  _assert_equal(
    found,
    {
      'mcc': theirs.matthews_corrcoef(
        labels, predictions, sample_weight=weights
      ),
      'cohen_kappa': theirs.cohen_kappa_score(
        labels, predictions, sample_weight=weights
      ),
      'log_loss': theirs.log_loss(
        labels, scores, labels=names, sample_weight=weights
      ),
      'brier': theirs.brier_score_loss(
        labels, scores, labels=names, sample_weight=weights
      ),
    },
  )
  assert not {'recall_at_1', 'precision_at_1', 'positive_f1'} & set(found)


@pytest.mark.filterwarnings('ignore')  # Of undefined values.
@settings(deadline=None, max_examples=150)
@given(positive=st.integers(0, 1), **{**CASES, 'classes': st.just(2)})
def test_the_metrics_of_two_classes_equal_scikit_learn(
  positive, count, classes, distinct, rate, weighted, seed
):
  rng = np.random.default_rng(seed)
  weights = _weights(rng, count, weighted)
  labels = (rng.random(count) < rate).astype(int)
  second = rng.integers(0, distinct + 1, count) / distinct
  scores = np.stack([1 - second, second], 1)
  predictions = scores.argmax(1)
  found = _compute(
    Scored(
      labels=labels,
      predictions=predictions,
      scores=scores,
      probabilities=scores,
      weights=weights,
      positive=positive,
    )
  )
  is_positive, p = labels == positive, scores[:, positive]
  _assert_equal(found, _areas(is_positive, p, weights))
  expected = theirs.precision_recall_fscore_support(
    labels, predictions, pos_label=positive, average='binary',
    sample_weight=weights, zero_division=0, labels=[0, 1],
  )  # fmt: skip
  _assert_equal(
    found,
    {
      'mcc': theirs.matthews_corrcoef(
        labels, predictions, sample_weight=weights
      ),
      'cohen_kappa': theirs.cohen_kappa_score(
        labels, predictions, sample_weight=weights
      ),
      'log_loss': theirs.log_loss(
        labels, scores, labels=[0, 1], sample_weight=weights
      ),
      'brier': theirs.brier_score_loss(
        is_positive, p, pos_label=True, sample_weight=weights
      ),
      'positive_precision': expected[0],
      'positive_recall': expected[1],
      'positive_f1': expected[2],
    },
  )


@pytest.mark.parametrize('weighted', [False, True])
def test_the_recall_at_k_of_one_label_is_the_top_k_accuracy(weighted):
  rng = np.random.default_rng(0)
  weights = _weights(rng, 50, weighted)
  labels, scores = rng.integers(0, 7, 50), rng.random((50, 7))
  found = _compute(
    Scored(
      labels=labels,
      predictions=labels,
      scores=scores,
      probabilities=scores,
      weights=weights,
    )
  )
  for k in (3, 5):
    expected = theirs.top_k_accuracy_score(
      labels, scores, k=k, labels=range(7), sample_weight=weights
    )
    assert found[f'recall_at_{k}'] == pytest.approx(expected)


def test_precision_and_recall_at_k_equal_a_count_by_hand():
  # Of equal scores, the first labels come first; the last text has no label.
  labels = np.array(
    [[1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], [0] * 6], bool
  )
  scores = np.array(
    [
      [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
      [0.9, 0.8, 0.7, 0.6, 0.95, 0.1],
      [0.5] * 6,
      [0.5] * 6,
    ]
  )

  def of(columns, weights=None):
    return _compute(
      Scored(
        labels=labels[:, :columns],
        predictions=scores[:, :columns] >= 0.5,
        scores=scores[:, :columns],
        probabilities=scores[:, :columns],
        weights=weights,
      )
    )

  found = of(6)
  assert found['precision_at_1'] == pytest.approx(2 / 4)
  assert found['precision_at_3'] == pytest.approx((2 + 1 + 1) / 12)
  assert found['precision_at_5'] == pytest.approx((2 + 1 + 1) / 20)
  assert found['recall_at_1'] == pytest.approx((1 / 2 + 1 + 0) / 3)
  assert found['recall_at_3'] == pytest.approx((1 + 1 + 1 / 2) / 3)
  found = of(6, np.array([1.0, 0.0, 2.0, 5.0]))
  assert found['precision_at_3'] == pytest.approx((2 / 3 + 2 / 3) / 8)
  assert found['recall_at_3'] == pytest.approx((1 + 2 * 1 / 2) / 3)
  few = of(3)
  assert 'precision_at_3' in few and 'recall_at_1' in few
  assert not {'precision_at_5', 'recall_at_3'} & set(few)


@pytest.mark.parametrize('multi_label', [False, True])
def test_a_weighted_report_equals_scikit_learn(multi_label):
  rng = np.random.default_rng(0)
  labels, predictions = rng.integers(0, 3, (2, 60))
  if multi_label:
    labels, predictions = rng.random((2, 60, 3)) < 0.4
  weights = _weights(rng, 60, True)
  report = classification_report(labels, predictions, list('abc'), weights)
  expected = theirs.classification_report(
    labels, predictions, target_names=list('abc'), sample_weight=weights,
    output_dict=True, zero_division=0,
  )  # fmt: skip
  rows = {**report['classes'], 'macro avg': report['macro']}
  rows['weighted avg'] = report['weighted']
  if multi_label:
    rows['samples avg'] = report['samples']
  else:
    np.testing.assert_allclose(
      report['confusion'],
      theirs.confusion_matrix(labels, predictions, sample_weight=weights),
    )
  for name, row in rows.items():
    _assert_equal({**row, 'f1-score': row['f1']}, expected[name])


def test_probabilities_that_are_ties_in_single_precision_are_ranked():
  labels = np.array([0, 1, 1, 0])
  logits = np.array([[0, 20], [0, 22], [0, 24], [0, 18]], np.float32)
  found = _compute(score_logits(SingleLabel(2, positive=1), labels, logits))
  assert (special.expit(logits[:, 1]) == 1).any() and found['roc_auc'] == 1


def test_without_examples_no_metric_fails():
  empty = np.zeros((0, 3))
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    for labels in (empty > 0, np.zeros(0, int)):
      _compute(
        Scored(
          labels=labels, predictions=labels, scores=empty, probabilities=empty
        )
      )
