"""Paired tests beside those of SciPy and of published examples."""

import math

import numpy as np
import pytest
from scipy import stats

from bigru_jax.statistics import intervals, paired


@pytest.mark.parametrize('counts', [(0, 0), (2, 10), (10, 2), (7, 7), (60, 90)])
def test_mcnemar_is_the_exact_binomial_test(counts):
  expected = (
    stats.binomtest(counts[0], sum(counts)).pvalue if any(counts) else 1
  )
  assert paired.mcnemar(*counts) == pytest.approx(expected)


def test_the_effect_size_of_mcnemar_is_a_share_minus_one_half():
  assert paired.cohen_g(30, 10) == 0.25 and paired.cohen_g(10, 30) == -0.25
  assert math.isnan(paired.cohen_g(0, 0))


@pytest.mark.parametrize('p_first, p_second', [(0.1, 0.05), (0.02, 0.02)])
def test_the_difference_of_shares_holds_for_few_texts(p_first, p_second):
  n = 40
  cells = stats.multinomial(n, [p_first, p_second, 1 - p_first - p_second])
  coverage = 0.0
  for first in range(n + 1):
    for second in range(n + 1 - first):
      interval = paired.difference_of_shares(first, second, n)
      if interval.low <= p_first - p_second <= interval.high:
        coverage += cells.pmf([first, second, n - first - second])
  assert 0.94 < coverage < 0.999
  assert paired.difference_of_shares(0, 0, 50).low < 0
  assert paired.difference_of_shares(50, 0, 50).high <= 1


def test_over_seeds_the_tests_are_those_of_scipy():
  differences = [0.02, 0.05, -0.01, 0.03, 0.04, 0.015, 0.06]
  tests = paired.over_seeds(differences)
  t_test = stats.ttest_1samp(differences, 0)
  assert tests.t_test == pytest.approx(t_test.pvalue)
  assert tests.wilcoxon == pytest.approx(stats.wilcoxon(differences).pvalue)
  assert tests.effect_size * math.sqrt(7) == pytest.approx(t_test.statistic)


@pytest.mark.parametrize('n', range(1, 9))
def test_wilcoxon_is_given_where_it_can_reach_five_percent(n):
  differences = np.arange(1, n + 1) / 100
  p_value = paired.over_seeds(differences).wilcoxon
  assert (p_value is None) == (stats.wilcoxon(differences).pvalue > 0.05)
  # Differences of 0 say nothing.
  padded = np.append(differences, np.zeros(3))
  if n + 3 >= paired.MIN_WILCOXON:
    assert (paired.over_seeds(padded).wilcoxon is None) == (n < 6)


def test_equal_models_do_not_differ():
  tests = paired.over_seeds([0.0] * 6)
  assert tests.t_test is None and tests.wilcoxon == 1
  assert math.isnan(tests.effect_size)
  assert paired.over_seeds([0.1]).t_test is None
  none = intervals.Estimate(value=0.0, draws_D=np.zeros(10))
  assert none.p_value() == 1


def test_holm_is_as_published_and_keeps_the_order():
  # Holm, 1979: each is compared with 0.05 / (n - k + 1).
  p_values = [0.01, 0.04, 0.03, 0.005]
  assert paired.holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
  assert paired.holm([0.9, 0.8]) == [1.0, 1.0]
  assert paired.holm([]) == []
  rng = np.random.default_rng(0)
  for values in rng.random((20, 5)) ** 3:
    expected = _holm_by_rejection(values)
    corrected = np.array(paired.holm(values.tolist()))
    assert ((corrected <= 0.05) == expected).all()


def _holm_by_rejection(p_values):
  """Rejects from the smallest on, until one is not below its own level."""
  rejected = np.zeros(len(p_values), bool)
  for k, i in enumerate(np.argsort(p_values)):
    if p_values[i] > 0.05 / (len(p_values) - k):
      break
    rejected[i] = True
  return rejected


def test_the_bootstraps_p_value_and_interval_agree():
  rng = np.random.default_rng(0)
  for shift in np.linspace(0, 0.2, 6):
    first, second = rng.random((2, 80)) < [[0.7 + shift], [0.7]]
    difference = first * 1.0 - second
    draws = np.array([
      np.average(difference, weights=x)
      for x in intervals.resampled_weights(np.ones(80), 2000, 0)
    ])  # fmt: skip
    value = difference.mean()
    interval = intervals.of_draws(
      value, draws, np.ones(80), intervals.UNBOUNDED
    )
    excludes = not interval.low <= 0 <= interval.high
    p_value = intervals.Estimate(value=value, draws_D=draws).p_value()
    assert excludes == (p_value < 0.05)
    expected = stats.ttest_1samp(difference, 0).pvalue
    assert p_value == pytest.approx(expected, abs=0.06)
