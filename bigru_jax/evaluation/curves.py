"""The ROC and precision-recall curves of decisions, with few points to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from bigru_jax.metrics.ranking import ranked
from bigru_jax.tasks import MultiLabel, Task

_POINTS = 200  # The largest number of points of a curve.
_LABELS = 5  # The largest number of labels with a curve of their own.
ALL_LABELS = 'all labels together'


def decision_curves(
  task: Task,
  names: list[str],
  labels: np.ndarray,
  logits_NxC: np.ndarray,
  predictions: np.ndarray,
  thresholds: tuple[float, ...],
  weights_N: np.ndarray | None = None,
) -> list[dict[str, Any]]:
  """Returns the curves of a split.

  With two classes there is one, of the positive class. With several labels, the
  first curve counts the decisions about all of them together; after it come the
  curves of at most five labels, those with the lowest average precision. More
  than two classes have no curve, nor has a decision without a positive or
  without a negative example.

  Args:
    task: what the labels are.
    names: the classes' names.
    labels, logits_NxC, predictions: of the split's examples.
    thresholds: see `Calibration`.
    weights_N: the weight of each example; by default 1.

  Returns:
    See `curve`, in the order in which they are drawn.
  """
  if isinstance(task, MultiLabel):
    scores_NxC, is_true_NxC = logits_NxC, labels
  elif task.positive is None:
    return []
  else:
    names, thresholds = [names[task.positive]], thresholds or (0.5,)
    scores_NxC = task.log_odds(logits_NxC)[:, None]
    is_true_NxC = (labels == task.positive)[:, None]
    predictions = (predictions == task.positive)[:, None]
  if weights_N is not None:
    used = weights_N > 0
    scores_NxC, is_true_NxC = scores_NxC[used], is_true_NxC[used]
    predictions, weights_N = predictions[used], weights_N[used]
  curves = [
    curve(name, scores, is_true, predicted, threshold, weights_N)
    for name, scores, is_true, predicted, threshold in zip(
      names, scores_NxC.T, is_true_NxC.T, predictions.T, thresholds
    )
    if is_true.any() and not is_true.all()
  ]
  if len(names) == 1 or not curves:
    return curves
  curves.sort(key=lambda x: x['average_precision'])
  if weights_N is not None:
    weights_N = np.repeat(weights_N, len(names))
  together = curve(
    ALL_LABELS,
    scores_NxC.ravel(),
    is_true_NxC.ravel(),
    predictions.ravel(),
    thresholds[0] if len(set(thresholds)) == 1 else None,
    weights_N,
  )
  return [together, *curves[:_LABELS]]


def curve(
  name: str,
  scores_N: np.ndarray,
  is_true_N: np.ndarray,
  predicted_N: np.ndarray,
  threshold: float | None,
  weights_N: np.ndarray | None = None,
) -> dict[str, Any]:
  """Returns the curves of one kind of decision, as a JSON object.

  Args:
    name: what is decided.
    scores_N: larger ones for positive examples.
    is_true_N: bool, whether an example is positive; some are, and some not.
    predicted_N: bool, whether it is predicted to be.
    threshold: the probability from which on it is.
    weights_N: the weight of each example, above 0; by default 1.

  Returns:
    `name`; `positives` and `negatives`, the numbers of the examples, or the
    sums of their weights; `roc_auc`; `average_precision`; lists with a number
    for each of at most 200 thresholds, `recall` (the true positive rate),
    `false_positive_rate` and `precision`; and `point`, a dict of the same three
    for the predictions, with their `threshold`. Its precision is None if no
    example is predicted to be positive.
  """
  ranking = ranked(scores_N, is_true_N, weights_N)
  recall = ranking.true_positives / ranking.positives
  rate = ranking.false_positives / ranking.negatives
  # Along the curve, the sum of both rates grows from 0 to 2.
  steps = np.linspace(0, recall[-1] + rate[-1], _POINTS)
  indices = np.unique(np.searchsorted(recall + rate, steps))
  values = {
    'recall': recall[indices],
    'false_positive_rate': rate[indices],
    'precision': (ranking.true_positives / ranking.predicted())[indices],
  }
  if weights_N is None:
    weights_N = np.ones(len(is_true_N))
  true_positives = float(weights_N @ (predicted_N & is_true_N))
  false_positives = float(weights_N @ (predicted_N & ~is_true_N))
  predicted = true_positives + false_positives
  return {
    'name': name,
    'positives': ranking.positives,
    'negatives': ranking.negatives,
    'roc_auc': ranking.roc_auc(),
    'average_precision': ranking.average_precision(),
    **{key: np.round(x, 5).tolist() for key, x in values.items()},
    'point': {
      'recall': true_positives / ranking.positives,
      'false_positive_rate': false_positives / ranking.negatives,
      'precision': true_positives / predicted if predicted else None,
      'threshold': threshold,
    },
  }
