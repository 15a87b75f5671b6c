"""Writes the comparison of runs for readers, papers and programs."""

from __future__ import annotations

from collections.abc import Sequence
import math

from bigru_jax.reports.comparison.pairs import GroupScore, Intervals, Pair
from bigru_jax.reports.comparison.settings_tables import p_cell
from bigru_jax.reports.tables import Cell, Number, Rows, table_as, tables_as
from bigru_jax.statistics.intervals import Interval

_KINDS = 'over_texts', 'over_seeds', 'over_both'
_ABBREVIATIONS = 'f1', 'roc', 'auc', 'mcc', 'lrap'
_HEADS = 'over texts', 'over seeds', 'over both'


def pairwise_as(
  scores: Sequence[GroupScore],
  pairs: Sequence[Pair],
  metric: str,
  texts: int,
  format: str,
) -> str:
  """Returns the scores, the differences, the tests, and a sentence for each.

  Args:
    scores, pairs: the results of `compare_groups`.
    metric: the metric that they are of.
    texts: the number of the test texts.
    format: one of `tables.FORMATS`. CSV and JSON have single numbers in their
      cells; CSV has the pairs only. In LaTeX, the sentences are comments.
  """
  if format == 'csv':
    return table_as(_pair_numbers(pairs), format)
  if format == 'json':
    numbers = {'settings': _numbers(scores), 'pairs': _pair_numbers(pairs)}
    return tables_as(numbers, format)
  comment = '% ' if format == 'latex' else ''
  sentences = [comment + sentence(pair, metric, texts) for pair in pairs]
  tables = {
    f'Test {metric}, with its 95 % intervals:': _scores(scores, metric),
    'Differences, with their 95 % intervals:': _differences(pairs),
    'Tests of the differences over texts (p-values):': _tests_over_texts(pairs),
    'Tests over seeds, and over all that the sentence covers (p-values):': (
      _tests_over_seeds(pairs)
    ),
  }
  parts = list(sentences)
  for caption, rows in tables.items():
    if format == 'latex' and 'over seeds' in rows[0]:  # As wide as a page.
      left_out = rows[0].index('over seeds')
      rows = [[*x[:left_out], *x[left_out + 1 :]] for x in rows]
    parts += [comment + caption, table_as(rows, format)]
  return '\n\n'.join(parts)


def sentence(pair: Pair, metric: str, texts: int) -> str:
  """Says whether two settings differ, in words that can be quoted."""
  interval, covers = pair.intervals.widest
  first, second = _mean_of(pair.first_seeds), _mean_of(pair.second_seeds)
  p_value = _p_text(pair.p_value)
  if pair.holm != pair.p_value:
    p_value += f', {_p_text(pair.holm)} after the correction by Holm'
  if pair.holm < 0.05:
    better = 'The difference is significant at the level of 5 %.'
  else:
    better = 'The difference is not significant at the level of 5 %.'
  if covers == 'texts':
    better += ' It says nothing about models trained with other seeds.'
  return (
    f'On the same {texts:,} test texts, {pair.first} has a test '
    f'{_words(metric)} of {pair.first_mean:z.4f} ({first}) and {pair.second} '
    f'of {pair.second_mean:z.4f} ({second}): {pair.first} minus '
    f'{pair.second} is {pair.difference:z.4f} (95 % interval over {covers} '
    f'{interval}; {p_value}). {better}'
  )


def _words(metric: str) -> str:
  words = metric.split('_')
  return ' '.join(x.upper() if x in _ABBREVIATIONS else x for x in words)


def _p_text(p_value: float) -> str:
  return 'p < 0.001' if p_value < 0.001 else f'p = {p_value:.3f}'


def _scores(scores: Sequence[GroupScore], metric: str) -> Rows:
  return [
    ['setting', 'seeds', f'test {metric}', *_HEADS],
    *(
      [x.name, _seeds(x.seeds), Number(x.mean), *_cells(x.intervals)]
      for x in scores
    ),
  ]


def _differences(pairs: Sequence[Pair]) -> Rows:
  return [
    [f'{pairs[0].first} minus', 'common seeds', 'difference', *_HEADS],
    *(
      [
        x.second,
        _seeds(x.seeds) if x.seeds else 'none',
        Number(x.difference),
        *_cells(x.intervals),
      ]
      for x in pairs
    ),
  ]


def _tests_over_texts(pairs: Sequence[Pair]) -> Rows:
  """Returns the p-values and the effect size of the texts."""
  mcnemar = 'McNemar of accuracy'
  if any(len(x.mcnemar) > 1 for x in pairs):
    mcnemar += ', seed by seed'
  return [
    [f'{pairs[0].first} minus', 'bootstrap', mcnemar, "Cohen's g"],
    *(
      [
        x.second,
        p_cell(x.bootstrap),
        ', '.join(_p_text(p).removeprefix('p ').removeprefix('= ')
                  for p in x.mcnemar) or None,
        Number(x.effect_on_texts, 3),
      ]
      for x in pairs
    ),
  ]  # fmt: skip


def _tests_over_seeds(pairs: Sequence[Pair]) -> Rows:
  """Returns those of the seeds, and the p-values of the sentences."""
  head = 'paired t', 'Wilcoxon', "Cohen's d", 'p', 'p by Holm'
  return [
    [f'{pairs[0].first} minus', *head],
    *(
      [
        x.second,
        p_cell(x.tests.t_test),
        p_cell(x.tests.wilcoxon),
        Number(x.tests.effect_size, 2),
        p_cell(x.p_value),
        p_cell(x.holm),
      ]
      for x in pairs
    ),
  ]


def _mean_of(seeds: Sequence[int]) -> str:
  """Says over which seeds a mean is."""
  if len(seeds) == 1:
    return f'seed {seeds[0]} alone'
  return f'the mean of {_seeds(seeds)}'


def _seeds(seeds: Sequence[int]) -> str:
  """Names seeds; their number alone would be read as how many there are."""
  return f'seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}'


def _cells(intervals: Intervals) -> list[Cell]:
  ends = [getattr(intervals, kind) for kind in _KINDS]
  return [None if math.isnan(x.low) else str(x) for x in ends]


def _ends(intervals: Intervals) -> list[Cell]:
  ends: list[Interval] = [getattr(intervals, kind) for kind in _KINDS]
  return [end for x in ends for end in (x.low, x.high)]


def _end_names() -> list[str]:
  return [f'{kind}_{end}' for kind in _KINDS for end in ('low', 'high')]


def _numbers(scores: Sequence[GroupScore]) -> Rows:
  return [
    ['setting', 'seeds', 'mean', *_end_names()],
    *([x.name, len(x.seeds), x.mean, *_ends(x.intervals)] for x in scores),
  ]


def _pair_numbers(pairs: Sequence[Pair]) -> Rows:
  return [
    [
      'first', 'second', 'common_seeds', 'first_mean', 'second_mean',
      'difference', *_end_names(), 'bootstrap', 'mcnemar', 'effect_on_texts',
      't_test', 'wilcoxon', 'effect_over_seeds', 'p_value', 'holm',
    ],
    *(
      [
        x.first, x.second, len(x.seeds), x.first_mean, x.second_mean,
        x.difference, *_ends(x.intervals), x.bootstrap,
        x.mcnemar[0] if len(x.mcnemar) == 1 else None, x.effect_on_texts,
        x.tests.t_test, x.tests.wilcoxon, x.tests.effect_size, x.p_value,
        x.holm,
      ]
      for x in pairs
    ),
  ]  # fmt: skip
