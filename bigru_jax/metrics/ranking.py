"""What the order of scores says: ROC-AUC, average precision and their curves.

One sort of the scores gives all of them. They are those of scikit-learn, with
ties and weights.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranked:
  """The counts of a two-class decision, at each threshold that changes it.

  With weights, an example counts as much as its weight. All arrays are float64
  [K], where K is the number of distinct scores.

  Attributes:
    thresholds: the distinct scores, the largest first. An example is predicted
      to be positive if its score is at least the threshold.
    true_positives: the number of positive examples that are predicted so.
    false_positives: the number of negative examples that are predicted to be
      positive.
  """

  thresholds: np.ndarray
  true_positives: np.ndarray
  false_positives: np.ndarray

  @property
  def positives(self) -> float:
    """The number of all positive examples."""
    return float(self.true_positives[-1]) if len(self.thresholds) else 0.0

  @property
  def negatives(self) -> float:
    """The number of all negative examples."""
    return float(self.false_positives[-1]) if len(self.thresholds) else 0.0

  def roc_auc(self) -> float:
    """Returns the area under the ROC curve; NaN if one class is missing."""
    area = self.positives * self.negatives
    if not area:
      return math.nan
    x, y = np.append(0, self.false_positives), np.append(0, self.true_positives)
    return float(np.trapezoid(y, x) / area)

  def average_precision(self) -> float:
    """Returns the sum of precision * increase of recall; 0 if none is positive.

    It is not interpolated, as in scikit-learn.
    """
    if not self.positives:
      return 0.0
    precision = self.true_positives / self.predicted()
    increase = np.diff(self.true_positives, prepend=0) / self.positives
    return float(precision @ increase)

  def predicted(self) -> np.ndarray:
    """Returns the number of examples that are predicted to be positive."""
    return self.true_positives + self.false_positives


def ranked(
  scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> Ranked:
  """Sorts scores once, and counts the decisions at each of them.

  Args:
    scores: [N], larger ones for positive examples; all finite.
    labels: bool [N], whether an example is positive.
    weights: [N], at least 0; by default all are 1. Scores of weight 0 are left
      out.
  """
  if weights is not None:
    used = weights > 0
    scores, labels, weights = scores[used], labels[used], weights[used]
  order = np.argsort(scores)[::-1]
  scores, labels = scores[order], labels[order]
  # The last example of each group of equal scores.
  ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], len(scores) > 0))
  if weights is None:
    true_positives = np.cumsum(labels, dtype=np.float64)[ends]
    false_positives = ends + 1.0 - true_positives
  else:
    weights = weights[order].astype(np.float64)
    true_positives = np.cumsum(np.where(labels, weights, 0))[ends]
    false_positives = np.cumsum(np.where(labels, 0, weights))[ends]
  return Ranked(
    thresholds=scores[ends].astype(np.float64),
    true_positives=true_positives,
    false_positives=false_positives,
  )
