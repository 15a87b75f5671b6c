"""The areas under curves, with ties and weights, against scikit-learn."""

import math
import warnings

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from bigru_jax.metrics.ranking import ranked


@settings(deadline=None, max_examples=200)
@given(
  count=st.integers(1, 40),
  distinct=st.integers(1, 40),
  rate=st.sampled_from([0, 0.1, 0.5, 1]),
  weighted=st.booleans(),
  seed=st.integers(0, 2**31),
)
def test_the_areas_and_counts_equal_scikit_learn(
  count, distinct, rate, weighted, seed
):
  rng = np.random.default_rng(seed)
  scores = rng.integers(0, distinct, count) / distinct
  labels = rng.random(count) < rate
  weights = None
  if weighted:
    weights = rng.random(count) * (rng.random(count) < 0.8)
    weights[rng.integers(count)] = 0.5
  found = ranked(scores, labels, weights)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Undefined values.
    auc, precision = (
      theirs(labels, scores, sample_weight=weights)
      for theirs in (
        sklearn_metrics.roc_auc_score,
        sklearn_metrics.average_precision_score,
      )
    )
  assert found.roc_auc() == pytest.approx(auc, abs=1e-12, nan_ok=True)
  assert found.average_precision() == pytest.approx(precision, abs=1e-12)
  _, false_positives, _, true_positives, thresholds = (
    sklearn_metrics.confusion_matrix_at_thresholds(
      labels, scores, pos_label=True, sample_weight=weights
    )
  )
  np.testing.assert_array_equal(found.thresholds, thresholds)
  np.testing.assert_allclose(found.true_positives, true_positives, atol=1e-12)
  np.testing.assert_allclose(found.false_positives, false_positives, atol=1e-12)


def test_of_no_example_the_areas_are_undefined():
  none = np.zeros(0)
  assert math.isnan(ranked(none, none > 0).roc_auc())
  assert math.isnan(ranked(np.ones(2), np.ones(2) > 0, np.zeros(2)).roc_auc())
