"""The labels of a split beside what a model says about them."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import math
from typing import Any

import jax
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.metrics import METRICS, compute, each_epoch, names_in
from bigru_jax.metrics.scored import Scored
from bigru_jax.tasks import SingleLabel, Task


@functools.partial(jax.jit, static_argnames='task')
def probabilities_of(task: Task, logits_NxC: np.ndarray) -> jax.Array:
  """Returns `task.probabilities` by one program for all operations."""
  return task.probabilities(logits_NxC)


def score_logits(
  task: Task,
  labels: np.ndarray,
  logits_NxC: np.ndarray,
  thresholds: Sequence[float] | np.ndarray | None = None,
  weights: np.ndarray | None = None,
) -> Scored:
  """Returns the labels beside what the logits say.

  Args:
    task: what the labels are.
    labels: int32 [N], or bool [N, C].
    logits_NxC: the logits of the model.
    thresholds: see `Calibration`; by default a probability of one half.
    weights: the weights of the examples [N]; by default all are 1.
  """
  with jax.enable_x64(True):  # Probabilities near 1 are ties in float32.
    exact = np.asarray(probabilities_of(task, logits_NxC.astype(np.float64)))
  return _scored(
    task,
    weights,
    labels=labels,
    predictions=task.predictions(logits_NxC, _thresholds(task, thresholds)),
    scores=exact if isinstance(task, SingleLabel) else logits_NxC,
    probabilities=exact,
  )


def score_probabilities(
  task: Task,
  labels: np.ndarray,
  probabilities_NxC: np.ndarray,
  thresholds: Sequence[float] | np.ndarray | None = None,
  weights: np.ndarray | None = None,
) -> Scored:
  """Returns the labels beside what probabilities say; see `score_logits`."""
  exact = probabilities_NxC.astype(np.float64)
  return _scored(
    task,
    weights,
    labels=labels,
    predictions=task.decide(probabilities_NxC, _thresholds(task, thresholds)),
    scores=exact,
    probabilities=exact,
  )


def _thresholds(task: Task, thresholds: Any) -> np.ndarray:
  if thresholds is None and not isinstance(task, SingleLabel):
    return np.full(task.num_classes, 0.5)
  return np.array(() if thresholds is None else thresholds)


def _scored(task: Task, weights: np.ndarray | None, **arrays: Any) -> Scored:
  of_task: dict[str, Any] = {}
  if isinstance(task, SingleLabel):
    of_task['names'] = task.labels
    if task.num_classes == 2:
      of_task['positive'] = 1 if task.positive is None else task.positive
  if weights is not None:
    weights = weights.astype(np.float64)
  return Scored(weights=weights, **of_task, **arrays)


def names_of_epoch(config: Config, task: Task, split: EncodedSplit) -> set[str]:
  """Returns the metrics of an epoch that the sums over batches do not give.

  These are the ones that the configuration names, and all where the examples
  have weights. They need the logits of the whole split.
  """
  summed = {*task.empty_metrics().compute()}
  named = {config.select_by, *names_in(config.metrics)} & {*each_epoch()}
  if split.example_weights() is None:
    return named - summed
  return named | summed


def compute_of_epoch(
  task: Task, split: EncodedSplit, logits_NxC: np.ndarray, names: set[str]
) -> dict[str, float]:
  """Computes metrics of `names_of_epoch` at a probability of one half."""
  if not names:
    return {}
  weights = split.example_weights()
  scored = score_logits(task, split.label_array(), logits_NxC, weights=weights)
  return compute(scored, names)


def check_metrics(
  config: Config,
  task: Task,
  names: Sequence[str],
  split: EncodedSplit,
) -> None:
  """Refuses metrics that the labels of a run leave undefined.

  Args:
    config: its `select_by` and `metrics` name them.
    task: what the labels are.
    names: the names of the classes.
    split: the validation split.

  Raises:
    ValueError: so many classes do not have a metric, or `select_by` is not a
      number even if every prediction is right.
  """
  fields = [('metrics', name) for name in names_in(config.metrics)]
  if config.select_by != 'loss':
    fields.append(('select_by', config.select_by))
  if not fields:
    return
  labels = split.label_array()
  is_true = labels if labels.ndim > 1 else np.eye(task.num_classes)[labels]
  right = score_probabilities(
    task, labels, is_true, weights=split.example_weights()
  )
  for field, name in fields:
    metric = METRICS[name]
    if not metric.has(right):
      least, most = metric.fewest_classes, metric.most_classes
      raise ValueError(
        f'{field}={name} needs {least}{"" if most == least else " or more"} '
        f'labels, and there are {task.num_classes}'
      )
  value = compute(right, [config.select_by]).get(config.select_by, 0.0)
  if math.isnan(value):
    weights = split.example_weights()
    used = right.is_true[slice(None) if weights is None else weights > 0]
    message = f'select_by={config.select_by} is undefined on validation'
    for share, labels_C in (('no', ~used.any(0)), ('every', used.all(0))):
      if labels_C.any():
        name = names[int(labels_C.argmax())]
        raise ValueError(
          f'{message}, where {share} text has the label {name!r}'
        )
    raise ValueError(message)
