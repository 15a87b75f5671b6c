"""Compares settings over seeds and folds: intervals, choice, paired tests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from bigru_jax.metrics import METRICS
from bigru_jax.statistics import intervals, paired
from bigru_jax.statistics.intervals import Bounds


@dataclasses.dataclass(frozen=True)
class Summary:
  """The summary of several values of one metric.

  Attributes:
    mean: the mean of the values.
    std: the sample standard deviation; NaN for one value.
    low, high: the 95 % interval of the mean, by Student's t; NaN for one value.
    n: the number of values.
  """

  mean: float
  std: float
  low: float
  high: float
  n: int

  def __str__(self) -> str:
    if self.n == 1:
      return f'{self.mean:z.4f} (n = 1)'
    return f'{self.mean:z.4f} ± {self.std:.4f} (n = {self.n})'

  @property
  def interval(self) -> str:
    """The 95 % interval as text."""
    if self.n == 1:
      return '–'
    return f'{self.low:z.4f} to {self.high:z.4f}'


def summarize(
  values: Collection[float], bounds: Bounds = intervals.UNBOUNDED
) -> Summary:
  """Returns the mean of values, with its uncertainty.

  Args:
    values: such as the scores of several seeds.
    bounds: the smallest and the largest possible value, where the interval of
      the mean ends.

  Example:
    >>> str(summarize([0.90, 0.92, 0.94]))
    '0.9200 ± 0.0200 (n = 3)'
  """
  interval = intervals.student(values, bounds)
  return Summary(
    mean=float(np.mean([*values])),
    std=float(np.std([*values], ddof=1)) if len(values) > 1 else math.nan,
    low=interval.low,
    high=interval.high,
    n=len(values),
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paired(paired.OverSeeds):
  """The comparison of two settings over the same seeds or folds.

  Attributes:
    difference: the summary of the first setting's values minus the second's.
    holm: the p-value of the t-test, corrected for the number of settings that
      are compared with the first one; None without the test.
  """

  difference: Summary
  holm: float | None = None


def compare(
  first: Mapping[Any, float], second: Mapping[Any, float]
) -> Paired | None:
  """Compares two settings over the keys, such as seeds, that both have.

  Returns:
    The comparison, or None if the settings have no key in common.
  """
  keys = sorted(first.keys() & second.keys())
  if not keys:
    return None
  differences = [first[key] - second[key] for key in keys]
  tests = paired.over_seeds(differences)
  return Paired(difference=summarize(differences), **dataclasses.asdict(tests))


def with_holm(by_setting: Mapping[str, Paired | None]) -> dict[str, Paired]:
  """Returns the comparisons with p-values corrected for their number."""
  pairs = {name: x for name, x in by_setting.items() if x is not None}
  p_values = {
    name: x.t_test for name, x in pairs.items() if x.t_test is not None
  }
  corrected = dict(zip(p_values, paired.holm([*p_values.values()])))
  return {
    name: dataclasses.replace(x, holm=corrected.get(name))
    for name, x in pairs.items()
  }


@dataclasses.dataclass(frozen=True)
class Cell:
  """A finished run of a sweep.

  Attributes:
    setting: the name of its setting.
    seed, fold: its seed and fold.
    validation, test: its metrics.
    seconds: the training time.
  """

  setting: str
  seed: int
  fold: int
  validation: dict[str, float]
  test: dict[str, float]
  seconds: float


@dataclasses.dataclass(frozen=True)
class Setting:
  """A setting of a sweep.

  Attributes:
    validation, test: the summaries of the metric.
    chosen_minus_this: the comparison of the chosen setting with this one on
      test; None for the chosen one, and without common seeds and folds.
    runs: its finished runs.
  """

  validation: Summary
  test: Summary
  chosen_minus_this: Paired | None
  runs: list[Cell]


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The settings of a sweep.

  Attributes:
    metric: the metric by which they are compared.
    settings: the settings by name, sorted by their means on validation, the
      best one first.
  """

  metric: str
  settings: dict[str, Setting]

  @property
  def chosen(self) -> str:
    """The name of the best setting by validation."""
    return next(iter(self.settings))


def compare_settings(cells: Sequence[Cell], metric: str) -> Comparison:
  """Compares the settings of finished runs.

  Args:
    cells: at least one.
    metric: a name of `metrics.METRICS`. With several folds and seeds, a value
      is the mean over the seeds of a fold, because these share a test set.

  Raises:
    ValueError: the metric of a run is missing or not finite.
  """
  by_setting: dict[str, list[Cell]] = {}
  for cell in cells:
    for metrics in (cell.validation, cell.test):
      if metrics.get(metric) is None:
        raise ValueError(
          f'metric={metric!r}: {cell.setting},seed={cell.seed} has none, of '
          f'{", ".join(metrics)}'
        )
    by_setting.setdefault(cell.setting, []).append(cell)
  validation, test = (
    {name: values_of(runs, split, metric) for name, runs in by_setting.items()}
    for split in ('validation', 'test')
  )
  sign = 1 if METRICS[metric].least_is_best else -1

  def rank(name):
    # A setting with missing runs is not chosen.
    missing = -len(by_setting[name])
    return missing, sign * summarize(validation[name].values()).mean

  chosen, *rest = sorted(by_setting, key=rank)
  pairs = with_holm({name: compare(test[chosen], test[name]) for name in rest})
  bounds = METRICS[metric].bounds
  settings = {
    name: Setting(
      validation=summarize(validation[name].values(), bounds),
      test=summarize(test[name].values(), bounds),
      chosen_minus_this=pairs.get(name),
      runs=by_setting[name],
    )
    for name in (chosen, *rest)
  }
  return Comparison(metric, settings)


def values_of(
  runs: Sequence[Cell], split: str, metric: str
) -> dict[int, float]:
  """Returns a metric by fold, averaged over seeds; by seed without folds."""
  by_fold = len({run.fold for run in runs}) > 1
  groups: dict[int, list[float]] = {}
  for run in runs:
    key = run.fold if by_fold else run.seed
    groups.setdefault(key, []).append(getattr(run, split)[metric])
  return {key: float(np.mean(values)) for key, values in groups.items()}


def as_json(comparison: Comparison) -> dict[str, Any]:
  """Converts the comparison to values that `json.dumps` takes."""
  return {'chosen': comparison.chosen, **dataclasses.asdict(comparison)}
