"""95 % intervals of scores: over texts, over seeds, and over both.

An interval over texts says how the score of this model would differ on other
test texts; one over seeds, how it would differ after other trainings, on the
same texts; one over both covers another training and other texts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
import dataclasses
import math

import numpy as np
from scipy import special  # Importing scipy.stats takes 0.4 s.

LEVEL = 0.95
RESAMPLES = 2000
MIN_SEEDS = 3  # Of an interval over seeds and texts.
# The smallest and the largest value that a score can have.
Bounds = tuple[float, float]
SHARE: Bounds = (0.0, 1.0)
UNBOUNDED: Bounds = (-math.inf, math.inf)
# A score as a function of the texts' weights [N].
Score = Callable[[np.ndarray], float]
_Z = float(special.ndtri((1 + LEVEL) / 2))


@dataclasses.dataclass(frozen=True)
class Interval:
  """A 95 % interval.

  Attributes:
    low, high: its ends; NaN if the values do not give any.
    method: how it was computed.
  """

  low: float
  high: float
  method: str

  def __str__(self) -> str:
    if math.isnan(self.low):
      return '–'
    return f'{self.low:z.4f} to {self.high:z.4f}'


def wilson(successes: float, n: float) -> Interval:
  """Returns Wilson's score interval of a share, which lies within 0 to 1.

    (p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)

  Wilson, 1927, https://doi.org/10.1080/01621459.1927.10502953. Unlike the
  normal approximation it holds for shares near 0 and 1.

  Example:
    >>> str(wilson(9, 10))
    '0.5958 to 0.9821'

  Args:
    successes: the number of texts of which something is true, p n.
    n: the number of all texts. Both may be sums of weights.
  """
  method = 'Wilson over texts'
  if not n:
    return Interval(math.nan, math.nan, method)
  share, extra = successes / n, _Z**2 / n
  center = share + extra / 2
  half = _Z * math.sqrt(max(share * (1 - share) / n, 0) + extra / (4 * n))
  low, high = ((center + x) / (1 + extra) for x in (-half, half))
  return Interval(max(low, 0.0), min(high, 1.0), method)


def share(
  is_true_N: np.ndarray, weights_N: np.ndarray | None = None
) -> Interval:
  """Returns Wilson's interval of the share of texts of which it is true.

  With weights, the number of texts is the effective one, (Σ w)² / Σ w² (Kish,
  Survey Sampling, 1965).
  """
  if weights_N is None:
    weights_N = np.ones(len(is_true_N))
  n, total = effective_size(weights_N), weights_N.sum()
  return wilson(n * float(weights_N @ is_true_N) / (total or 1.0), n)


def effective_size(weights_N: np.ndarray) -> float:
  """Returns the number of equally weighted texts that say as much."""
  squares = float(weights_N @ weights_N)
  return float(weights_N.sum()) ** 2 / squares if squares else 0.0


def student(values: Collection[float], bounds: Bounds = UNBOUNDED) -> Interval:
  """Returns the interval of the mean of independent values, by Student's t.

  Args:
    values: such as the scores of several seeds; one value has no interval.
    bounds: the interval ends there.
  """
  method, n = "Student's t over seeds", len(values)
  if n < 2:
    return Interval(math.nan, math.nan, method)
  mean, std = float(np.mean([*values])), float(np.std([*values], ddof=1))
  half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) * std / math.sqrt(n)
  return Interval(
    max(mean - half, bounds[0]), min(mean + half, bounds[1]), method
  )


def resampled_weights(
  weights_N: np.ndarray, resamples: int, seed: int
) -> Iterator[np.ndarray]:
  """Yields the weights after each draw of N texts with replacement."""
  rng, n = np.random.default_rng(seed), len(weights_N)
  for _ in range(resamples):
    yield weights_N * np.bincount(rng.integers(0, n, n), minlength=n)


def of_texts(
  score: Score,
  weights_N: np.ndarray,
  bounds: Bounds = SHARE,
  resamples: int = RESAMPLES,
  seed: int = 0,
) -> Interval:
  """Returns the interval of any score over texts, by the bootstrap.

  The texts are drawn with replacement, and the ends are quantiles of the scores
  of these draws, corrected for their median (the bias-corrected percentile
  method: Efron, 1981, https://doi.org/10.2307/3314608, section 9).

  Args:
    score: returns the score from the weights of all texts; it is NaN for draws
      that do not have it.
    weights_N: the weights of the texts; a text that is drawn twice has twice
      its weight.
    bounds: the smallest and the largest value of the score. If all draws have
      the same score, as those of a model without mistakes, they say nothing of
      its error; the interval is then from Wilson's, on this scale.
    resamples: the number of draws.
    seed: makes the draws reproducible.
  """
  draws = [score(x) for x in resampled_weights(weights_N, resamples, seed)]
  return of_draws(score(weights_N), draws, weights_N, bounds)


def of_draws(
  value: float,
  draws: Sequence[float] | np.ndarray,
  weights_N: np.ndarray,
  bounds: Bounds,
) -> Interval:
  """Returns the interval of `of_texts` from a score and those of its draws."""
  method, array = 'bootstrap over texts', np.asarray(draws, np.float64)
  estimate = Estimate(value=value, draws_D=array[np.isfinite(array)])
  if not len(estimate.draws_D) or not math.isfinite(value):
    return Interval(math.nan, math.nan, method)
  if np.ptp(estimate.draws_D) < 1e-12:
    return _unvarying(value, weights_N, bounds, method)
  return Interval(*estimate.ends(LEVEL), method)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
  """A score whose error comes from the texts, and perhaps from the seeds.

  Attributes:
    value, draws_D: the score, or its mean over seeds, and that of each draw.
    over_seeds: the variance of the mean over other seeds on the same texts.
    shared: the part of it that the variance over texts has, too.
    seeds: the number of seeds; 0 if it is not known how they differ.
  """

  value: float
  draws_D: np.ndarray
  over_seeds: float = 0.0
  shared: float = 0.0
  seeds: int = 0

  def ends(self, level: float) -> tuple[float, float]:
    """Returns the ends of the interval of a level, such as 0.95.

    Over texts they are quantiles of the draws, see `of_texts`. Their distance
    d from the score grows to sqrt(d² + t² (over_seeds - shared)), and at least
    to t sqrt(over_seeds), because few seeds would hold too seldom without it;
    t is the quantile of Student's distribution with seeds - 1 degrees of
    freedom.
    """
    z = float(special.ndtri((1 + level) / 2))
    shift = 2 * self._normal_rank()
    shares = special.ndtr([shift - z, shift + z])
    low, high = map(float, np.quantile(self.draws_D, shares))
    if self.seeds:
      t = float(special.stdtrit(self.seeds - 1, (1 + level) / 2))
      own = t * math.sqrt(max(self.over_seeds - self.shared, 0.0))
      least = t * math.sqrt(self.over_seeds)
      below, above = max(self.value - low, 0.0), max(high - self.value, 0.0)
      low = self.value - max(math.hypot(below, own), least)
      high = self.value + max(math.hypot(above, own), least)
    return low, high

  def p_value(self) -> float:
    """Returns the two-sided p-value of a score of 0, such as a difference.

    It is 1 minus the level of the interval that ends at 0, and at least one
    divided by the number of draws; NaN if there are none.
    """
    if not len(self.draws_D) or not math.isfinite(self.value):
      return math.nan
    if not self.value:
      return 1.0
    least, most = 1 / len(self.draws_D), 1.0
    while most - least > 1e-5:
      middle = (least + most) / 2
      low, high = self.ends(1 - middle)
      if low <= 0 <= high:
        least = middle
      else:
        most = middle
    return most

  def _normal_rank(self) -> float:
    """Returns the normal quantile of the share of draws below the score."""
    draws_D = self.draws_D
    below = (np.mean(draws_D < self.value) + np.mean(draws_D <= self.value)) / 2
    tiny = 0.5 / len(draws_D)
    return float(special.ndtri(np.clip(below, tiny, 1 - tiny)))


def _unvarying(
  value: float, weights_N: np.ndarray, bounds: Bounds, method: str
) -> Interval:
  """Returns the interval of a bounded score, which all draws share.

  If the share of texts of another kind is at most u, by Wilson's interval of
  none among n, and if these have the smallest or the largest score, the ends
  are value - u (value - low) and value + u (high - value).
  """
  low, high = bounds
  if not math.isfinite(high - low):
    return Interval(value, value, method)
  u = wilson(0, effective_size(weights_N)).high
  ends = value - u * (value - low), value + u * (high - value)
  return Interval(*ends, 'Wilson over texts')


def of_seeds_and_texts(
  values_S: np.ndarray,
  draws_DxS: np.ndarray,
  weights_N: np.ndarray,
  bounds: Bounds = SHARE,
) -> Interval:
  """Returns the interval of the mean score over seeds and over texts.

  It is never narrower than that over texts, or over seeds alone.

  For the arguments and errors see `estimate_over_both` and `of_texts`.
  """
  estimate = estimate_over_both(values_S, draws_DxS)
  texts = of_draws(estimate.value, estimate.draws_D, weights_N, bounds)
  low, high = estimate.ends(LEVEL)
  return Interval(
    max(min(low, texts.low), bounds[0]),
    min(max(high, texts.high), bounds[1]),
    "bootstrap over texts and Student's t over seeds",
  )


def estimate_over_both(values_S: np.ndarray, draws_DxS: np.ndarray) -> Estimate:
  """Returns the mean over S seeds, whose error comes from seeds and texts.

    over_seeds = s² / S,    shared = (u - t) / (S - 1)

  s² is the variance of the values over the seeds; t is the variance of the mean
  over the draws of texts; u is the mean of each seed's variance over these
  draws. Seeds that are wrong on different texts increase both s² / S and t, by
  the shared part, which counts once.

  Args:
    values_S: the score of each seed.
    draws_DxS: the scores of all seeds on each draw of texts, see `of_texts`.

  Raises:
    ValueError: there are fewer than three seeds.
  """
  seeds = len(values_S)
  if seeds < MIN_SEEDS:
    raise ValueError(f'over seeds and texts needs {MIN_SEEDS} seeds or more')
  draws_DxS = draws_DxS[np.isfinite(draws_DxS).all(1)]
  draws_D = draws_DxS.mean(1)
  of_each = float(np.var(draws_DxS, axis=0, ddof=1).mean())
  of_own = of_each - float(np.var(draws_D, ddof=1))
  return Estimate(
    value=float(np.mean(values_S)),
    draws_D=draws_D,
    over_seeds=float(np.var(values_S, ddof=1)) / seeds,
    shared=max(of_own, 0.0) / (seeds - 1),
    seeds=seeds,
  )
