"""Evaluation of a split from the logits of all its examples: by class, over
thresholds, and calibrated."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import MultiLabel, SingleLabel, Task

ECE_BINS = 15
_RANKS = 1, 3, 5
_MANY_LABELS = 100
_LARGEST_CONFUSION = 200
_LARGEST_LOG_TEMPERATURE = 3.0
_SMALLEST_THRESHOLD = 1e-9
_STEPS = 20  # Of L-BFGS, over one number.


@dataclasses.dataclass(frozen=True)
class Calibration:
  """What is chosen on validation after training, and stored with the run.

  Attributes:
    temperature: by which calibrated logits are divided.
    thresholds: the probability, not a calibrated one, from which a text has a
      label, one per label; empty for one label a text.
  """

  temperature: float = 1.0
  thresholds: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """The answers on a split beside its labels.

  Attributes:
    names: the classes' names.
    metrics: scalars by name.
    labels: int32 [N], or bool [N, C] for several labels a text.
    predictions: in the same form.
    probabilities: float32 [N, C].
  """

  names: list[str]
  metrics: dict[str, Any]
  labels: np.ndarray
  predictions: np.ndarray
  probabilities: np.ndarray

  def report(self) -> dict[str, Any]:
    """Per class and averaged; see `classification_report`."""
    return classification_report(self.labels, self.predictions, self.names)

  def answers(
    self, rows: Sequence[int], sources: Sequence[str], every: bool = False
  ) -> list[dict[str, Any]]:
    """One dict per text, for a predictions file.

    Args:
      rows, sources: of each text its line number and its file, see
        `data.splits.Example`.
      every: whether all probabilities are given, however many there are.

    Returns:
      `source`, `row`, `label` (gold), `prediction`, `probabilities` by class;
      of over 100 labels a text only the 100 largest probabilities.
    """
    few = self.labels.ndim == 1 or len(self.names) <= _MANY_LABELS or every

    def shown(i):
      if few:
        return range(len(self.names))
      return np.argsort(-self.probabilities[i], kind='stable')[:_MANY_LABELS]

    return [
      {
        'source': sources[i],
        'row': row,
        'label': label_names(self.labels[i], self.names),
        'prediction': label_names(self.predictions[i], self.names),
        'probabilities': {
          self.names[c]: round(float(self.probabilities[i, c]), 6)
          for c in shown(i)
        },
      }
      for i, row in enumerate(rows)
    ]

  def mistakes(self) -> np.ndarray:
    """The texts that are answered wrongly, the most confident first.

    With one label a text, by the probability of the prediction; with several,
    by the largest distance of a probability from the truth.
    """
    if self.labels.ndim > 1:
      wrong = (self.labels != self.predictions).any(1)
      confidence = np.abs(self.labels - self.probabilities).max(1)
    else:
      wrong = self.labels != self.predictions
      confidence = self.probabilities.max(1)
    order = np.argsort(-confidence, kind='stable')
    return order[wrong[order]]


def label_names(labels: Any, names: list[str]) -> Any:
  """A class's name, or a list of them for bool [C]."""
  if np.ndim(labels):
    return [names[c] for c in np.flatnonzero(labels)]
  return names[int(labels)]


def evaluate_logits(
  task: Task,
  names: list[str],
  labels: np.ndarray,
  logits_NxC: np.ndarray,
  calibration: Calibration,
  metrics: dict[str, Any],
  calibrated: bool = False,
) -> Evaluation:
  """The evaluation of a split from its logits.

  Args:
    task: what the labels are.
    names: the classes' names.
    labels: int32 [N], or bool [N, C].
    logits_NxC: the model's.
    calibration: of the run.
    metrics: those summed up batch by batch; the others join them, and those
      that depend on the thresholds take their place.
    calibrated: whether to give calibrated probabilities.
  """
  plain = np.asarray(task.probabilities(logits_NxC))
  scaled = np.asarray(task.probabilities(logits_NxC / calibration.temperature))
  predictions = task.predictions(logits_NxC, np.array(calibration.thresholds))
  errors = {
    'ece': calibration_error(labels, plain),
    'ece_calibrated': calibration_error(labels, scaled),
  }
  if isinstance(task, MultiLabel):
    several = multi_label_metrics(labels, predictions, logits_NxC)
    metrics = {**metrics, **several}
  return Evaluation(
    names,
    {**metrics, **errors},
    labels,
    predictions,
    scaled if calibrated else plain,
  )


def classification_report(
  labels: np.ndarray, predictions: np.ndarray, names: list[str]
) -> dict[str, Any]:
  """Precision, recall, F1 and support, as scikit-learn's function of that name.

  A quotient without a denominator is 0. With one label a text, a micro average
  is the accuracy, and the macro average is over the classes that occur as a
  label or as a prediction.

  Args:
    labels: class indices [N], or bool [N, C] for several labels a text.
    predictions: in the same form.
    names: the classes' names.

  Returns:
    `classes`: by name `precision`, `recall`, `f1`, `support`; `micro`, `macro`
    and `weighted` averages of the same; with several labels a text `samples`,
    the mean over texts; else `confusion`, rows by label, columns by prediction,
    of at most 200 classes.
  """
  num_classes = len(names)
  several = labels.ndim > 1
  report: dict[str, Any] = {}
  if several:
    true_positives = (labels & predictions).sum(0)
    positives, predicted = labels.sum(0), predictions.sum(0)
  else:
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    true_positives = np.diag(confusion)
    positives, predicted = confusion.sum(1), confusion.sum(0)
  scores = _scores(true_positives, predicted, positives)
  report['classes'] = {
    name: {
      **{key: float(values[c]) for key, values in scores.items()},
      'support': int(positives[c]),
    }
    for c, name in enumerate(names)
  }
  total = int(positives.sum())
  micro = _scores(true_positives.sum(), predicted.sum(), positives.sum())
  shares = positives / max(total, 1)
  averaged = (positives + predicted > 0) | several
  averages = {
    'micro': {key: float(value) for key, value in micro.items()},
    'macro': {key: float(x[averaged].mean()) for key, x in scores.items()},
    'weighted': {key: float(x @ shares) for key, x in scores.items()},
  }
  if several:
    by_text = _scores(
      (labels & predictions).sum(1), predictions.sum(1), labels.sum(1)
    )
    averages['samples'] = {key: float(x.mean()) for key, x in by_text.items()}
  report |= {name: {**x, 'support': total} for name, x in averages.items()}
  if not several and num_classes <= _LARGEST_CONFUSION:
    report['confusion'] = confusion.tolist()
  return report


def _scores(
  true_positives: Any, predicted: Any, positives: Any
) -> dict[str, Any]:
  """Precision, recall and F1 from counts."""
  return {
    'precision': true_positives / np.maximum(predicted, 1),
    'recall': true_positives / np.maximum(positives, 1),
    'f1': 2 * true_positives / np.maximum(predicted + positives, 1),
  }


def multi_label_metrics(
  labels_NxC: np.ndarray, predictions_NxC: np.ndarray, scores_NxC: np.ndarray
) -> dict[str, float]:
  """Metrics of texts with several labels.

  Args:
    labels_NxC, predictions_NxC: bool.
    scores_NxC: by which labels are ranked.

  Returns:
    `accuracy`, that of whole sets of labels; `micro_f1`, `macro_f1`,
    `samples_f1`; `precision_at_k`, the share of true labels among the k of the
    largest scores; `lrap`, the label ranking average precision, in which a text
    without labels counts 1 (as in scikit-learn).
  """
  names = list(map(str, range(labels_NxC.shape[1])))
  report = classification_report(labels_NxC, predictions_NxC, names)
  found = {
    'accuracy': float((labels_NxC == predictions_NxC).all(1).mean()),
    **{f'{x}_f1': report[x]['f1'] for x in ('micro', 'macro', 'samples')},
  }
  most = min(max(_RANKS), labels_NxC.shape[1])
  hits_NxK = np.zeros((len(labels_NxC), most), bool)
  for hits, labels, scores in zip(hits_NxK, labels_NxC, scores_NxC):
    hits[:] = labels[np.argsort(-scores, kind='stable')[:most]]
  for k in _RANKS:
    if k <= most:
      found[f'precision_at_{k}'] = float(hits_NxK[:, :k].mean())
  found['lrap'] = _label_ranking(labels_NxC, scores_NxC)
  return found


def _label_ranking(labels_NxC: np.ndarray, scores_NxC: np.ndarray) -> float:
  """Mean over texts, over their labels, of the share of true labels among those
  with at least the label's score."""
  total = 0.0
  for true, scores in zip(labels_NxC, scores_NxC):
    if not true.any():
      total += 1
      continue
    mine = scores[true]
    above = np.searchsorted(np.sort(-scores), -mine, side='right')
    true_above = np.searchsorted(np.sort(-mine), -mine, side='right')
    total += (true_above / above).mean()
  return total / max(len(labels_NxC), 1)


def reliability(
  labels: np.ndarray, probabilities_NxC: np.ndarray, bins: int = ECE_BINS
) -> dict[str, np.ndarray]:
  """A reliability diagram, over bins of equal width.

  Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 2. With one label
  a text, the confidence is the probability of the predicted class; with
  several, every label of every text is one example, and its probability the
  confidence that the text has it.

  Returns:
    By bin `count`, and the sums `confidence` and `correct` over its examples.
  """
  if labels.ndim > 1:
    confidences, correct = probabilities_NxC.ravel(), labels.ravel()
  else:
    predictions = probabilities_NxC.argmax(1)
    confidences = probabilities_NxC[np.arange(len(labels)), predictions]
    correct = predictions == labels
  # Bins (0, 1/15], (1/15, 2/15] and so on.
  bin_of = np.ceil(confidences.astype(np.float64) * bins).astype(int) - 1
  bin_of = np.clip(bin_of, 0, bins - 1)
  return {
    'count': np.bincount(bin_of, minlength=bins),
    'confidence': np.bincount(bin_of, confidences, bins),
    'correct': np.bincount(bin_of, correct, bins),
  }


def calibration_error(
  labels: np.ndarray, probabilities_NxC: np.ndarray, bins: int = ECE_BINS
) -> float:
  """Expected calibration error: sum_b |B_b| / N |accuracy_b - confidence_b|.

  Guo et al., 2017, equation 3, over the bins of `reliability`.
  """
  found = reliability(labels, probabilities_NxC, bins)
  difference = np.abs(found['correct'] - found['confidence']).sum()
  return float(difference / max(found['count'].sum(), 1))


@single_precision()
def fit_temperature(
  task: Task, logits_NxC: np.ndarray, labels: np.ndarray
) -> float:
  """The temperature of the least cross entropy, by L-BFGS.

  Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 4.2. It is kept
  between e^-3 and e^3, and 1 where the logits are not finite.

  Args:
    task: its cross entropy is taken, without smoothing or weights.
    logits_NxC: of a split that was not trained on.
    labels: int32 [N], or bool [N, C].
  """
  if isinstance(task, SingleLabel):
    task = dataclasses.replace(task, label_smoothing=0.0)
  else:
    task = MultiLabel(task.num_classes)
  logits, batch = jnp.asarray(logits_NxC), {'labels': jnp.asarray(labels)}
  solver = optax.lbfgs()

  def log_temperature(x):
    return _LARGEST_LOG_TEMPERATURE * jnp.tanh(x)

  def loss(x):
    return task.losses(logits * jnp.exp(-log_temperature(x)), batch).mean()

  def step(_, carry):
    x, state = carry
    value, grad = optax.value_and_grad_from_state(loss)(x, state=state)
    updates, state = solver.update(
      grad, state, x, value=value, grad=grad, value_fn=loss
    )
    return optax.apply_updates(x, updates), state

  start = jnp.float32(0)
  carry = start, solver.init(start)
  fit = jax.jit(lambda carry: jax.lax.fori_loop(0, _STEPS, step, carry))
  temperature = float(jnp.exp(log_temperature(fit(carry)[0])))
  return temperature if np.isfinite(temperature) else 1.0


def fit_thresholds(
  setting: str, labels_NxC: np.ndarray, probabilities_NxC: np.ndarray
) -> tuple[float, ...]:
  """The thresholds that give the best F1 on a split that was not trained on.

  Args:
    setting: of `Config.threshold`: `0.5`; `tuned`, one for all labels by the
      micro F1; `per_label`, by each label's own. 0.5 stays where nothing is
      better, as for a label that does not occur.
    labels_NxC: bool.
    probabilities_NxC: float64, so that those near 1 differ.
  """
  num_labels = labels_NxC.shape[1]
  if setting == '0.5':
    return (0.5,) * num_labels
  if setting == 'tuned':
    best = _best_threshold(labels_NxC.ravel(), probabilities_NxC.ravel())
    return (best,) * num_labels
  return tuple(
    _best_threshold(labels_NxC[:, c], probabilities_NxC[:, c])
    for c in range(num_labels)
  )


def _best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
  """The threshold of the best F1 among 0.5 and those between two examples."""
  order = np.argsort(-probabilities, kind='stable')
  sorted_probabilities = probabilities[order].astype(np.float64)
  true_positives = np.cumsum(labels[order])
  predicted = np.arange(1, len(labels) + 1)
  f1 = 2 * true_positives / (predicted + max(labels.sum(), 1))
  following = np.append(sorted_probabilities[1:], 0)
  f1 = np.where(sorted_probabilities > following, f1, -1)  # Ties go together.
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
