"""How often each interval has the true value: 1,000 draws of known truth.

docs/metrics.md has the shares that these tests print with `-rP`.
"""

import math

import numpy as np
import pytest
from scipy import stats

from bigru_jax.evaluation.intervals import intervals_of
from bigru_jax.metrics.confusion import macro_f1
from bigru_jax.metrics.scored import Scored
from bigru_jax.statistics import intervals, paired

pytestmark = pytest.mark.slow
DRAWS = 1000


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
  monkeypatch.setattr(intervals, 'RESAMPLES', 500)


def _check(name, covered, most=0.97):
  print(f'{name}: {np.mean(covered):.1%}')
  assert len(covered) == DRAWS
  # The share of 1,000 draws has a standard error of 0.7 points.
  assert 0.93 <= np.mean(covered) <= most


def _has(interval, truth):
  return interval.low <= truth <= interval.high


@pytest.mark.parametrize('n, share', [(1000, 0.8), (1000, 0.98), (50, 0.9)])
@pytest.mark.parametrize('is_weighted', [False, True])
def test_the_interval_of_a_share(n, share, is_weighted):
  rng, covered = np.random.default_rng(0), []
  for _ in range(DRAWS):
    weights = rng.uniform(0.5, 2, n) if is_weighted else np.ones(n)
    interval = intervals.share(rng.random(n) < share, weights)
    covered.append(_has(interval, share))
  _check(f'share {share} of {n} texts, weights: {is_weighted}', covered)


@pytest.mark.parametrize(
  'n, classes, accuracy', [(1000, 2, 0.8), (1000, 6, 0.85), (300, 6, 0.7)]
)
def test_the_bootstrap_of_macro_f1_over_texts(n, classes, accuracy):
  rng, covered = np.random.default_rng(0), []
  # Half of the texts have the first class, a quarter the second one, and so on.
  shares = 0.5 ** np.arange(1, classes + 1)
  shares[-1] = shares[-2]
  errors = (1 - np.eye(classes)) * (1 - accuracy) / (classes - 1)
  cells = (accuracy * np.eye(classes) + errors) * shares[:, None]
  truth = macro_f1(cells)
  for _ in range(DRAWS):
    labels, predictions = np.divmod(
      rng.choice(classes**2, n, p=cells.ravel()), classes
    )
    scores = np.eye(classes)[predictions]
    scored = Scored(
      labels=labels,
      predictions=predictions,
      scores=scores,
      probabilities=scores,
      names=tuple(map(str, range(classes))),
    )
    covered.append(_has(intervals_of(scored, ['macro_f1'])['macro_f1'], truth))
  _check(f'macro F1 of {n} texts, {classes} classes', covered)


@pytest.mark.parametrize('n', [200])
def test_the_bootstrap_of_roc_auc_over_texts(n):
  rng, covered = np.random.default_rng(0), []
  truth = stats.norm.cdf(1.5 / math.sqrt(2))
  for _ in range(DRAWS):
    labels = (rng.random(n) < 0.3).astype(int)
    scores = np.zeros((n, 2))
    scores[:, 1] = rng.normal(size=n) + 1.5 * labels
    scored = Scored(
      labels=labels, predictions=labels, scores=scores, probabilities=scores,
      positive=1,
    )  # fmt: skip
    covered.append(_has(intervals_of(scored, ['roc_auc'])['roc_auc'], truth))
  _check(f'ROC-AUC of {n} texts', covered)


@pytest.mark.parametrize('seeds', [2, 3, 5, 10])
def test_the_interval_over_seeds(seeds):
  rng = np.random.default_rng(0)
  covered = [
    _has(intervals.student(0.8 + 0.01 * rng.normal(size=seeds)), 0.8)
    for _ in range(DRAWS)
  ]
  _check(f'mean of {seeds} seeds', covered)


def _models(rng, seeds, n, of_seeds, is_difference):
  """Returns whether each seed is right on each text, and the true accuracy.

  A text is right if the sum of its ease, of the seed's quality and of noise is
  positive; all three are normal. For a difference, a second setting that is
  worse is subtracted, whose seeds are other models on the same texts.
  """
  ease, scale = rng.normal(size=n), math.sqrt(1.25 + of_seeds**2)
  values_SxN, truth = np.zeros((seeds, n)), 0.0
  for sign, mean in ((1, 1.0), (-1, 0.8))[: 1 + is_difference]:
    noise = 0.5 * rng.normal(size=(seeds, n))
    quality = of_seeds * rng.normal(size=(seeds, 1))
    values_SxN += sign * (mean + ease + quality + noise > 0)
    truth += sign * stats.norm.cdf(mean / scale)
  return values_SxN, truth


def _draws(rng, values_SxN):
  """Returns the mean of the values on 1,000 draws of the texts, [D, S].

  Texts with the same values are drawn together.
  """
  n = values_SxN.shape[1]
  kinds_SxK, counts_K = np.unique(values_SxN, axis=1, return_counts=True)
  return rng.multinomial(n, counts_K / n, size=1000) @ kinds_SxK.T / n


# Seeds that hardly differ, that vary as much as the texts, and much more.
# These intervals are too wide rather than too narrow: where the seeds hardly
# differ, what the least width adds is not needed.
@pytest.mark.parametrize('of_seeds', [0.02, 0.1, 0.3])
@pytest.mark.parametrize(
  'seeds, is_difference',
  [(3, False), (5, False), (10, False), (3, True), (5, True)],
)
def test_the_interval_over_seeds_and_texts(seeds, of_seeds, is_difference):
  rng, covered, n = np.random.default_rng(0), [], 500
  for _ in range(DRAWS):
    values_SxN, truth = _models(rng, seeds, n, of_seeds, is_difference)
    draws_DxS = _draws(rng, values_SxN)
    interval = intervals.of_seeds_and_texts(
      values_SxN.mean(1), draws_DxS, np.ones(n), (-1.0, 1.0)
    )
    covered.append(_has(interval, truth))
  kind = 'difference of accuracies' if is_difference else 'accuracy'
  _check(f'{kind} of {seeds} seeds that vary by {of_seeds}', covered, 0.99)


@pytest.mark.parametrize('is_bootstrap', [False, True])
def test_the_difference_of_two_models_over_texts(is_bootstrap):
  rng, covered, n = np.random.default_rng(0), [], 1000
  for _ in range(DRAWS):
    ease, noise = rng.normal(size=n), 0.7 * rng.normal(size=(2, n))
    first, second = [[1.2], [1.0]] + ease + noise > 0
    truth = np.diff(stats.norm.cdf(np.array([1.0, 1.2]) / math.sqrt(1.49)))[0]
    difference = (first * 1.0 - second)[None]
    if is_bootstrap:
      interval = intervals.of_draws(
        difference.mean(), _draws(rng, difference)[:, 0], np.ones(n),
        intervals.UNBOUNDED,
      )  # fmt: skip
    else:
      interval = paired.difference_of_shares(
        (first & ~second).sum(), (second & ~first).sum(), n
      )
    covered.append(_has(interval, truth))
  _check(f'difference of two models, bootstrap: {is_bootstrap}', covered)
