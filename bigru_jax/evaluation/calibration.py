"""The temperature and the thresholds that are fitted on validation.

It also has the reliability diagram, which shows whether to trust probabilities.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.rundir import files as run_files
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import MultiLabel, SingleLabel, Task

_BINS = 15
_LARGEST_LOG_TEMPERATURE = 3.0
_SMALLEST_THRESHOLD = 1e-9


@dataclasses.dataclass(frozen=True)
class Calibration:
  """The values that are fitted on validation and stored with the run.

  Attributes:
    temperature: the divisor of calibrated logits.
    thresholds: for each label, the uncalibrated probability at which a text
      has it; empty for single_label.
  """

  temperature: float = 1.0
  thresholds: tuple[float, ...] = ()


def read_calibration(
  workdir: pathlib.Path, num_classes: int, task: str
) -> Calibration:
  """Reads the temperature and thresholds of a run, or returns the defaults.

  Raises:
    ValueError: the file is corrupt.
  """
  is_multi_label = task == 'multi_label'
  path = workdir / 'calibration.json'
  if not run_files.exists(path):  # The run is unfinished, or is an old one.
    return Calibration(1.0, (0.5,) * num_classes if is_multi_label else ())
  values = run_files.read_json(path, 'calibration')
  try:
    temperature = float(values['temperature'])
    thresholds = tuple(map(float, values['thresholds']))
    fits = len(thresholds) == (num_classes if is_multi_label else 0)
    if not (0 < temperature < math.inf and fits):
      raise ValueError('out of bounds')
    if not all(0 < threshold < 1 for threshold in thresholds):
      raise ValueError('a threshold is not between 0 and 1')
  except (TypeError, KeyError, ValueError) as error:
    raise ValueError(f'workdir={workdir}: {path.name}: {error}') from error
  return Calibration(temperature, thresholds)


def reliability(
  labels: np.ndarray, probabilities_NxC: np.ndarray
) -> dict[str, np.ndarray]:
  """Returns a reliability diagram, over bins of equal width.

  Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 2. With one label
  per text, the confidence is the probability of the predicted class. With any
  number, each pair of a text and a label is an example, and its confidence is
  the label's probability.

  Returns:
    For each bin `count`, and the sums `confidence` and `correct`.
  """
  if labels.ndim > 1:
    confidences, correct = probabilities_NxC.ravel(), labels.ravel()
  else:
    predictions = probabilities_NxC.argmax(1)
    confidences = probabilities_NxC[np.arange(len(labels)), predictions]
    correct = predictions == labels
  # Bins (0, 1/15], (1/15, 2/15] and so on.
  bin_of = np.ceil(confidences.astype(np.float64) * _BINS).astype(int) - 1
  bin_of = np.clip(bin_of, 0, _BINS - 1)
  return {
    'count': np.bincount(bin_of, minlength=_BINS),
    'confidence': np.bincount(bin_of, confidences, _BINS),
    'correct': np.bincount(bin_of, correct, _BINS),
  }


def calibration_error(
  labels: np.ndarray, probabilities_NxC: np.ndarray
) -> float:
  """Returns the ECE, sum_b |B_b| / N |accuracy_b - confidence_b|.

  Guo et al., 2017, equation 3, over the bins of `reliability`.
  """
  diagram = reliability(labels, probabilities_NxC)
  difference = np.abs(diagram['correct'] - diagram['confidence']).sum()
  return float(difference / max(diagram['count'].sum(), 1))


@single_precision()
def fit_temperature(
  task: Task,
  logits_NxC: np.ndarray,
  labels: np.ndarray,
  targets_NxC: np.ndarray | None = None,
) -> float:
  """Returns the temperature with the smallest cross entropy.

  Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 4.2. It is clipped
  to e^-3 and e^3, and is 1 if the logits are not finite.

  Args:
    task: the task, whose cross entropy is used without smoothing or weights.
    logits_NxC: the logits of a split that was not trained on.
    labels: int32 [N], or bool [N, C].
    targets_NxC: float32, the soft labels, which replace the hard ones.
  """
  if isinstance(task, SingleLabel):
    task = dataclasses.replace(task, label_smoothing=0.0)
  else:
    task = MultiLabel(task.num_classes)
  logits, batch = jnp.asarray(logits_NxC), {'labels': jnp.asarray(labels)}
  if targets_NxC is not None:
    batch['targets'] = jnp.asarray(targets_NxC)

  def loss(log_temperature):
    return task.losses(logits * jnp.exp(-log_temperature), batch).mean()

  # The loss falls and then rises, so its slope has at most one zero.
  slope = jax.jit(jax.grad(loss))
  low, high = -_LARGEST_LOG_TEMPERATURE, _LARGEST_LOG_TEMPERATURE
  at_low, at_one, at_high = slope(low), slope(0.0), slope(high)
  if not at_one or not np.isfinite([at_low, at_one, at_high]).all():
    return 1.0
  if at_low >= 0 or at_high <= 0:
    return math.exp(low if at_low >= 0 else high)
  from scipy import optimize  # Importing it takes 0.2 s.

  return math.exp(optimize.brentq(slope, low, high, xtol=1e-6))


def fit_thresholds(
  setting: str, labels_NxC: np.ndarray, probabilities_NxC: np.ndarray
) -> tuple[float, ...]:
  """Returns the thresholds with the best F1 on a held-out split.

  Args:
    setting: the value of `Config.threshold`: `fixed` at 0.5; `tuned`, one for
      all labels by micro F1; `per_label`, one for each by its own F1. It is 0.5
      where none is better, for example if a label does not occur.
    labels_NxC: bool.
    probabilities_NxC: float64, to distinguish probabilities near 1.
  """
  num_labels = labels_NxC.shape[1]
  if setting == 'fixed':
    return (0.5,) * num_labels
  if setting == 'tuned':
    best = _best_threshold(labels_NxC.ravel(), probabilities_NxC.ravel())
    return (best,) * num_labels
  return tuple(
    _best_threshold(labels_NxC[:, c], probabilities_NxC[:, c])
    for c in range(num_labels)
  )


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
  """Returns the threshold with the best F1: 0.5, or one between examples."""
  order = np.argsort(-probabilities, kind='stable')
  sorted_probabilities = probabilities[order].astype(np.float64)
  true_positives = np.cumsum(labels[order])
  predicted = np.arange(1, len(labels) + 1)
  f1 = 2 * true_positives / (predicted + max(labels.sum(), 1))
  following = np.append(sorted_probabilities[1:], 0)
  f1 = np.where(
    sorted_probabilities > following, f1, -1
  )  # No split between ties.
  at_half = (
    2
    * (labels & (probabilities >= 0.5)).sum()
    / max((probabilities >= 0.5).sum() + labels.sum(), 1)
  )
  best = int(f1.argmax())
  if f1[best] <= at_half:
    return 0.5
  between = (sorted_probabilities[best] + following[best]) / 2
  return float(np.clip(between, _SMALLEST_THRESHOLD, 1 - _SMALLEST_THRESHOLD))
