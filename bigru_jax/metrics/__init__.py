"""Metrics by name: what they are computed from, and which value is better."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
import dataclasses
import functools
import math
from typing import Any

import numpy as np

from bigru_jax.metrics import scored as of_scored
from bigru_jax.metrics.confusion import (
  accuracy,
  cohen_kappa,
  macro_f1,
  mcc,
  semeval2010_f1,
)
from bigru_jax.metrics.scored import Scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
  """An entry of `METRICS`.

  Attributes:
    tasks: the values of the field `task` that have it.
    of_confusion: a function (confusion_CxC, class names) -> value, for one
      label per text; rows are labels and columns are predictions.
    of_scores: a function of `Scored`, for a metric of multi_label, or one that
      needs the scores. It is computed on the host, from all examples. Without
      either function, the metric is computed in `evaluation`.
    fewest_classes, most_classes: the numbers of classes that have it.
    least_is_best: whether the smallest value is the best.
    bounds: the smallest and the largest possible value.
    each_epoch: whether `select_by` may name it; TensorBoard then shows it.
    brief: whether the log line of an epoch includes it.
    optional: whether tables have it only if `metrics` or `select_by` names it.
    on_request: whether it is computed only if `select_by` names it.
    former_name: the name in older run directories and flags.
  """

  tasks: tuple[str, ...] = ('single_label', 'multi_label')
  of_confusion: Callable[[np.ndarray, Sequence[str]], float] | None = None
  of_scores: Callable[[Scored], float] | None = None
  fewest_classes: int = 1
  most_classes: float = math.inf
  least_is_best: bool = False
  bounds: tuple[float, float] = (0.0, 1.0)
  each_epoch: bool = False
  brief: bool = False
  optional: bool = False
  on_request: bool = False
  former_name: str = ''

  def is_better(self, value: float, other: float) -> bool:
    """Returns whether a value is better than another one."""
    return value < other if self.least_is_best else value > other

  def has(self, scored: Scored) -> bool:
    """Returns whether examples of such a task and number of classes have it."""
    task = 'multi_label' if scored.is_multi_label else 'single_label'
    is_in_bounds = (
      self.fewest_classes <= scored.num_classes <= self.most_classes
    )
    return task in self.tasks and is_in_bounds


_MULTI_LABEL = functools.partial(
  Metric, tasks=('multi_label',), each_epoch=True
)
_SCORES = functools.partial(Metric, each_epoch=True, optional=True)
_SINGLE_LABEL = functools.partial(_SCORES, tasks=('single_label',))


_LOSS = 0.0, math.inf
_CORRELATION = -1.0, 1.0


def _multi_label_f1(average: str) -> Callable[[Scored], float]:
  return functools.partial(of_scored.multi_label_f1, average=average)


def _at(k: int, function: Callable[..., float]) -> Callable[[Scored], float]:
  return functools.partial(function, k=k)


def _area(area: str, average: str = 'macro') -> Metric:
  function = functools.partial(of_scored.averaged, area=area, average=average)
  return _SCORES(of_scores=function)


def _positive(key: str) -> Metric:
  function = functools.partial(of_scored.of_positive, key=key)
  return _SINGLE_LABEL(of_scores=function, fewest_classes=2, most_classes=2)


METRICS = {
  'loss': Metric(least_is_best=True, bounds=_LOSS, each_epoch=True, brief=True),
  'accuracy': Metric(
    of_confusion=accuracy,
    of_scores=of_scored.subset_accuracy,
    each_epoch=True,
    brief=True,
  ),
  'macro_f1': Metric(
    of_confusion=macro_f1, of_scores=_multi_label_f1('macro'), each_epoch=True
  ),
  'semeval2010_f1': Metric(
    tasks=('single_label',),
    of_confusion=semeval2010_f1,
    each_epoch=True,
    on_request=True,
    former_name='semeval2010',
  ),
  'micro_f1': _MULTI_LABEL(of_scores=_multi_label_f1('micro')),
  'samples_f1': _MULTI_LABEL(of_scores=_multi_label_f1('samples')),
  **{
    f'precision_at_{k}': _MULTI_LABEL(
      of_scores=_at(k, of_scored.precision_at), fewest_classes=k
    )
    for k in (1, 3, 5)
  },
  'lrap': _MULTI_LABEL(of_scores=of_scored.lrap),
  **{
    # With one label per text, recall_at_1 is the accuracy.
    f'recall_at_{k}': _SCORES(
      tasks=('multi_label',) if k == 1 else ('single_label', 'multi_label'),
      of_scores=_at(k, of_scored.recall_at),
      fewest_classes=k + 1,
    )
    for k in (1, 3, 5)
  },
  'roc_auc': _area('roc_auc'),
  'roc_auc_micro': _area('roc_auc', 'micro'),
  'roc_auc_weighted': _area('roc_auc', 'weighted'),
  'average_precision': _area('average_precision'),
  'average_precision_micro': _area('average_precision', 'micro'),
  'average_precision_weighted': _area('average_precision', 'weighted'),
  'mcc': _SINGLE_LABEL(
    of_scores=lambda scored: mcc(scored.confusion), bounds=_CORRELATION
  ),
  'cohen_kappa': _SINGLE_LABEL(
    of_scores=lambda scored: cohen_kappa(scored.confusion), bounds=_CORRELATION
  ),
  'log_loss': _SCORES(
    of_scores=of_scored.log_loss, least_is_best=True, bounds=_LOSS
  ),
  'brier': _SCORES(
    of_scores=of_scored.brier, least_is_best=True, bounds=(0.0, 2.0)
  ),
  'positive_f1': _positive('f1'),
  'positive_precision': _positive('precision'),
  'positive_recall': _positive('recall'),
  'ece': Metric(least_is_best=True),
  'ece_calibrated': Metric(least_is_best=True),
}


def each_epoch() -> list[str]:
  """Returns the names of the metrics that may select an epoch."""
  return [name for name, metric in METRICS.items() if metric.each_epoch]


def names_in(setting: str) -> list[str]:
  """Returns the current names in a value of `Config.metrics`.

  Raises:
    ValueError: one is not the name of a metric.
  """
  names = [current_name(name.strip()) for name in setting.split(',')]
  names = [name for name in names if name]
  for name in names:
    if name not in METRICS:
      raise ValueError(f'metrics={name!r}: choose {", ".join(METRICS)}')
  return names


def shown(
  values: Mapping[str, Any], setting: str = '', select_by: str = 'loss'
) -> dict[str, Any]:
  """Returns the values that tables show.

  Args:
    values: the metrics of a split, by name.
    setting: the value of `Config.metrics`, which names them; if it is empty,
      all are shown but the optional ones.
    select_by: a metric that is shown even if it is optional.
  """
  chosen = names_in(setting)
  if chosen:
    return {name: values[name] for name in chosen if name in values}
  return {
    name: value
    for name, value in values.items()
    if name not in METRICS or not METRICS[name].optional or name == select_by
  }


def headline(
  values: Mapping[str, Any], setting: str = '', select_by: str = 'loss'
) -> dict[str, float]:
  """Returns the few values that a line on a run names.

  Args:
    values, setting, select_by: see `shown`; an undefined value is left out.
  """
  names = [name for name, metric in METRICS.items() if metric.of_confusion]
  if setting:
    names = names_in(setting)
  elif select_by not in ('loss', *names):
    names.append(select_by)
  return {name: values[name] for name in names if values.get(name) is not None}


def compute(scored: Scored, names: Collection[str]) -> dict[str, float]:
  """Computes metrics of all examples of a split, on the host.

  Args:
    scored: the examples.
    names: the metrics.

  Returns:
    The values by name, of those that the task and its classes have.
  """
  values = {}
  for name, metric in METRICS.items():
    if name not in names or not metric.has(scored):
      continue
    if metric.of_confusion and not scored.is_multi_label:
      values[name] = metric.of_confusion(scored.confusion, scored.names)
    elif metric.of_scores:
      values[name] = metric.of_scores(scored)
  return values


def current_name(name: str) -> str:
  """Returns the current name of a metric, given that or a former one."""
  for current, metric in METRICS.items():
    if name and name == metric.former_name:
      return current
  return name


def renamed(metrics: Mapping[str, Any]) -> dict[str, Any]:
  """Renames metrics of an older run to their current names."""
  return {current_name(name): value for name, value in metrics.items()}
