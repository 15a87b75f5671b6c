"""The likelihood of words under a softmax over a vocabulary, or a sample of it.

The log-likelihood of a word w, given a vector h, is

  log p(w | h) = s_w - log sum_v exp(s_v),  s_v = h . x_v + b_v

In training the sum runs over w itself and a sample v_1 ... v_S, drawn with
replacement from q (Jean et al., 2015, https://aclanthology.org/P15-1001):

  exp(s_w) + sum_(j: v_j != w) exp(s_(v_j) - log(S q_(v_j)))

S q_v is how often v is expected in the sample, so the expectation of this sum
is the exact one. Only the scores of a block of positions exist at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# The number of scores that exist at a time, 32 MiB in float32.
_BLOCK = 2**23
_POWER = 0.75  # Of the counts of words, as in word2vec.
_MASKED = -1e30  # A finite logarithm of 0, whose derivative is 0, too.


class Candidates(NamedTuple):
  """The words that the sum of a softmax runs over, beside the true word.

  Attributes:
    ids_S: int32, the ids.
    log_counts_S: the logarithm of how often each is expected.
  """

  ids_S: jax.Array
  log_counts_S: jax.Array


def make_proposal(counts_V: np.ndarray) -> np.ndarray:
  """Returns the distribution function [V] of the words of a sample, float32.

  A word that occurs n times has a probability proportional to (n + 1)^0.75
  (Mikolov et al., 2013, https://arxiv.org/abs/1310.4546, section 2.2; here the
  unknown word is drawn as well, even if training has none), and padding 0.

  Args:
    counts_V: how often each id occurs in training; the first one is padding.
  """
  powers_V = (counts_V + 1.0) ** _POWER
  powers_V[0] = 0
  sums_V = np.cumsum(powers_V)
  return (sums_V / sums_V[-1]).astype(np.float32)


def draw(key: jax.Array, proposal_V: jax.Array, num_words: int) -> Candidates:
  """Draws S words with replacement.

  The S draws are stratified, one from each S-th of the distribution, which
  keeps the expected counts and lowers their variance.

  Args:
    key: the key of the draw.
    proposal_V: the result of `make_proposal`.
    num_words: S.
  """
  offsets_S = jax.random.uniform(key, (num_words,))
  points_S = (jnp.arange(num_words) + offsets_S) / num_words
  # Rounding may give 1, above which no word is.
  points_S = jnp.minimum(points_S, np.nextafter(np.float32(1), np.float32(0)))
  ids_S = jnp.searchsorted(proposal_V, points_S, side='right')
  # A point is below the end of its word, so each share is above 0.
  shares_S = proposal_V[ids_S] - proposal_V[ids_S - 1]
  return Candidates(ids_S.astype(jnp.int32), jnp.log(num_words * shares_S))


def whole_vocabulary(size: int) -> Candidates:
  """Returns every word once, without padding: the softmax is exact."""
  return Candidates(jnp.arange(1, size), jnp.zeros(size - 1))


def log_likelihoods(
  h_NxE: jax.Array,
  targets_N: jax.Array,
  target_vectors_NxE: jax.Array,
  target_biases_N: jax.Array,
  candidates: Candidates,
  vectors_SxE: jax.Array,
  biases_S: jax.Array,
) -> jax.Array:
  """Returns the log-likelihoods [N] of words; see the module.

  The scores are computed again for the gradient, in the same blocks.

  Args:
    h_NxE: the vectors that predict.
    targets_N: the ids of the true words.
    target_vectors_NxE, target_biases_N: their vectors and biases.
    candidates: the words of the sum.
    vectors_SxE, biases_S: their vectors and biases.
  """
  offsets_Sx1 = (biases_S - candidates.log_counts_S)[:, None]

  @jax.checkpoint
  def of_block(block):
    h_PxE, targets_P, target_scores_P = block
    # On a CPU, XLA vectorizes sums over the first axis, but not over the last.
    scores_SxP = vectors_SxE @ h_PxE.T + offsets_Sx1
    is_target_SxP = candidates.ids_S[:, None] == targets_P
    rest_P = jax.nn.logsumexp(
      jnp.where(is_target_SxP, _MASKED, scores_SxP), axis=0
    )
    return target_scores_P - jnp.logaddexp(target_scores_P, rest_P)

  target_scores_N = jnp.sum(h_NxE * target_vectors_NxE, -1) + target_biases_N
  positions, count = len(h_NxE), len(vectors_SxE)
  num_blocks = -(-positions * count // _BLOCK) or 1
  size = -(-positions // num_blocks)

  def blocks(x):
    padding = [(0, num_blocks * size - positions)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(num_blocks, size, *x.shape[1:])

  arrays = h_NxE, targets_N, target_scores_N
  return jax.lax.map(of_block, jax.tree.map(blocks, arrays)).ravel()[:positions]
