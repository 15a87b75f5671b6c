"""Settings compared over seeds and folds: intervals, choice, paired tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

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
  from scipy import stats

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
  from scipy import stats

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
    metric: of the runs' results; the least is the best of `loss`, else the
      largest.

  Raises:
    ValueError: a run has no such metric.
  """
  for cell in cells:
    if metric not in cell.validation or metric not in cell.test:
      names = ', '.join(x for x in cell.validation if x in cell.test)
      raise ValueError(f'metric={metric!r}: choose {names}')
  by_setting: dict[str, list[Cell]] = {}
  for cell in cells:
    by_setting.setdefault(cell.setting, []).append(cell)
  validation = {
    name: summarize([cell.validation[metric] for cell in group])
    for name, group in by_setting.items()
  }
  sign = 1 if metric == 'loss' else -1
  order = sorted(by_setting, key=lambda name: sign * validation[name].mean)
  test = {
    name: summarize([cell.test[metric] for cell in by_setting[name]])
    for name in order
  }
  values = {
    name: {(c.seed, c.fold): c.test[metric] for c in by_setting[name]}
    for name in order
  }
  return Comparison(
    metric,
    {name: by_setting[name] for name in order},
    {name: validation[name] for name in order},
    test,
    {name: compare(values[order[0]], values[name]) for name in order[1:]},
  )


def as_markdown(comparison: Comparison) -> str:
  """The comparison as Markdown: the chosen setting, all of them, the pairs."""
  from bigru_jax.reports.tables import markdown

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
        'chosen_less_this': paired and dataclasses.asdict(paired)
        if (paired := comparison.paired.get(name))
        else None,
        'runs': [dataclasses.asdict(cell) for cell in cells],
      }
      for name, cells in comparison.cells.items()
    },
  }
