"""Compares runs text by text, over seeds, and over both."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math

import numpy as np

from bigru_jax.evaluation.intervals import (
  is_right,
  num_resamples,
  score_of,
  weights_of,
)
from bigru_jax.metrics import METRICS, compute
from bigru_jax.metrics.scored import Scored
from bigru_jax.reports.comparison.groups import RunGroup
from bigru_jax.statistics import intervals, paired
from bigru_jax.statistics.intervals import Bounds, Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Intervals:
  """The 95 % intervals of a mean over seeds; those without numbers are NaN.

  Attributes:
    over_texts: for the same models on other texts.
    over_seeds: for other seeds on the same texts; of two seeds or more.
    over_both: for other seeds and texts; of three seeds or more.
  """

  over_texts: Interval
  over_seeds: Interval
  over_both: Interval

  @property
  def widest(self) -> tuple[Interval, str]:
    """The interval that covers most, and what it covers."""
    if math.isnan(self.over_both.low):
      return self.over_texts, 'texts'
    return self.over_both, 'seeds and texts'


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupScore:
  """The score of a setting.

  Attributes:
    name: the setting's name.
    seeds: its seeds.
    mean: the mean of the metric over the seeds.
    intervals: of this mean.
  """

  name: str
  seeds: list[int]
  mean: float
  intervals: Intervals


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
  """The comparison of two settings.

  Attributes:
    first, second: the settings' names.
    seeds: the seeds that both have; if there is none, all are compared, and
      only over texts.
    first_seeds, second_seeds: the seeds that are compared: these, or all.
    first_mean, second_mean: the means of the metric over them.
    intervals: of the first mean minus the second.
    p_value: that of the widest of these intervals.
    holm: this, corrected for the number of pairs.
    bootstrap: the p-value over texts.
    mcnemar: the p-value of McNemar's test for each common seed, or for two
      single runs of other seeds.
    tests: of the differences over the common seeds.
    effect_on_texts: Cohen's g, the mean over these tests.
  """

  first: str
  second: str
  seeds: list[int]
  first_seeds: list[int]
  second_seeds: list[int]
  first_mean: float
  second_mean: float
  intervals: Intervals
  p_value: float
  holm: float = math.nan
  bootstrap: float
  mcnemar: list[float]
  tests: paired.OverSeeds
  effect_on_texts: float

  @property
  def difference(self) -> float:
    """The first mean minus the second."""
    return self.first_mean - self.second_mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scores:
  """The scores of a group: by seed [S], and of each draw of texts [D, S]."""

  group: RunGroup
  seeds: list[int]
  values_S: np.ndarray
  draws_DxS: np.ndarray

  def of_seeds(self, seeds: Sequence[int]) -> _Scores:
    indices = [self.seeds.index(seed) for seed in seeds]
    return dataclasses.replace(
      self,
      seeds=list(seeds),
      values_S=self.values_S[indices],
      draws_DxS=self.draws_DxS[:, indices],
    )


def compare_groups(
  groups: Sequence[RunGroup], metric: str
) -> tuple[list[GroupScore], list[Pair]]:
  """Compares the first setting with each of the others.

  Args:
    groups: the runs, tested on the same texts.
    metric: a name of `METRICS`.

  Returns:
    The score of each setting, and each comparison.

  Raises:
    ValueError: the runs do not have the metric.
  """
  scores = [_scores(group, metric) for group in groups]
  weights_N = weights_of(_first(groups[0]))
  bounds = METRICS[metric].bounds
  of_groups = []
  for x in scores:
    of_group = _intervals(x.values_S, x.draws_DxS, weights_N, bounds)
    if metric == 'accuracy' and len(x.seeds) == 1:
      over_texts = intervals.share(is_right(_first(x.group)), weights_N)
      of_group = dataclasses.replace(of_group, over_texts=over_texts)
    of_groups.append(
      GroupScore(
        name=x.group.name,
        seeds=x.seeds,
        mean=float(x.values_S.mean()),
        intervals=of_group,
      )
    )
  width = bounds[1] - bounds[0]
  pairs = [_pair(scores[0], x, weights_N, (-width, width)) for x in scores[1:]]
  corrected = paired.holm([pair.p_value for pair in pairs])
  return of_groups, [
    dataclasses.replace(pair, holm=p) for pair, p in zip(pairs, corrected)
  ]


def _first(group: RunGroup) -> Scored:
  return next(iter(group.by_seed.values())).scored


def _scores(group: RunGroup, metric: str) -> _Scores:
  """Returns a group's scores, all groups' on the same draws of texts."""
  first = _first(group)
  if metric not in compute(first, [metric]):
    raise ValueError(
      f'metric={metric}: it is not computed from predictions of these labels'
    )
  functions = [
    score_of(stored.scored, metric) for stored in group.by_seed.values()
  ]
  weights_N = weights_of(first)
  draws = intervals.resampled_weights(
    weights_N, num_resamples(first, metric), seed=0
  )
  return _Scores(
    group=group,
    seeds=[*group.by_seed],
    values_S=np.array([function(weights_N) for function in functions]),
    draws_DxS=np.array([[score(x) for score in functions] for x in draws]),
  )


def _intervals(
  values_S: np.ndarray,
  draws_DxS: np.ndarray,
  weights_N: np.ndarray,
  bounds: Bounds,
) -> Intervals:
  over_both = Interval(math.nan, math.nan, '')
  if len(values_S) >= intervals.MIN_SEEDS:
    over_both = intervals.of_seeds_and_texts(
      values_S, draws_DxS, weights_N, bounds
    )
  return Intervals(
    over_texts=intervals.of_draws(
      float(values_S.mean()), draws_DxS.mean(1), weights_N, bounds
    ),
    over_seeds=intervals.student(values_S.tolist(), bounds),
    over_both=over_both,
  )


def _pair(
  first: _Scores, second: _Scores, weights_N: np.ndarray, bounds: Bounds
) -> Pair:
  names = first.group.name, second.group.name
  seeds = [seed for seed in first.seeds if seed in second.seeds]
  if seeds:
    first, second = first.of_seeds(seeds), second.of_seeds(seeds)
    values_S = first.values_S - second.values_S
    draws_DxS = first.draws_DxS - second.draws_DxS
  else:
    values_S = np.array([first.values_S.mean() - second.values_S.mean()])
    draws_DxS = first.draws_DxS.mean(1) - second.draws_DxS.mean(1)
    draws_DxS = draws_DxS[:, None]
  over_texts = intervals.Estimate(
    value=float(values_S.mean()), draws_D=draws_DxS.mean(1)
  )
  bootstrap = p_value = over_texts.p_value()
  if len(seeds) >= intervals.MIN_SEEDS:
    p_value = intervals.estimate_over_both(values_S, draws_DxS).p_value()
  matches = [(seed, seed) for seed in seeds]
  if not seeds and len(first.seeds) == len(second.seeds) == 1:
    matches = [(first.seeds[0], second.seeds[0])]
  counts = [_discordant(first.group, second.group, match) for match in matches]
  return Pair(
    first=names[0],
    second=names[1],
    seeds=seeds,
    first_seeds=first.seeds,
    second_seeds=second.seeds,
    first_mean=float(first.values_S.mean()),
    second_mean=float(second.values_S.mean()),
    intervals=_intervals(values_S, draws_DxS, weights_N, bounds),
    p_value=p_value,
    bootstrap=bootstrap,
    mcnemar=[paired.mcnemar(*x) for x in counts],
    tests=paired.over_seeds(values_S.tolist() if seeds else []),
    effect_on_texts=float(np.mean([paired.cohen_g(*x) for x in counts]))
    if counts
    else math.nan,
  )


def _discordant(
  first: RunGroup, second: RunGroup, seeds: tuple[int, int]
) -> tuple[int, int]:
  """Returns the numbers of texts on which only one of two runs is right."""
  of_first, of_second = (
    is_right(group.by_seed[seed].scored)
    for group, seed in zip((first, second), seeds)
  )
  only_first = np.count_nonzero(of_first & ~of_second)
  return int(only_first), int(np.count_nonzero(of_second & ~of_first))
