"""The labels of a split beside the model's scores, and metrics of the two.

The metrics are those of scikit-learn, whose name is in each docstring where it
differs; with weights, those of its `sample_weight`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np

from bigru_jax.metrics.by_class import Counts, count, scores_of
from bigru_jax.metrics.confusion import confusion_matrix
from bigru_jax.metrics.ranking import ranked


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
  """The labels and the predictions of the examples of a split.

  Attributes:
    labels: class indices [N], or bool [N, C] for multi_label.
    predictions: in the same form.
    scores: [N, C], which rank the examples by class, and the classes by
      example: probabilities, or the logits of independent labels.
    probabilities: float64 [N, C].
    weights: float64 [N], the weights of the examples; None if all are 1.
    positive: of two classes, the index of the positive one; else None.
    names: the names of the classes, if a metric needs them.
  """

  labels: np.ndarray
  predictions: np.ndarray
  scores: np.ndarray
  probabilities: np.ndarray
  weights: np.ndarray | None = None
  positive: int | None = None
  names: tuple[str, ...] = ()

  @property
  def is_multi_label(self) -> bool:
    """Whether a text may have more than one label."""
    return self.labels.ndim > 1

  @property
  def num_classes(self) -> int:
    """C, the number of classes or labels."""
    return self.scores.shape[1]

  @functools.cached_property
  def is_true(self) -> np.ndarray:
    """Whether each text has each label, bool [N, C]."""
    if self.is_multi_label:
      return self.labels
    return self.labels[:, None] == np.arange(self.num_classes)

  @functools.cached_property
  def confusion(self) -> np.ndarray:
    """The confusion matrix [C, C], for one label per text."""
    return confusion_matrix(
      self.labels, self.predictions, self.num_classes, self.weights
    )

  @functools.cached_property
  def counts(self) -> Counts:
    """The counts by class."""
    return count(self.labels, self.predictions, self.num_classes, self.weights)

  @functools.cached_property
  def by_class(self) -> list[Areas]:
    """The areas of each class's scores, against all other classes."""
    return [
      areas_of(self.scores[:, c], self.is_true[:, c], self.weights)
      for c in range(self.num_classes)
    ]

  @functools.cached_property
  def of_decisions(self) -> Areas:
    """The areas of all pairs of an example and a class together."""
    weights = self.weights
    if weights is not None:
      weights = np.repeat(weights, self.num_classes)
    return areas_of(self.scores.ravel(), self.is_true.ravel(), weights)

  @functools.cached_property
  def true_labels(self) -> TrueLabels:
    """The rank of each label that is true among all labels of its text."""
    return rank_true_labels(self.is_true, self.scores)

  def mean(self, values: np.ndarray) -> float:
    """Returns the mean of a value of each example, by weight."""
    return weighted_mean(values, self.weights)


def weighted_mean(values: np.ndarray, weights: np.ndarray | None) -> float:
  """Returns the mean by weight, or NaN if there is no value or no weight."""
  if weights is None:
    return float(values.mean()) if len(values) else math.nan
  total = weights.sum()
  return float(values @ weights / total) if total else math.nan


class Areas(NamedTuple):
  """The areas under the curves of a two-class decision.

  Attributes:
    roc_auc, average_precision: see `Ranked`.
    positives: the number of positive examples, or the sum of their weights.
  """

  roc_auc: float
  average_precision: float
  positives: float


def areas_of(
  scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> Areas:
  """Returns the areas of scores; see `ranked`."""
  curve = ranked(scores, labels, weights)
  return Areas(curve.roc_auc(), curve.average_precision(), curve.positives)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrueLabels:
  """All pairs of a text and one of its labels, in the order of the texts.

  Attributes:
    texts: the index of the text [P].
    positions: the label's position [P] among all labels by score, from 0; of
      equal scores, the first label comes first.
    at_least: the number of labels [P] with at least its score.
    true_at_least: the number of true ones [P] among these.
    num_true: the number of labels of each text [N].
  """

  texts: np.ndarray
  positions: np.ndarray
  at_least: np.ndarray
  true_at_least: np.ndarray
  num_true: np.ndarray

  def hits(self, k: int) -> np.ndarray:
    """Returns how many of its labels are among each text's first k, [N]."""
    first = self.texts[self.positions < k]
    return np.bincount(first, minlength=len(self.num_true))


def rank_true_labels(is_true: np.ndarray, scores: np.ndarray) -> TrueLabels:
  """Ranks the true labels of each text.

  Args:
    is_true: bool [N, C].
    scores: [N, C].
  """
  texts, labels = np.nonzero(is_true)
  own = scores[texts, labels]
  positions, at_least, true_at_least = np.zeros((3, len(texts)), np.int32)
  for c in range(scores.shape[1]):
    others = scores[texts, c]
    reaches = others >= own
    at_least += reaches
    true_at_least += reaches & is_true[texts, c]
    positions += np.where(labels <= c, others > own, reaches)
  return TrueLabels(
    texts=texts,
    positions=positions,
    at_least=at_least,
    true_at_least=true_at_least,
    num_true=is_true.sum(1),
  )


def subset_accuracy(scored: Scored) -> float:
  """Returns the share of texts whose set of labels is predicted exactly."""
  return scored.mean((scored.labels == scored.predictions).all(1))


def multi_label_f1(scored: Scored, average: str) -> float:
  """Returns the F1 of many labels: micro, macro, or samples."""
  counts = scored.counts
  if average == 'micro':
    return float(scores_of(counts.summed())['f1'])
  if average == 'samples':
    by_text = count(scored.labels.T, scored.predictions.T, len(scored.labels))
    return scored.mean(scores_of(by_text)['f1'])
  return float(scores_of(counts)['f1'].mean())


def lrap(scored: Scored) -> float:
  """Returns the label ranking average precision.

  It is scikit-learn's `label_ranking_average_precision_score`, in which a text
  without labels counts as 1.
  """
  pairs = scored.true_labels
  precisions = pairs.true_at_least / pairs.at_least
  means = np.ones(len(pairs.num_true))
  for size in np.unique(pairs.num_true[pairs.num_true > 0]):
    of_size = pairs.num_true == size
    means[of_size] = precisions[of_size[pairs.texts]].reshape(-1, size).mean(1)
  if scored.weights is None:
    return float(np.cumsum(means)[-1] / len(means)) if len(means) else math.nan
  return scored.mean(means)


def precision_at(scored: Scored, k: int) -> float:
  """Returns the share of true labels among the k most probable ones."""
  hits = scored.true_labels.hits(k)
  if scored.weights is None:  # One division, which rounds once.
    return float(hits.sum() / (len(hits) * k)) if len(hits) else math.nan
  return scored.mean(hits / k)


def recall_at(scored: Scored, k: int) -> float:
  """Returns the share of its labels among a text's k most probable ones.

  The mean is over the texts that have a label. With one label per text it is
  scikit-learn's `top_k_accuracy_score`.
  """
  pairs = scored.true_labels
  labelled = pairs.num_true > 0
  recall = pairs.hits(k)[labelled] / pairs.num_true[labelled]
  weights = None if scored.weights is None else scored.weights[labelled]
  return weighted_mean(recall, weights)


def averaged(scored: Scored, area: str, average: str) -> float:
  """Returns an area under a curve, averaged over the classes.

  Of two classes, it is that of the positive one, whatever the average.

  Args:
    scored: the examples.
    area: a field of `Areas`.
    average: `macro`, the mean over the classes, each against all others, which
      is NaN if one is; `micro`, of all decisions together; or `weighted`, the
      mean by the number of texts that have the label.
  """
  if scored.positive is not None:
    return getattr(scored.by_class[scored.positive], area)
  if average == 'micro':
    return getattr(scored.of_decisions, area)
  areas = np.array([getattr(of_class, area) for of_class in scored.by_class])
  if average == 'macro':
    return float(areas.mean())
  positives = np.array([of_class.positives for of_class in scored.by_class])
  total = positives.sum()
  areas = np.where(positives > 0, areas, 0.0)
  return float(areas @ positives / total) if total else 0.0


def log_loss(scored: Scored) -> float:
  """Returns the mean of -log p of what is true, of hard labels.

  For multi_label it is the mean over the labels, too.
  """
  p_NxC, is_true = scored.probabilities, scored.is_true
  if scored.is_multi_label:
    of_true = np.where(is_true, p_NxC, 1 - p_NxC)
  else:
    of_true = p_NxC[is_true][:, None]
  tiny = np.finfo(np.float64).eps
  return scored.mean(-np.log(of_true.clip(tiny, 1 - tiny)).mean(1))


def brier(scored: Scored) -> float:
  """Returns the mean squared error of the probabilities, of hard labels.

  It is that of the positive one of two classes, the sum over more of them, and
  the mean over the labels of multi_label; `brier_score_loss`.
  """
  errors_NxC = np.square(scored.probabilities - scored.is_true)
  if scored.is_multi_label:
    return scored.mean(errors_NxC.mean(1))
  if scored.positive is not None:
    return scored.mean(errors_NxC[:, scored.positive])
  return scored.mean(errors_NxC.sum(1))


def of_positive(scored: Scored, key: str) -> float:
  """Returns `precision`, `recall` or `f1` of the positive class."""
  return float(scores_of(scored.counts)[key][scored.positive])
