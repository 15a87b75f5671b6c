"""The evaluation of a split from the logits of all its examples."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from bigru_jax.evaluation.calibration import Calibration, calibration_error
from bigru_jax.evaluation.scoring import (
  probabilities_of,
  score_logits,
  score_probabilities,
)
from bigru_jax.metrics import METRICS, compute
from bigru_jax.metrics.by_class import classification_report
from bigru_jax.metrics.scored import Scored
from bigru_jax.rundir import files as run_files
from bigru_jax.tasks import Task

_MANY_LABELS = 100


class Evaluation(dict[str, Any]):
  """The metrics by name and the report by class, as a JSON object.

  Attributes:
    names: the classes' names.
    metrics: scalars by name.
    report: the scores per class and their averages; see
      `classification_report`. If the scores are exact, each class also has
      `roc_auc` and `average_precision`, against all others.
    labels: int32 [N], or bool [N, C] for multi_label.
    predictions: in the same form.
    probabilities: float32 [N, C].
    weights: the weight of each text [N]; None if all are 1.
    scored: the labels beside the exact scores; None if these are not known.
  """

  def __init__(
    self,
    *,
    names: list[str],
    metrics: dict[str, Any],
    labels: np.ndarray,
    predictions: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
    scored: Scored | None = None,
  ) -> None:
    self.names, self.metrics = names, metrics
    self.labels, self.predictions = labels, predictions
    self.probabilities, self.scored = probabilities, scored
    self.weights = weights
    self.report = classification_report(labels, predictions, names, weights)
    for name, areas in zip(names, scored.by_class) if scored else ():
      self.report['classes'][name] |= {
        'roc_auc': areas.roc_auc,
        'average_precision': areas.average_precision,
      }
    super().__init__({**metrics, **self.report})

  def answers(
    self,
    line_numbers: Sequence[int],
    sources: Sequence[str],
    all_probabilities: bool = False,
    ids: Sequence[str] = (),
  ) -> list[dict[str, Any]]:
    """Returns one dict per text, for a predictions file.

    Args:
      line_numbers, sources: the `row` and `source` of each example; see
        `data.splits.Example`.
      all_probabilities: whether to return more than 100 probabilities per text.
      ids: the `id` of each example; empty if the data have none.

    Returns:
      Dicts of `id`, if the data have ids, `source`, `row`, `weight`, if the
      data have weights, `label` (gold), `prediction`, and `probabilities` by
      class; of over 100 labels, only the 100 largest.
    """
    includes_all = (
      self.labels.ndim == 1
      or len(self.names) <= _MANY_LABELS
      or all_probabilities
    )

    def classes_of(i):
      if includes_all:
        return range(len(self.names))
      return np.argsort(-self.probabilities[i], kind='stable')[:_MANY_LABELS]

    return [
      {
        **({'id': ids[i]} if len(ids) else {}),
        'source': sources[i],
        'row': row,
        **self._weight(i),
        'label': label_names(self.labels[i], self.names),
        'prediction': label_names(self.predictions[i], self.names),
        'probabilities': {
          self.names[c]: round(float(self.probabilities[i, c]), 6)
          for c in classes_of(i)
        },
      }
      for i, row in enumerate(line_numbers)
    ]

  def _weight(self, i: int) -> dict[str, float]:
    if self.weights is None:
      return {}
    return {'weight': float(str(self.weights[i]))}  # 0.1, not as a double.

  def mistakes(self) -> np.ndarray:
    """Returns the wrongly predicted texts, the most confident first.

    With one label per text, the confidence is the probability of the
    prediction; with any number, the largest error of a probability.
    """
    if self.labels.ndim > 1:
      wrong = (self.labels != self.predictions).any(1)
      confidence = np.abs(self.labels - self.probabilities).max(1)
    else:
      wrong = self.labels != self.predictions
      predicted = np.arange(len(self.predictions)), self.predictions
      confidence = self.probabilities[predicted]
    order = np.argsort(-confidence, kind='stable')
    return order[wrong[order]]


def label_names(labels: Any, names: list[str]) -> Any:
  """Returns a class's name, or a list of names for bool [C]."""
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
  weights: np.ndarray | None = None,
) -> Evaluation:
  """Evaluates a split from its logits.

  Args:
    task: what the labels are.
    names: the classes' names.
    labels: int32 [N], or bool [N, C].
    logits_NxC: the logits of the model.
    calibration: the run's.
    metrics: the metrics that were accumulated over batches. All but the loss
      are computed again, by the run's thresholds, and the others are added.
    calibrated: whether to return calibrated probabilities.
    weights: the weights of the examples in the metrics [N]; by default all are
      1. The loss is already weighted.
  """
  plain, scaled = (
    np.asarray(probabilities_of(task, logits_NxC / temperature))
    for temperature in (1, calibration.temperature)
  )
  thresholds = calibration.thresholds
  scored = score_logits(task, labels, logits_NxC, thresholds, weights)
  metrics = _all_metrics(metrics, scored)
  return Evaluation(
    names=names,
    metrics={
      **metrics,
      'ece': calibration_error(labels, plain, weights),
      'ece_calibrated': calibration_error(labels, scaled, weights),
    },
    labels=labels,
    predictions=scored.predictions,
    probabilities=scaled if calibrated else plain,
    weights=weights,
    scored=scored,
  )


def evaluate_probabilities(
  task: Task,
  names: list[str],
  labels: np.ndarray,
  probabilities_NxC: np.ndarray,
  thresholds: np.ndarray,
  weights: np.ndarray | None = None,
  target_NxC: np.ndarray | None = None,
) -> Evaluation:
  """Evaluates a split from probabilities, for which there are no logits.

  Args:
    task, names, labels, weights: see `evaluate_logits`.
    probabilities_NxC: the probabilities of the classes.
    thresholds: see `Calibration`.
    target_NxC: soft labels, of which the loss is; by default, the hard ones.
  """
  scored = score_probabilities(
    task, labels, probabilities_NxC, thresholds, weights
  )
  if target_NxC is None:
    classes = np.eye(probabilities_NxC.shape[1])
    target_NxC = labels if labels.ndim > 1 else classes[labels]
  losses = jnp.asarray(_cross_entropies(task, probabilities_NxC, target_NxC))
  ones = jnp.ones(len(labels), jnp.float32)
  batch = {
    'labels': jnp.asarray(labels),
    'weights': ones if weights is None else jnp.asarray(weights, jnp.float32),
    'lengths': ones,
  }
  predictions = jnp.asarray(scored.predictions)
  sums = task.empty_metrics().update(losses, predictions, batch)
  metrics = _all_metrics(sums.compute(), scored)
  metrics['ece'] = calibration_error(labels, probabilities_NxC, weights)
  return Evaluation(
    names=names,
    metrics=metrics,
    labels=labels,
    predictions=scored.predictions,
    probabilities=probabilities_NxC,
    weights=weights,
    scored=scored,
  )


def _all_metrics(metrics: dict[str, Any], scored: Scored) -> dict[str, Any]:
  """Returns these metrics of a split, computed exactly, and all others.

  A metric on request is computed only if it is among them.
  """
  names = [
    name
    for name, metric in METRICS.items()
    if name in metrics or not metric.on_request
  ]
  return metrics | compute(scored, names)


def read_evaluation(
  workdir: pathlib.Path, split: str, weights: Sequence[float] | None = None
) -> Evaluation:
  """The evaluation of `validation` or `test` that a finished run has stored.

  Its probabilities have six decimals; of over 100 labels a text those that are
  not among the largest are 0.

  Args:
    workdir: the directory of the run.
    split: the name of the split.
    weights: the weights of its examples [N]; by default all are 1.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  names = run_files.read_labels(workdir)
  lines = run_files.read_predictions(workdir, split)
  ids = {name: i for i, name in enumerate(names)}

  def read(key: str) -> np.ndarray:
    values = [line[key] for line in lines]
    if not isinstance(values[0], list):
      return np.array([ids[name] for name in values], np.int32)
    return np.array([[name in value for name in names] for value in values])

  try:
    return Evaluation(
      names=names,
      metrics=run_files.read_result(workdir)[split],
      labels=read('label'),
      predictions=read('prediction'),
      probabilities=np.array(
        [[line['probabilities'].get(x, 0) for x in names] for line in lines],
        np.float32,
      ),
      weights=None if weights is None else np.asarray(weights),
    )
  except (KeyError, TypeError, IndexError, AttributeError) as error:
    raise ValueError(
      f'workdir={workdir}: predictions-{split}.jsonl is corrupt: {error}'
    ) from error


def _cross_entropies(
  task: Task, probabilities_NxC: np.ndarray, target_NxC: np.ndarray
) -> np.ndarray:
  """Returns each example's cross entropy, [N], unsmoothed and unweighted."""
  p_NxC = np.clip(probabilities_NxC.astype(np.float64), 1e-12, 1 - 1e-12)
  terms_NxC = target_NxC * np.log(p_NxC)
  if task.activation.sums_to_one:
    return -terms_NxC.sum(1)
  terms_NxC += (1 - target_NxC) * np.log1p(-p_NxC)
  return -terms_NxC[:, -task.num_outputs :].sum(1)
