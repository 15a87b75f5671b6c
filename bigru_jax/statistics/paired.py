"""Tests of whether two models differ: over the same texts, and over seeds."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math

import numpy as np
from scipy import special

from bigru_jax.statistics import intervals
from bigru_jax.statistics.intervals import Interval

# Wilcoxon's p-value of n differences is 2 / 2^n or more.
MIN_WILCOXON = 6


def mcnemar(only_first: int, only_second: int) -> float:
  """Returns the exact two-sided p-value of McNemar's test.

  Under the null hypothesis, each of the texts on which only one of two models
  is right is as likely to be the first's as the second's. McNemar, 1947,
  https://doi.org/10.1007/BF02295996.

  Example:
    >>> round(mcnemar(2, 10), 4)
    0.0386

  Args:
    only_first: the number of texts on which only the first model is right.
    only_second: the number of those on which only the second one is.
  """
  fewer, n = min(only_first, only_second), only_first + only_second
  return min(1.0, 2 * float(special.bdtr(fewer, n, 0.5)))


def cohen_g(only_first: int, only_second: int) -> float:
  """Returns the effect size of McNemar's test, from -0.5 to 0.5.

  It is the first model's share of the texts on which only one is right, minus
  one half; NaN if there are none. Cohen, Statistical Power Analysis, 1988,
  chapter 5: 0.05 is small, 0.15 medium and 0.25 large.
  """
  n = only_first + only_second
  return only_first / n - 0.5 if n else math.nan


def difference_of_shares(only_first: int, only_second: int, n: int) -> Interval:
  """Returns the interval of the share of the first model minus the second's.

  Bonett & Price, 2012, https://doi.org/10.3102/1076998611411915, equation 10:
  the normal interval after one text is added to each number.

  Args:
    only_first, only_second: see `mcnemar`.
    n: the number of all texts.
  """
  first, second = ((x + 1) / (n + 2) for x in (only_first, only_second))
  difference = first - second
  variance = (first + second - difference**2) / (n + 2)
  half = float(special.ndtri((1 + intervals.LEVEL) / 2)) * math.sqrt(variance)
  return Interval(
    max(difference - half, -1.0),
    min(difference + half, 1.0),
    'Bonett and Price over texts',
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverSeeds:
  """The tests of paired differences, each of one seed.

  Attributes:
    t_test: the two-sided p-value of Student's paired test.
    wilcoxon: that of Wilcoxon's signed-rank test, 1945,
      https://doi.org/10.2307/3001968. Either is None if there are too few
      differences for a p-value below 0.05.
    effect_size: Cohen's d, the mean of the differences divided by their
      standard deviation; NaN for one difference, or if all are equal.
  """

  t_test: float | None
  wilcoxon: float | None
  effect_size: float


def over_seeds(differences: Sequence[float]) -> OverSeeds:
  """Tests whether paired differences have a mean, or a median, of 0."""
  array = np.array(differences, np.float64)
  n = len(array)
  std = float(array.std(ddof=1)) if n > 1 else 0.0
  t_test, effect_size = None, math.nan
  if std > 1e-12:
    effect_size = float(array.mean()) / std
    t = abs(effect_size) * math.sqrt(n)
    t_test = 2 * float(special.stdtr(n - 1, -t))
  return OverSeeds(
    t_test=t_test, wilcoxon=_wilcoxon(array), effect_size=effect_size
  )


def _wilcoxon(differences: np.ndarray) -> float | None:
  differing = np.count_nonzero(differences)
  if len(differences) < MIN_WILCOXON:
    return None
  if differing < MIN_WILCOXON:  # The test leaves out equal values.
    return None if differing else 1.0
  from scipy import stats  # Importing it takes 0.4 s.

  return float(stats.wilcoxon(differences).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
  """Corrects p-values for their number.

  The k-th smallest of n is multiplied by n - k + 1; none becomes smaller than
  one before it, or larger than 1. Holm, 1979,
  https://www.jstor.org/stable/4615733.

  Example:
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
  """
  corrected, largest = [0.0] * len(p_values), 0.0
  order = sorted(range(len(p_values)), key=p_values.__getitem__)
  for rank, i in enumerate(order):
    factor = len(p_values) - rank
    largest = max(largest, min(1.0, p_values[i] * factor))
    corrected[i] = largest
  return corrected
