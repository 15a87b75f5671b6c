"""Intervals beside SciPy's, and how often they contain the true value."""

import math

import numpy as np
import pytest
from scipy import stats

from bigru_jax.evaluation.intervals import intervals_of, is_right, score_of
from bigru_jax.metrics import METRICS, compute
from bigru_jax.metrics.scored import Scored
from bigru_jax.statistics import intervals


def _scored(num_texts, is_multi_label=False, weights=None, seed=0):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(num_texts, 3))
  if is_multi_label:
    labels = rng.random((num_texts, 3)) < 0.4
    logits += 2 * labels - 1
    return Scored(
      labels=labels,
      predictions=logits > 0,
      scores=logits,
      probabilities=1 / (1 + np.exp(-logits)),
      weights=weights,
    )
  labels = rng.integers(0, 3, num_texts)
  logits[np.arange(num_texts), labels] += 1.5
  probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  return Scored(
    labels=labels,
    predictions=logits.argmax(1),
    scores=probabilities,
    probabilities=probabilities,
    weights=weights,
    names=('a', 'b', 'c'),
  )


@pytest.mark.parametrize('successes', [0, 1, 5, 19, 20])
def test_the_interval_of_a_share_is_scipys_by_wilson(successes):
  interval = intervals.wilson(successes, 20)
  expected = stats.binomtest(successes, 20).proportion_ci(method='wilson')
  assert (interval.low, interval.high) == pytest.approx(tuple(expected))
  assert 0 <= interval.low <= interval.high <= 1


def test_equal_weights_change_no_interval_and_unequal_ones_widen_it():
  is_true = np.arange(100) < 80
  plain = intervals.share(is_true)
  assert plain == intervals.wilson(80, 100)
  equal = intervals.share(is_true, np.full(100, 7.0))
  assert equal.low == pytest.approx(plain.low)
  weights = np.where(np.arange(100) % 2, 1.0, 9.0)
  unequal = intervals.share(is_true, weights)
  assert unequal.high - unequal.low > plain.high - plain.low
  # A text of weight 0 does not count.
  weights = np.append(np.ones(100), np.zeros(50))
  is_true = np.append(is_true, np.ones(50, bool))
  assert intervals.share(is_true, weights).low == pytest.approx(plain.low)


def test_the_interval_over_seeds_is_scipys_by_students_t():
  values = [0.81, 0.86, 0.83, 0.80]
  interval = intervals.student(values)
  expected = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
  assert (interval.low, interval.high) == pytest.approx(expected)
  assert intervals.student([0.99, 0.9, 1.0], intervals.SHARE).high == 1
  assert str(intervals.student([0.5])) == '–'


def test_over_both_the_interval_covers_that_over_texts_and_that_over_seeds():
  rng = np.random.default_rng(0)
  values = np.array([0.80, 0.84, 0.79])
  of_texts = 0.01 * rng.normal(size=(2000, 1))
  same = intervals.estimate_over_both(values, values + of_texts)
  low, high = same.ends(0.95)
  of_seeds = intervals.student(values)
  half = math.hypot(values.mean() - of_seeds.low, 1.96 * 0.01)
  # Seeds that are wrong on the same texts share none of the variance.
  assert (low, high) == pytest.approx(
    (values.mean() - half, values.mean() + half), abs=2e-3
  )
  # If they are wrong on other texts, the texts explain how they differ; the
  # interval is still as wide as that over seeds.
  draws = values + 0.05 * rng.normal(size=(2000, 3))
  own = intervals.estimate_over_both(values, draws)
  assert own.shared > own.over_seeds
  assert own.ends(0.95) == pytest.approx((of_seeds.low, of_seeds.high))
  both = intervals.of_seeds_and_texts(values, draws, np.ones(100))
  narrow = intervals.of_draws(
    values.mean(), draws.mean(1), np.ones(100), intervals.SHARE
  )
  assert both.low <= min(of_seeds.low, narrow.low)
  assert both.high >= max(of_seeds.high, narrow.high)
  # Two draws that are undefined do not count.
  undefined = np.vstack([values + of_texts, [[math.nan] * 3] * 2])
  assert intervals.estimate_over_both(values, undefined).ends(0.95) == (
    low, high
  )  # fmt: skip


def test_without_variance_over_texts_the_p_value_is_that_of_the_t_test():
  values = np.array([0.02, 0.05, 0.01, 0.03])
  draws = np.tile(values, (5000, 1))
  estimate = intervals.estimate_over_both(values, draws)
  expected = stats.ttest_1samp(values, 0).pvalue
  assert estimate.p_value() == pytest.approx(expected, abs=1e-4)


def test_the_bootstrap_is_that_of_scipy():
  values = np.random.default_rng(1).gamma(2.0, size=200)
  interval = intervals.of_texts(
    lambda weights: np.average(values, weights=weights),
    np.ones(200),
    intervals.UNBOUNDED,
    4000,
  )
  expected = stats.bootstrap(
    (values,), np.mean, n_resamples=4000, method='BCa', rng=0
  ).confidence_interval
  width = expected.high - expected.low
  assert interval.low == pytest.approx(expected.low, abs=0.05 * width)
  assert interval.high == pytest.approx(expected.high, abs=0.05 * width)


@pytest.mark.parametrize('is_multi_label', [False, True])
def test_every_metric_has_an_interval(is_multi_label, monkeypatch):
  monkeypatch.setattr(intervals, 'RESAMPLES', 200)
  scored = _scored(100, is_multi_label)
  by_name = intervals_of(scored, METRICS.keys() - {'semeval2010_f1'})
  values = compute(scored, METRICS.keys() - {'semeval2010_f1'})
  assert by_name.keys() == values.keys() and len(by_name) > 10
  for name, interval in by_name.items():
    least, most = METRICS[name].bounds
    assert least <= interval.low < values[name] < interval.high <= most, name
  assert by_name['accuracy'].method == 'Wilson over texts'
  assert by_name['macro_f1'].method == 'bootstrap over texts'


def test_a_draw_of_the_texts_is_the_metric_of_the_drawn_texts():
  scored, rng = _scored(40), np.random.default_rng(0)
  drawn = rng.integers(0, 40, 40)
  again = Scored(
    labels=scored.labels[drawn],
    predictions=scored.predictions[drawn],
    scores=scored.scores[drawn],
    probabilities=scored.probabilities[drawn],
    names=scored.names,
  )
  counts = np.bincount(drawn, minlength=40)
  names = METRICS.keys() - {'semeval2010_f1'}
  for name, value in compute(again, names).items():
    assert score_of(scored, name)(counts) == pytest.approx(value), name


def test_a_model_without_mistakes_is_not_certain():
  labels = np.arange(50) % 2
  scores = np.eye(2)[labels]
  scored = Scored(
    labels=labels, predictions=labels, scores=scores, probabilities=scores,
    positive=1, names=('a', 'b'),
  )  # fmt: skip
  by_name = intervals_of(scored, ['accuracy', 'macro_f1', 'mcc'])
  assert is_right(scored).all()
  low = intervals.wilson(50, 50).low
  assert by_name['accuracy'].low == low
  assert by_name['macro_f1'].low == pytest.approx(low)
  assert by_name['mcc'].low == pytest.approx(2 * low - 1)
  assert by_name['macro_f1'].high == 1


def test_weights_are_respected_by_the_bootstrap():
  weights = np.append(np.ones(100), np.zeros(100))
  whole, part = _scored(200, weights=weights), _scored(200)
  value = score_of(part, 'macro_f1')(weights)
  interval = intervals_of(whole, ['macro_f1'])['macro_f1']
  plain = intervals_of(part, ['macro_f1'])['macro_f1']
  assert interval.low < value < interval.high
  assert interval.high - interval.low > 1.2 * (plain.high - plain.low)


def test_an_undefined_metric_has_no_interval():
  scored = _scored(30)
  never = Scored(
    labels=np.minimum(scored.labels, 1),
    predictions=scored.predictions,
    scores=scored.scores,
    probabilities=scored.probabilities,
    names=scored.names,
  )
  interval = intervals_of(never, ['roc_auc'])['roc_auc']
  assert math.isnan(interval.low) and str(interval) == '–'
  with pytest.raises(ValueError, match='needs 3 seeds or more'):
    intervals.estimate_over_both(np.ones(2), np.ones((5, 2)))
