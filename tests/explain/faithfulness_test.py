"""The tests of faithfulness, against counts and erasures by hand."""

import itertools

import jax
import numpy as np
import pytest
from scipy import stats
from small_models import TEXTS, make_batch, make_model, probabilities_of

from bigru_jax.config import Config
from bigru_jax.explain import faithfulness, predictions


def _tau_b(a, b):
  signs = [
    (np.sign(a[i] - a[j]), np.sign(b[i] - b[j]))
    for i, j in itertools.combinations(range(len(a)), 2)
  ]
  first, second = np.array(signs).T
  return (first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum())


def test_kendall_tau_counts_pairs():
  rng = np.random.default_rng(0)
  first = [rng.integers(0, 6, n).astype(float) for n in (5, 12, 30)]
  second = [a + rng.integers(0, 6, len(a)) for a in first]
  taus, p_values = faithfulness.kendall_tau(first, second)
  np.testing.assert_allclose(taus, list(map(_tau_b, first, second)))
  assert p_values[2] < 0.05 < p_values[0]


def test_texts_without_a_rank_correlation_are_left_out_of_the_mean():
  taus, _ = faithfulness.kendall_tau(
    [np.ones(1), np.ones(4), np.arange(4.0)],
    [np.ones(1), np.arange(4.0), np.arange(4.0)],
  )
  estimate = faithfulness.mean_estimate(taus)
  assert (estimate['value'], estimate['n']) == (1, 1)
  assert faithfulness.mean_estimate([float('nan')]) == {
    'value': None, 'low': None, 'high': None, 'n': 0,
  }  # fmt: skip


def test_the_interval_of_a_share_is_wilsons_and_stays_within_0_to_1():
  estimate = faithfulness.mean_estimate([True] * 19 + [False])
  expected = stats.binomtest(19, 20).proportion_ci(method='wilson')
  assert (estimate['low'], estimate['high']) == pytest.approx(tuple(expected))
  everything = faithfulness.mean_estimate(np.ones(20))
  assert everything['low'] < 0.9 and everything['high'] == 1
  # A mean of other values from 0 to 1, too.
  estimate = faithfulness.mean_estimate([0.0, 0.0, 0.9, 0.0])
  assert estimate['low'] == 0 and 0.225 < estimate['high'] < 1


def test_the_interval_covers_the_mean():
  rng = np.random.default_rng(0)
  estimates = [
    faithfulness.mean_estimate(rng.normal(size=50)) for _ in range(400)
  ]
  covered = np.mean([x['low'] < 0 < x['high'] for x in estimates])
  assert 0.91 < covered < 0.98


def test_erasure_removes_the_tokens_of_the_largest_weights():
  trained = make_model()
  batch = make_batch()
  classes = np.array([0, 1, 1])
  weights = np.random.default_rng(0).normal(size=(2, 3, 6))
  erasure = jax.jit(faithfulness.erasure, static_argnames='shares')
  found = erasure(trained, batch, classes, weights, shares=(0.01, 0.5))
  for m, i in itertools.product(range(2), range(3)):
    text = TEXTS[i]
    order = np.argsort(-weights[m, i, : len(text)])
    drops = []
    for count in (1, -(-len(text) // 2)):
      top = set(order[:count].tolist())
      parts = [
        text,
        [w for t, w in enumerate(text) if t not in top],
        [w for t, w in enumerate(text) if t in top],
      ]
      p = probabilities_of(trained, make_batch(parts))
      p = p[:, classes[i]]
      drops.append((p[0] - p[1], p[0] - p[2]))
    expected = np.mean(drops, axis=0)
    np.testing.assert_allclose([x[m, i] for x in found], expected, atol=1e-5)


def test_precision_and_recall_of_the_largest_weights():
  weights = [np.array([0.1, 0.7, 0.2]), np.array([0.3]), np.array([3.0, 1, 2])]
  deciding = [{1, 2}, {0}, {1}]
  precision, recall = faithfulness.agreement(weights, deciding, k=2)
  assert precision.tolist() == [1, 1, 0]
  assert recall.tolist() == [1, 1, 0]
  precision, recall = faithfulness.agreement(weights, deciding, k=1)
  assert precision.tolist() == [1, 1, 0]
  assert recall.tolist() == [0.5, 1, 0]


@pytest.mark.parametrize(
  'options',
  [
    {'task': 'multi_label'},
    {'model': 'hierarchical'},
    {'pooling': 'label_wise'},
  ],
)
def test_a_run_whose_attention_cannot_be_tested_is_named(options):
  ((field, value),) = options.items()
  with pytest.raises(ValueError, match=f'{field}={value}: the tests of'):
    predictions.check_supported(Config(**options))
