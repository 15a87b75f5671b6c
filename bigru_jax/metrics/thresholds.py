"""The threshold of a probability that is best on a held-out split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bigru_jax.metrics.ranking import ranked


def _f1(tp, fp, positives, negatives):
  """Returns 2 TP / (2 TP + FP + FN)."""
  del negatives
  return 2 * tp / np.maximum(tp + fp + positives, np.finfo(float).tiny)


def _mcc(tp, fp, positives, negatives):
  """Returns the Matthews correlation coefficient, 0 where it is undefined.

  (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)), Matthews,
  1975, https://doi.org/10.1016/0005-2795(75)90109-9.
  """
  predicted = tp + fp
  others = positives + negatives - predicted
  covariance = tp * negatives - fp * positives
  root = np.sqrt(predicted) * np.sqrt(others)
  root = root * np.sqrt(positives) * np.sqrt(negatives)
  return np.divide(covariance, root, np.zeros_like(covariance), where=root > 0)


def _youden(tp, fp, positives, negatives):
  """Returns the true positive rate minus the false positive rate.

  Youden, 1950, https://doi.org/10.1002/1097-0142(1950)3:1<32. A rate without
  examples is 0.
  """
  tiny = np.finfo(float).tiny
  return tp / np.maximum(positives, tiny) - fp / np.maximum(negatives, tiny)


# What a threshold maximizes, by name: functions of the numbers, or sums of
# weights, of true positives and false positives at each threshold, and of all
# positives and negatives.
THRESHOLD_METRICS: dict[str, Callable[..., np.ndarray]] = {
  'f1': _f1,
  'mcc': _mcc,
  'youden': _youden,
}


def fit_thresholds(
  setting: str,
  labels_NxC: np.ndarray,
  probabilities_NxC: np.ndarray,
  metric: str = 'f1',
  weights_N: np.ndarray | None = None,
) -> tuple[float, ...]:
  """Returns the best threshold of each label on a held-out split.

  Args:
    setting: the value of `Config.threshold`: `fixed` at 0.5; `tuned`, one for
      all labels by the decisions about all of them; `per_label`, one for each
      by the decisions about it.
    labels_NxC: bool.
    probabilities_NxC: float64, to distinguish probabilities near 1.
    metric: what is maximized, a name of `THRESHOLD_METRICS`.
    weights_N: the weight of each example; by default 1.
  """
  num_labels = labels_NxC.shape[1]
  if setting == 'fixed':
    return (0.5,) * num_labels
  if setting == 'tuned':
    if weights_N is not None:
      weights_N = np.repeat(weights_N, num_labels)
    best = best_threshold(
      labels_NxC.ravel(), probabilities_NxC.ravel(), metric, weights_N
    )
    return (best,) * num_labels
  return tuple(
    best_threshold(labels_NxC[:, c], probabilities_NxC[:, c], metric, weights_N)
    for c in range(num_labels)
  )


def best_threshold(
  labels_N: np.ndarray,
  probabilities_N: np.ndarray,
  metric: str = 'f1',
  weights_N: np.ndarray | None = None,
) -> float:
  """Returns the threshold with the largest value of a metric.

  It is halfway between the probabilities of two examples. It is 0.5 where none
  is better, for example if no example is positive; of equally good thresholds
  it is the largest.

  Args:
    labels_N: bool, whether an example is positive.
    probabilities_N: of being positive; positive is predicted from the threshold
      on.
    metric, weights_N: see `fit_thresholds`.
  """
  curve = ranked(probabilities_N.astype(np.float64), labels_N, weights_N)
  # In the first place no example is predicted to be positive.
  values = THRESHOLD_METRICS[metric](
    np.append(0.0, curve.true_positives),
    np.append(0.0, curve.false_positives),
    curve.positives,
    curve.negatives,
  )
  borders = np.concatenate([[1.0], curve.thresholds, [0.0]])
  values = np.where(borders[:-1] > borders[1:], values, -np.inf)
  best, at_half = values.argmax(), np.count_nonzero(curve.thresholds >= 0.5)
  if values[best] <= values[at_half]:
    return 0.5
  upper, lower = borders[best], borders[best + 1]
  # Halfway between neighbouring numbers there is none, and upper remains.
  return float(max((upper + lower) / 2, np.nextafter(lower, upper)))
