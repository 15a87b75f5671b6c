"""Precision, recall and F1 by class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from bigru_jax.metrics.confusion import confusion_matrix

_LARGEST_CONFUSION = 200


class Counts(NamedTuple):
  """Counts of texts, or sums of their weights, by class [C].

  Attributes:
    true_positives: the texts that have the label and are predicted to have it.
    predicted: those that are predicted to have it.
    positives: those that have it.
  """

  true_positives: Any
  predicted: Any
  positives: Any

  def summed(self) -> Counts:
    """Returns the sums over all classes."""
    return Counts(*(counts.sum() for counts in self))


def count(
  labels: np.ndarray,
  predictions: np.ndarray,
  num_classes: int,
  weights: np.ndarray | None = None,
) -> Counts:
  """Counts the decisions about each class.

  Args:
    labels: class indices [N], or bool [N, C] for multi_label.
    predictions: in the same form.
    num_classes: C.
    weights: the weight of each example [N]; by default all are 1.
  """
  if labels.ndim == 1:
    confusion = confusion_matrix(labels, predictions, num_classes, weights)
    return Counts(np.diag(confusion), confusion.sum(0), confusion.sum(1))
  decisions = labels & predictions, predictions, labels
  if weights is None:
    return Counts(*(x.sum(0) for x in decisions))
  return Counts(*(weights @ x for x in decisions))


def scores_of(counts: Counts) -> dict[str, Any]:
  """Returns precision, recall and F1; without a denominator, they are 0."""
  true_positives, predicted, positives = counts
  return {
    'precision': _quotient(true_positives, predicted),
    'recall': _quotient(true_positives, positives),
    'f1': _quotient(2 * true_positives, predicted + positives),
  }


def _quotient(numerator: Any, denominator: Any) -> Any:
  return numerator / np.where(denominator > 0, denominator, 1)


def classification_report(
  labels: np.ndarray,
  predictions: np.ndarray,
  names: list[str],
  weights: np.ndarray | None = None,
) -> dict[str, Any]:
  """Returns precision, recall, F1 and support, as scikit-learn defines them.

  A quotient with a denominator of 0 is 0. With one label per text, the micro
  average is the accuracy, and the macro average is over the classes that occur
  as a label or as a prediction.

  Args:
    labels: class indices [N], or bool [N, C] for multi_label.
    predictions: in the same form.
    names: the classes' names.
    weights: the weight of each example [N], which makes all counts sums of
      weights; by default all are 1.

  Returns:
    `classes`: by name `precision`, `recall`, `f1`, `support`; the same for the
    averages `micro`, `macro` and `weighted`; for multi_label, the mean over
    texts, `samples`; else, of at most 200 classes, the `confusion` matrix,
    whose rows are labels and whose columns are predictions.
  """
  is_multi_label = labels.ndim > 1
  counts = count(labels, predictions, len(names), weights)
  scores = scores_of(counts)
  report: dict[str, Any] = {
    'classes': {
      name: {
        **{key: float(values[c]) for key, values in scores.items()},
        'support': counts.positives[c].item(),
      }
      for c, name in enumerate(names)
    }
  }
  total = counts.positives.sum().item()
  micro = scores_of(counts.summed())
  shares = counts.positives / (total or 1)
  averaged = (counts.positives + counts.predicted > 0) | is_multi_label
  averages = {
    'micro': {key: float(value) for key, value in micro.items()},
    'macro': {key: float(x[averaged].mean()) for key, x in scores.items()},
    'weighted': {key: float(x @ shares) for key, x in scores.items()},
  }
  if is_multi_label:
    by_text = scores_of(count(labels.T, predictions.T, len(labels)))
    averages['samples'] = {
      key: float(np.average(x, weights=weights)) for key, x in by_text.items()
    }
  report |= {name: {**x, 'support': total} for name, x in averages.items()}
  if not is_multi_label and len(names) <= _LARGEST_CONFUSION:
    report['confusion'] = confusion_matrix(
      labels, predictions, len(names), weights
    ).tolist()
  return report
