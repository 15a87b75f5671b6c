"""Writes a comparison of settings for readers, papers and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bigru_jax.metrics import METRICS
from bigru_jax.reports import tables
from bigru_jax.reports.comparison.settings import (
  Cell,
  Comparison,
  Summary,
  summarize,
  values_of,
)
from bigru_jax.reports.tables import Number, Rows, table_as

_TOO_FEW = 'too few runs'  # Instead of a p-value that cannot be small.


def comparison_as(
  comparison: Comparison, format: str, more_metrics: Sequence[str] = ()
) -> str:
  """Returns the chosen setting, all settings and the pairs.

  Args:
    comparison: the comparison.
    format: one of `tables.FORMATS`. CSV and JSON have one table, whose cells
      are single numbers; see `numbers`. In LaTeX, the sentences are comments.
    more_metrics: other metrics, whose summaries on test are shown, too.
  """
  if format in ('csv', 'json'):
    return table_as(numbers(comparison, more_metrics), format)
  comment = '% ' if format == 'latex' else ''
  parts = [
    comment + chosen_sentence(comparison, is_bold=format == 'markdown'),
    table_as(_settings(comparison, more_metrics), format),
  ]
  pairs = _pairs(comparison)
  if len(pairs) > 1:
    parts.append(f'{comment}Paired over the same seeds and folds:')
    parts.append(table_as(pairs, format))
  return '\n\n'.join(parts)


def chosen_sentence(comparison: Comparison, is_bold: bool = False) -> str:
  """Says which setting is chosen, and what it scores on test."""
  metric, chosen = comparison.metric, comparison.chosen
  test = comparison.settings[chosen].test
  interval = f', 95 % interval {test.interval}' if test.n > 1 else ''
  mark = '**' if is_bold else ''
  return (
    f'Chosen by the mean validation {metric}: {mark}{chosen}{mark}. Its test '
    f'{metric} is {mark}{test}{mark}{interval}.'
  )


def _settings(comparison: Comparison, more_metrics: Sequence[str]) -> Rows:
  """Returns a row for each setting, whose summaries are texts."""
  metric = comparison.metric
  columns = [f'test {name}' for name in more_metrics]
  head = ['setting', f'validation {metric}', f'test {metric}', '95 % interval']
  return [
    [*head, *columns, 'minutes'],
    *(
      [
        name,
        f'{setting.validation}',
        f'{setting.test}',
        _interval(setting.test),
        *(_text(_summary(setting.runs, x)) for x in more_metrics),
        Number(_minutes(setting.runs), 1),
      ]
      for name, setting in comparison.settings.items()
    ),
  ]


def _pairs(comparison: Comparison) -> Rows:
  """Returns a row for each setting that is compared with the chosen one."""
  head = (
    f'{comparison.chosen} minus',
    f'difference of test {comparison.metric}',
    '95 % interval',
    'paired t: p',
    'Holm: p',
    'Wilcoxon: p',
    "Cohen's d",
  )
  rows: list[Sequence[tables.Cell]] = [head]
  for name, setting in comparison.settings.items():
    paired = setting.chosen_minus_this
    if paired:
      difference = paired.difference
      p_values = map(p_cell, (paired.t_test, paired.holm, paired.wilcoxon))
      effect = Number(paired.effect_size, 2)
      rows.append(
        [name, f'{difference}', _interval(difference), *p_values, effect]
      )
    elif name != comparison.chosen:
      rows.append([name, 'no seed and fold in common', *[None] * 5])
  return rows


def numbers(comparison: Comparison, more_metrics: Sequence[str] = ()) -> Rows:
  """Returns a row for each setting, with a number in each cell but the first.

  Args:
    comparison: the comparison.
    more_metrics: other metrics, whose summaries on test have columns, too.
  """
  validation, test = (
    f'{x}_{comparison.metric}' for x in ('validation', 'test')
  )
  head = [
    'setting', 'n', validation, f'{validation}_std',
    test, f'{test}_std', f'{test}_low', f'{test}_high',
    *(f'test_{name}{x}' for name in more_metrics for x in ('', '_std')),
    'minutes', 'chosen_minus_this', 'chosen_minus_this_low',
    'chosen_minus_this_high', 't_test', 'holm', 'wilcoxon', 'effect_size',
  ]  # fmt: skip
  rows: list[Sequence[str | float | None]] = [head]
  for name, setting in comparison.settings.items():
    own, paired = setting.test, setting.chosen_minus_this
    more = [_summary(setting.runs, x) for x in more_metrics]
    difference = paired.difference if paired else None
    rows.append([
      name, own.n, setting.validation.mean, setting.validation.std,
      own.mean, own.std, own.low, own.high,
      *(getattr(x, key, None) for x in more for key in ('mean', 'std')),
      _minutes(setting.runs),
      *(getattr(difference, key, None) for key in ('mean', 'low', 'high')),
      *(getattr(paired, x, None) for x in head[-4:]),
    ])  # fmt: skip
  return rows


def p_cell(p_value: float | None) -> tables.Cell:
  """Returns a p-value as a cell of a table for readers."""
  if p_value is None:
    return _TOO_FEW
  return '< 0.001' if p_value < 0.001 else Number(p_value, 3)


def _minutes(runs: Sequence[Cell]) -> float:
  return sum(run.seconds for run in runs) / 60


def _interval(summary: Summary) -> str | None:
  return summary.interval if summary.n > 1 else None


def _text(summary: Summary | None) -> str | None:
  return f'{summary}' if summary else None


def _summary(runs: Sequence[Cell], metric: str) -> Summary | None:
  """Returns the summary of a metric on test, if all runs have it."""
  if any(run.test.get(metric) is None for run in runs):
    return None
  values = values_of(runs, 'test', metric).values()
  return summarize(values, METRICS[metric].bounds)


def rows_of_runs(cells: Sequence[Cell]) -> Iterator[list[Any]]:
  """Yields a header, and then one row per run with all of its metrics."""
  columns = [
    (split, name)
    for split in ('validation', 'test')
    for name in getattr(cells[0], split)
  ]
  names = [f'{split}_{name}' for split, name in columns]
  yield ['setting', 'seed', 'fold', 'train_seconds', *names]
  for cell in cells:
    metrics = [getattr(cell, split).get(name, '') for split, name in columns]
    yield [cell.setting, cell.seed, cell.fold, cell.seconds, *metrics]
