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
    method: how it was computed, and what it covers.
  """

  low: float
  high: float
  method: str

  def __str__(self) -> str:
    if math.isnan(self.low):
      return '–'
    return f'{self.low:.4f} to {self.high:.4f}'


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
  array = np.array([*values], np.float64)
  estimate = Estimate(
    mean=float(array.mean()), over_seeds=float(array.var(ddof=1)) / n, seeds=n
  )
  return estimate.interval(bounds, method)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
  """A mean over seeds, whose error has one or two sources.

  Its interval is mean ± sqrt(t² over_seeds + z² over_texts), where t and z are
  the quantiles of Student's distribution with one degree of freedom less than
  there are seeds, and of the normal distribution.

  Attributes:
    mean: the mean.
    over_seeds: the variance of the mean over other seeds.
    seeds: the number of seeds.
    over_texts: its variance over other texts; 0 for an interval over seeds.
  """

  mean: float
  over_seeds: float
  seeds: int
  over_texts: float = 0.0

  def interval(self, bounds: Bounds, method: str) -> Interval:
    """Returns the interval of the mean, within the bounds."""
    half = self._half(LEVEL)
    return Interval(
      max(self.mean - half, bounds[0]), min(self.mean + half, bounds[1]), method
    )

  def p_value(self) -> float:
    """Returns the two-sided p-value of a mean of 0.

    It is 1 minus the level of the interval that ends at 0.
    """
    low, high = 0.0, 1.0
    for _ in range(50):
      level = (low + high) / 2
      if self._half(level) < abs(self.mean):
        low = level
      else:
        high = level
    return 1 - low

  def _half(self, level: float) -> float:
    t = float(special.stdtrit(self.seeds - 1, (1 + level) / 2))
    z = float(special.ndtri((1 + level) / 2))
    return math.sqrt(t**2 * self.over_seeds + z**2 * self.over_texts)


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
      its error; the interval is then Wilson's, on this scale.
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
  finite = array[np.isfinite(array)]
  if not len(finite) or not math.isfinite(value):
    return Interval(math.nan, math.nan, method)
  if np.ptp(finite) < 1e-12:
    return _unvarying(value, weights_N, bounds, method)
  shift = 2 * normal_rank(value, finite)
  shares = special.ndtr([shift - _Z, shift + _Z])
  low, high = np.quantile(finite, shares)
  return Interval(float(low), float(high), method)


def normal_rank(value: float, draws: np.ndarray) -> float:
  """Returns the normal quantile of the share of draws below a value."""
  below = (np.mean(draws < value) + np.mean(draws <= value)) / 2
  tiny = 0.5 / len(draws)
  return float(special.ndtri(np.clip(below, tiny, 1 - tiny)))


def _unvarying(
  value: float, weights_N: np.ndarray, bounds: Bounds, method: str
) -> Interval:
  """Returns Wilson's interval of a bounded score, which all draws share."""
  low, high = bounds
  if not math.isfinite(high - low):
    return Interval(value, value, method)
  n = effective_size(weights_N)
  ends = wilson((value - low) / (high - low) * n, n)
  return Interval(
    low + ends.low * (high - low), low + ends.high * (high - low), ends.method
  )


def of_seeds_and_texts(
  scores: Sequence[Score],
  weights_N: np.ndarray,
  bounds: Bounds = SHARE,
  resamples: int = RESAMPLES,
  seed: int = 0,
) -> Interval:
  """Returns the interval of the mean score over seeds and over texts.

  See `estimate_over_both` for the formula.

  Args:
    scores: the score of each seed's model, all on the same texts.
    weights_N, bounds, resamples, seed: see `of_texts`.

  Raises:
    ValueError: there are fewer than three seeds.
  """
  draws_DxS = np.array([
    [score(x) for score in scores]
    for x in resampled_weights(weights_N, resamples, seed)
  ])  # fmt: skip
  values_S = np.array([score(weights_N) for score in scores])
  estimate = estimate_over_both(values_S, draws_DxS)
  method = "Student's t and bootstrap over seeds and texts"
  if not estimate.over_seeds + estimate.over_texts:
    return _unvarying(estimate.mean, weights_N, bounds, method)
  return estimate.interval(bounds, method)


def estimate_over_both(values_S: np.ndarray, draws_DxS: np.ndarray) -> Estimate:
  """Returns the mean over S seeds, with its variances over seeds and texts.

    over_seeds = s² / S - i,    over_texts = t,    i = (u - t) / (S - 1)

  s² is the variance of the values over the seeds; t is the variance of the mean
  over the draws of texts; u is the mean of each seed's variance over these
  draws. Seeds that are wrong on different texts increase both s² / S and t; i
  is this part, which counts once.

  Args:
    values_S: the score of each seed.
    draws_DxS: the scores of all seeds on each draw of texts, see `of_texts`.

  Raises:
    ValueError: there are fewer than three seeds, from which the variance over
      seeds cannot be told from that over texts.
  """
  seeds = len(values_S)
  if seeds < MIN_SEEDS:
    raise ValueError(
      f'an interval over seeds and texts needs {MIN_SEEDS} seeds or more'
    )
  draws_DxS = draws_DxS[np.isfinite(draws_DxS).all(1)]
  over_texts = float(np.var(draws_DxS.mean(1), ddof=1))
  of_each = float(np.var(draws_DxS, axis=0, ddof=1).mean())
  both = max(of_each - over_texts, 0.0) / (seeds - 1)
  over_seeds = float(np.var(values_S, ddof=1)) / seeds
  return Estimate(
    mean=float(np.mean(values_S)),
    over_seeds=max(over_seeds - both, 0.0),
    seeds=seeds,
    over_texts=over_texts,
  )
