"""Metrics by name: what they are computed from, and which value is better."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bigru_jax.metrics.entries import METRICS, Metric
from bigru_jax.metrics.scored import Scored

__all__ = [
  'METRICS', 'Metric', 'compute', 'current_name', 'each_epoch', 'headline',
  'names_in', 'renamed', 'shown',
]  # fmt: skip


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
