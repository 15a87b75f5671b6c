"""What is fitted on validation, and above all the temperature.

It also has the reliability diagram, which shows whether to trust probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.rundir import files as run_files
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

_BINS = 15
_LOG_BOUNDS = -3.0, 3.0
TEMPERATURE_BOUNDS = tuple(map(math.exp, _LOG_BOUNDS))


@dataclasses.dataclass(frozen=True)
class Calibration:
  """The values that are fitted on validation and stored with the run.

  Attributes:
    temperature: the divisor of calibrated logits.
    thresholds: for multi_label, the uncalibrated probability of each label at
      which a text has it; for two classes with threshold=tuned, that of the
      positive one; else empty, and the most probable class is predicted.
    positive_label: the positive one of two classes; else empty.
  """

  temperature: float = 1.0
  thresholds: tuple[float, ...] = ()
  positive_label: str = ''


def read_calibration(
  workdir: pathlib.Path, labels: Sequence[str], task: str
) -> Calibration:
  """Reads what was fitted on a run's validation, or returns the defaults.

  A run of an older version has no positive label.

  Raises:
    ValueError: the file is corrupt.
  """
  is_multi_label = task == 'multi_label'
  path = workdir / 'calibration.json'
  if not run_files.exists(path):  # The run is unfinished, or is an old one.
    return Calibration(1.0, (0.5,) * len(labels) if is_multi_label else ())
  values = run_files.read_json(path, 'calibration')
  try:
    temperature = float(values['temperature'])
    thresholds = tuple(map(float, values['thresholds']))
    positive = str(values.get('positive_label', ''))
    sizes = (len(labels),) if is_multi_label else (0, int(bool(positive)))
    if not (0 < temperature < math.inf and len(thresholds) in sizes):
      raise ValueError('out of bounds')
    if not all(0 < threshold < 1 for threshold in thresholds):
      raise ValueError('a threshold is not between 0 and 1')
    if positive and (is_multi_label or positive not in labels):
      raise ValueError(f'positive_label={positive!r} is not a label')
  except (TypeError, KeyError, ValueError) as error:
    raise ValueError(f'workdir={workdir}: {path.name}: {error}') from error
  return Calibration(temperature, thresholds, positive)


def reliability(
  labels: np.ndarray,
  probabilities_NxC: np.ndarray,
  weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
  """Returns a reliability diagram, over bins of equal width.

  Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 2. With one label
  per text, the confidence is the probability of the predicted class. With any
  number, each pair of a text and a label is an example, and its confidence is
  the label's probability.

  Args:
    labels: int32 [N], or bool [N, C].
    probabilities_NxC: the probabilities of the classes.
    weights: the weights of the texts [N], which make the counts sums of
      weights; by default all are 1.

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
  if weights is not None:
    weights = np.repeat(weights, len(bin_of) // len(weights))
    confidences, correct = confidences * weights, correct * weights
  return {
    'count': np.bincount(bin_of, weights, _BINS),
    'confidence': np.bincount(bin_of, confidences, _BINS),
    'correct': np.bincount(bin_of, correct, _BINS),
  }


def calibration_error(
  labels: np.ndarray,
  probabilities_NxC: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Returns the ECE, sum_b |B_b| / N |accuracy_b - confidence_b|.

  Guo et al., 2017, equation 3, over the bins of `reliability`.
  """
  diagram = reliability(labels, probabilities_NxC, weights)
  difference = np.abs(diagram['correct'] - diagram['confidence']).sum()
  return float(difference / (diagram['count'].sum() or 1))


@single_precision()
def fit_temperature(
  task: Task,
  logits_NxC: np.ndarray,
  labels: np.ndarray,
  targets_NxC: np.ndarray | None = None,
  weights_N: np.ndarray | None = None,
) -> float:
  """Returns the temperature with the smallest cross entropy.

  Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 4.2. It is clipped
  to `TEMPERATURE_BOUNDS`, and is 1 if the logits are not finite.

  Args:
    task: the task. The cross entropy is that of its activation, whatever the
      loss, without smoothing or weights of classes.
    logits_NxC: the logits of a split that was not trained on.
    labels: int32 [N], or bool [N, C].
    targets_NxC: float32, the soft labels, which replace the hard ones.
    weights_N: the weights of the examples; by default 1.
  """
  batch = {'labels': labels}
  if targets_NxC is not None:
    batch['targets'] = targets_NxC

  def loss(log_temperature, logits, batch):
    scaled = logits * jnp.exp(-log_temperature)
    losses_N = task.activation.cross_entropy(scaled, task.targets(batch))
    if weights_N is None:
      return losses_N.mean()
    return jnp.average(losses_N, weights=weights_N)

  arrays = jax.device_put((logits_NxC, batch))
  program = jax.jit(jax.grad(loss))

  def slope(log_temperature):
    return float(program(log_temperature, *arrays))

  # The loss falls and then rises, so its slope has at most one zero.
  low, high = _LOG_BOUNDS
  at_low, at_one, at_high = slope(low), slope(0.0), slope(high)
  if not at_one or not np.isfinite([at_low, at_one, at_high]).all():
    return 1.0
  if at_low >= 0 or at_high <= 0:
    return math.exp(low if at_low >= 0 else high)
  from scipy import optimize  # Importing it takes 0.2 s.

  return math.exp(optimize.brentq(slope, low, high, xtol=1e-6))
