"""The softmax over a vocabulary, against optax, and over a sample of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigru_jax.ops import sampled_softmax
from bigru_jax.ops.sampled_softmax import (
  Candidates,
  draw,
  log_likelihoods,
  make_proposal,
  whole_vocabulary,
)

N, E, V = 7, 5, 30


@pytest.fixture(autouse=True)
def in_float64():
  with jax.enable_x64(True):
    yield


def _arrays():
  rng = np.random.default_rng(0)
  params = {
    'h': jnp.array(rng.normal(size=(N, E))),
    'table': jnp.array(rng.normal(size=(V, E))),
    'bias': jnp.array(rng.normal(size=V)),
  }
  targets = jnp.array(rng.integers(1, V, N))
  return params, targets


def _log_likelihoods(params, targets, candidates):
  table, bias = params['table'], params['bias']
  ids = candidates.ids_S
  return log_likelihoods(
    params['h'], targets, table[targets], bias[targets], candidates,
    table[ids], bias[ids],
  )  # fmt: skip


def _value_and_grad(function):
  """The values, and the gradient of a sum of them with different weights."""
  params, targets = _arrays()
  weights = jnp.linspace(1, 2, N)
  grads = jax.grad(lambda p: weights @ function(p, targets))(params)
  return function(params, targets), grads


@pytest.mark.parametrize('block', [V, 3 * V, 100 * V])
def test_the_whole_vocabulary_gives_the_softmax_of_optax(monkeypatch, block):
  def by_optax(params, targets):
    scores = params['h'] @ params['table'].T + params['bias']
    scores = scores.at[:, 0].set(-jnp.inf)  # Padding is no word.
    return -optax.softmax_cross_entropy_with_integer_labels(scores, targets)

  monkeypatch.setattr(sampled_softmax, '_BLOCK', block)
  actual, expected = jax.jit(
    lambda: (
      _value_and_grad(lambda p, t: _log_likelihoods(p, t, whole_vocabulary(V))),
      _value_and_grad(by_optax),
    )
  )()
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12),
    actual,
    expected,
  )


def test_a_true_word_in_the_sample_counts_once():
  params, targets = _arrays()
  ids = jnp.array([4, int(targets[0]), 4])
  counts = np.array([0.5, 2.0, 0.5])
  candidates = Candidates(ids, jnp.log(counts))
  actual = _log_likelihoods(params, targets, candidates)
  scores = np.array(params['h'] @ params['table'].T + params['bias'])
  for n, target in enumerate(np.array(targets)):
    total = np.exp(scores[n, target])
    for word, count in zip(np.array(ids), counts):
      if word != target:
        total += np.exp(scores[n, word]) / count
    expected = scores[n, target] - np.log(total)
    np.testing.assert_allclose(actual[n], expected, rtol=1e-6)


def test_more_sampled_words_come_closer_to_the_softmax():
  proposal = jnp.array(make_proposal(np.arange(V)))
  of_candidates = jax.jit(
    lambda candidates: _value_and_grad(
      lambda p, t: _log_likelihoods(p, t, candidates)
    )
  )
  exact = of_candidates(whole_vocabulary(V))
  errors = []
  for num_words in (10, 1_000, 100_000):
    candidates = draw(jax.random.key(1), proposal, num_words)
    sampled = of_candidates(candidates)
    pairs = zip(jax.tree.leaves(sampled), jax.tree.leaves(exact))
    errors.append(max(float(jnp.abs(x - y).max()) for x, y in pairs))
  assert errors[0] > 10 * errors[1] > 100 * errors[2], errors


def test_the_sum_over_a_sample_has_the_right_expectation():
  proposal = jnp.array(make_proposal(np.arange(V)))
  params, targets = _arrays()
  scores = params['h'] @ params['table'].T + params['bias']
  of_targets = scores[jnp.arange(N), targets]

  def sums(key):
    sample = draw(key, proposal, 8)
    return jnp.exp(of_targets - _log_likelihoods(params, targets, sample))

  of_keys = jax.lax.map(sums, jax.random.split(jax.random.key(2), 4000))
  error = of_keys.std(0) / np.sqrt(len(of_keys))
  expected = jnp.exp(scores[:, 1:]).sum(-1)
  np.testing.assert_array_less(jnp.abs(of_keys.mean(0) - expected), 4 * error)


def test_words_are_drawn_by_their_counts():
  counts = np.array([5, 0, 100, 1, 30])
  powers = (counts[1:] + 1) ** 0.75
  proposal = jnp.array(make_proposal(counts))
  candidates = draw(jax.random.key(0), proposal, 10_000)
  drawn = np.bincount(candidates.ids_S, minlength=5)
  expected = 10_000 * powers / powers.sum()
  assert drawn[0] == 0  # Padding is never drawn.
  np.testing.assert_allclose(drawn[1:], expected, atol=1.5)
  for word, log_count in zip(*map(np.array, candidates)):
    np.testing.assert_allclose(np.exp(log_count), expected[word - 1], rtol=1e-4)


def test_a_sample_of_few_words_among_many_is_finite():
  """Rounding the distribution of many words to float32 loses no draw."""
  proposal = jnp.array(make_proposal(1e6 / np.arange(1, 200_001)))
  candidates = draw(jax.random.key(0), proposal, 4096)
  assert np.isfinite(candidates.log_counts_S).all()
  assert candidates.ids_S.min() > 0 and candidates.ids_S.max() < 200_000


def test_no_array_has_the_scores_of_all_words():
  positions, words, size = 4096, 50_000, 8
  with jax.enable_x64(False):

    def loss(h_NxE, table_VxE):
      candidates = whole_vocabulary(words)
      zeros = jnp.zeros(positions, int)
      vectors_SxE = table_VxE[candidates.ids_S]
      return log_likelihoods(
        h_NxE, zeros, h_NxE, zeros, candidates, vectors_SxE, vectors_SxE[:, 0]
      ).sum()

    compiled = (
      jax.jit(jax.grad(loss, argnums=(0, 1)))
      .lower(jnp.zeros((positions, size)), jnp.zeros((words, size)))
      .compile()
    )
  of_all_scores = 4 * positions * words
  assert compiled.memory_analysis().temp_size_in_bytes < of_all_scores / 4
