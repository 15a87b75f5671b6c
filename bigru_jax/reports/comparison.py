"""Settings compared over seeds and folds: intervals, choice, paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np
from scipy import stats

from bigru_jax.metrics import METRICS
from bigru_jax.reports.tables import markdown

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Summary:
  """Several values of one metric.

  Attributes:
    mean: of the values.
    std: the sample standard deviation; NaN of one value.
    low, high: the 95 % interval of the mean, by Student's t; NaN of one value.
    n: how many values there are.
  """

  mean: float
  std: float
  low: float
  high: float
  n: int

  def __str__(self) -> str:
    if self.n == 1:
      return f'{self.mean:.4f} (n = 1)'
    return f'{self.mean:.4f} ± {self.std:.4f} (n = {self.n})'

  @property
  def interval(self) -> str:
    """The 95 % interval, in words."""
    if self.n == 1:
      return '–'
    return f'{self.low:.4f} to {self.high:.4f}'


def summarize(values: Sequence[float]) -> Summary:
  """The mean of values, and how sure it is.

  Example:
    >>> str(summarize([0.90, 0.92, 0.94]))
    '0.9200 ± 0.0200 (n = 3)'
  """
  n = len(values)
  mean = float(np.mean(values))
  if n == 1:
    return Summary(mean, math.nan, math.nan, math.nan, 1)
  std = float(np.std(values, ddof=1))
  half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * std / math.sqrt(n)
  return Summary(mean, std, mean - half, mean + half, n)


@dataclasses.dataclass(frozen=True)
class Paired:
  """Two settings over the same seeds and folds.

  Attributes:
    difference: of the first setting's values less those of the second.
    p_value: of Wilcoxon's signed-rank test, two-sided; 1 where all are equal.
  """

  difference: Summary
  p_value: float


def compare(
  first: Mapping[Any, float], second: Mapping[Any, float]
) -> Paired | None:
  """Compares two settings over the keys, such as seeds, that both have.

  Wilcoxon, 1945, https://doi.org/10.2307/3001968, as SciPy computes it.

  Returns:
    None where they have none in common.
  """
  keys = sorted(first.keys() & second.keys())
  if not keys:
    return None
  differences = np.array([first[key] - second[key] for key in keys])
  p_value = 1.0
  if differences.any():
    p_value = float(stats.wilcoxon(differences).pvalue)
  return Paired(summarize(differences.tolist()), p_value)


@dataclasses.dataclass(frozen=True)
class Cell:
  """A finished run of a sweep.

  Attributes:
    setting: the setting's name.
    seed, fold: of the run.
    validation, test: its metrics.
    seconds: of training.
  """

  setting: str
  seed: int
  fold: int
  validation: dict[str, float]
  test: dict[str, float]
  seconds: float


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The settings of a sweep.

  Attributes:
    metric: by which they are compared.
    cells: the finished runs by setting; the best setting first, by the mean of
      validation.
    validation, test: the summaries by setting.
    paired: by setting, the chosen one against it on the test.
  """

  metric: str
  cells: dict[str, list[Cell]]
  validation: dict[str, Summary]
  test: dict[str, Summary]
  paired: dict[str, Paired | None]

  @property
  def chosen(self) -> str:
    """The best setting by validation."""
    return next(iter(self.cells))


def compare_settings(cells: Sequence[Cell], metric: str) -> Comparison:
  """Compares the settings of finished runs.

  Args:
    cells: at least one.
    metric: of `metrics.METRICS`. Over several folds and seeds, a value is the
      mean over the seeds of a fold, for these share a test set.

  Raises:
    ValueError: a run has no such metric, or one that is not finite.
  """
  for cell in cells:
    for metrics in (cell.validation, cell.test):
      if metrics.get(metric) is None:
        raise ValueError(
          f'metric={metric!r}: {cell.setting},seed={cell.seed} has none, of '
          f'{", ".join(metrics)}'
        )
  by_setting: dict[str, list[Cell]] = {}
  for cell in cells:
    by_setting.setdefault(cell.setting, []).append(cell)
  sign = 1 if METRICS[metric].least_is_best else -1
  validation = {
    name: summarize(list(_values(group, 'validation', metric).values()))
    for name, group in by_setting.items()
  }
  # A setting of which runs are missing is not chosen.
  order = sorted(
    by_setting,
    key=lambda name: (-len(by_setting[name]), sign * validation[name].mean),
  )
  test = {name: _values(by_setting[name], 'test', metric) for name in order}
  return Comparison(
    metric,
    {name: by_setting[name] for name in order},
    {name: validation[name] for name in order},
    {name: summarize(list(test[name].values())) for name in order},
    {name: compare(test[order[0]], test[name]) for name in order[1:]},
  )


def _values(cells: Sequence[Cell], split: str, metric: str) -> dict[int, float]:
  """A metric by fold, the mean over its seeds; by seed without folds."""
  by_fold = len({cell.fold for cell in cells}) > 1
  found: dict[int, list[float]] = {}
  for cell in cells:
    key = cell.fold if by_fold else cell.seed
    found.setdefault(key, []).append(getattr(cell, split)[metric])
  return {key: float(np.mean(values)) for key, values in found.items()}


def as_markdown(comparison: Comparison) -> str:
  """The comparison as Markdown: the chosen setting, all of them, the pairs."""
  metric, chosen = comparison.metric, comparison.chosen
  test = comparison.test[chosen]
  lines = [
    f'Chosen by the mean validation {metric}: **{chosen}**. Its test {metric} '
    f'is **{test}**'
    + (f', 95 % interval {test.interval}.' if test.n > 1 else '.'),
    '',
  ]
  head = ['setting', f'validation {metric}', f'test {metric}', '95 % interval']
  head.append('minutes')
  rows = [
    [
      name,
      str(comparison.validation[name]),
      str(comparison.test[name]),
      comparison.test[name].interval,
      f'{sum(cell.seconds for cell in cells) / 60:.1f}',
    ]
    for name, cells in comparison.cells.items()
  ]
  lines += [markdown([head, *rows])]
  if comparison.paired:
    head = [
      f'{chosen} less', f'difference of test {metric}', '95 % interval',
      'Wilcoxon p',
    ]  # fmt: skip
    rows = [
      [
        name,
        str(paired.difference),
        paired.difference.interval,
        f'{paired.p_value:.3f}',
      ]
      if paired
      else [name, 'no seed and fold in common', '–', '–']
      for name, paired in comparison.paired.items()
    ]
    lines += ['', 'Paired over the same seeds and folds:', '']
    lines += [markdown([head, *rows])]
  return '\n'.join(lines)


def as_json(comparison: Comparison) -> dict[str, Any]:
  """The comparison as `json.dumps` takes it."""
  return {
    'metric': comparison.metric,
    'chosen': comparison.chosen,
    'settings': {
      name: {
        'validation': dataclasses.asdict(comparison.validation[name]),
        'test': dataclasses.asdict(comparison.test[name]),
        'chosen_less_this': dataclasses.asdict(paired)
        if (paired := comparison.paired.get(name))
        else None,
        'runs': [dataclasses.asdict(cell) for cell in cells],
      }
      for name, cells in comparison.cells.items()
    },
  }
