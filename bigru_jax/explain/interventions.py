"""Interventions: other attention weights over the same states of a text.

The logits are an affine function of the attention weights, so the model runs
only once per text, and further weights cost little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from bigru_jax.explain.positions import Batch, real_tokens
from bigru_jax.explain.predictions import TrainedModel, total_variation
from bigru_jax.runtime.precision import single_precision

PERMUTATIONS = 100
# Constants of the adversarial search, from Jain & Wallace, 2019, section 4.2.2,
# and their program.
EPSILON = 0.05
STARTS = 5
ITERATIONS = 500
_SEARCH_EPSILON = 0.01  # The search's bound, so that its end is within EPSILON.
_PENALTY = 500.0
_LEARNING_RATE = 0.01
_START_DEVIATION = 3.0


class Adversarial(NamedTuple):
  """The weights furthest from the model's that do not change its output.

  Attributes:
    weights: [B, K, T].
    divergence: [B], the Jensen-Shannon divergence from the model's weights in
      nats, averaged over the heads; at most log 2.
    change: [B], the total variation distance between the outputs; at most
      epsilon.
  """

  weights: jax.Array
  divergence: jax.Array
  change: jax.Array


@single_precision()
def with_weights(
  trained: TrainedModel, batch: Batch
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
  """Returns the model's weights and a function from weights to probabilities.

  Returns:
    The weights [B, K, T], and a function from N such weights, [N, B, K, T], to
    the probabilities [N, B, C].

  Raises:
    ValueError: the model's pooling has no weights.
  """
  weights_BxKxT = trained.attention_weights(batch)

  def logits_of(weights):
    logits_BxC = trained.outputs(batch, attention={'words': weights}).logits
    return logits_BxC.sum(0), logits_BxC  # Each text depends on itself alone.

  slopes_CxBxKxT, logits_BxC = jax.jacrev(logits_of, has_aux=True)(
    weights_BxKxT
  )

  def probabilities_of(changed_NxBxKxT):
    changes_NxBxC = jnp.einsum(
      'nbkt,cbkt->nbc', changed_NxBxKxT - weights_BxKxT, slopes_CxBxKxT
    )
    return trained.task.probabilities(logits_BxC + changes_NxBxC)

  return weights_BxKxT, probabilities_of


def uniform_weights(batch: Batch, heads: int = 1) -> jax.Array:
  """Returns equal weights [B, K, T] for all tokens of a text."""
  mask_BxT = real_tokens(batch)
  weights_BxT = mask_BxT / jnp.maximum(mask_BxT.sum(-1, keepdims=True), 1)
  return jnp.repeat(weights_BxT[:, None], heads, axis=1)


def permuted_weights(
  weights_BxKxT: jax.Array, batch: Batch, key: jax.Array
) -> jax.Array:
  """Permutes the weights of a text's tokens, in the same way for all heads."""
  mask_BxT = real_tokens(batch)
  # Padding stays at the end.
  ranks_BxT = jnp.where(mask_BxT, jax.random.uniform(key, mask_BxT.shape), 2.0)
  order_BxT = jnp.argsort(ranks_BxT, axis=-1)
  return jnp.take_along_axis(weights_BxKxT, order_BxT[:, None], axis=-1)


@single_precision()
def permutation_change(
  trained: TrainedModel,
  batch: Batch,
  key: jax.Array,
  permutations: int = PERMUTATIONS,
) -> jax.Array:
  """Returns the median change [B] of the output when weights are permuted.

    median_i TVD(y(a), y(permutation_i(a)))

  Jain & Wallace, 2019, https://aclanthology.org/N19-1357, algorithm 2.

  Args:
    trained, batch: the model and texts.
    key: the random key of the permutations.
    permutations: the number of permutations.
  """
  weights_BxKxT, probabilities_of = with_weights(trained, batch)
  own_BxC = probabilities_of(weights_BxKxT[None])[0]

  def change(key):
    permuted_BxKxT = permuted_weights(weights_BxKxT, batch, key)
    return total_variation(own_BxC, probabilities_of(permuted_BxKxT[None])[0])

  changes = jax.lax.map(change, jax.random.split(key, permutations))
  return jnp.median(changes, axis=0)


@single_precision()
def uniform_change(
  trained: TrainedModel, batch: Batch
) -> tuple[jax.Array, jax.Array]:
  """Measures how uniform weights change the output, without retraining.

  Returns:
    The total variation distance [B] from the model's output, and whether the
    predicted class changes, bool [B].
  """
  weights_BxKxT, probabilities_of = with_weights(trained, batch)
  uniform = uniform_weights(batch, weights_BxKxT.shape[1])
  own_BxC, other_BxC = probabilities_of(jnp.stack([weights_BxKxT, uniform]))
  flipped_B = trained.classes(own_BxC) != trained.classes(other_BxC)
  return total_variation(own_BxC, other_BxC), flipped_B


@single_precision()
def adversarial_weights(
  trained: TrainedModel,
  batch: Batch,
  key: jax.Array,
  epsilon: float = EPSILON,
  starts: int = STARTS,
  iterations: int = ITERATIONS,
) -> Adversarial:
  """Searches weights as different as possible that keep the output.

    maximise over a_1 ... a_k
      sum_i JSD(a_i, a) + 1 / (k (k - 1)) sum_{i<j} JSD(a_i, a_j)
    subject to TVD(y(a_i), y(a)) <= epsilon for all i

  Jain & Wallace, 2019, https://aclanthology.org/N19-1357, section 4.2.2: any
  excess over the constraint is penalized by a factor of 500, the weights are
  the softmax of parameters that AMSGrad optimizes, and the starts are random.
  As in their program, the search uses min(epsilon, 0.01), and the result is the
  best of the k weights and the model's own that meet epsilon.

  Args:
    trained, batch: the model and texts.
    key: the random key of the starts.
    epsilon: the largest change of the output.
    starts: k, the number of starts.
    iterations: the number of steps of the optimizer.
  """
  weights_BxKxT, probabilities_of = with_weights(trained, batch)
  own_BxC = probabilities_of(weights_BxKxT[None])[0]
  mask_Bx1xT = real_tokens(batch)[:, None]
  within = min(epsilon, _SEARCH_EPSILON)

  def softmax(scores_NxBxKxT):
    shifted = jnp.where(mask_Bx1xT, scores_NxBxKxT, -1e30)
    return jnp.where(mask_Bx1xT, jax.nn.softmax(shifted), 0)

  def objective(scores_NxBxKxT):
    weights = softmax(scores_NxBxKxT)
    changes = total_variation(probabilities_of(weights), own_BxC)
    loss = _PENALTY * jax.nn.relu(changes - within).sum()
    loss -= jensen_shannon(weights, weights_BxKxT).sum()
    if starts > 1:  # The sum counts each pair twice.
      pairs = jensen_shannon(weights[:, None], weights[None]).sum()
      loss -= pairs / (2 * starts * (starts - 1))
    return loss

  optimizer = optax.amsgrad(_LEARNING_RATE)

  def iterate(_, carry):
    scores, state = carry
    updates, state = optimizer.update(jax.grad(objective)(scores), state)
    return optax.apply_updates(scores, updates), state

  shape = starts, *weights_BxKxT.shape
  scores = _START_DEVIATION * jax.random.normal(key, shape)
  carry = scores, optimizer.init(scores)
  scores, _ = jax.lax.fori_loop(0, iterations, iterate, carry)
  candidates = jnp.concatenate([softmax(scores), weights_BxKxT[None]])
  changes = total_variation(probabilities_of(candidates), own_BxC)
  divergences = jensen_shannon(candidates, weights_BxKxT)
  allowed = (changes <= epsilon).at[-1].set(True)
  best_B = jnp.where(allowed, divergences, -1).argmax(0)
  texts_B = jnp.arange(len(best_B))
  return Adversarial(
    candidates[best_B, texts_B],
    divergences[best_B, texts_B],
    changes[best_B, texts_B],
  )


def jensen_shannon(p: jax.Array, q: jax.Array) -> jax.Array:
  """JSD(p, q) = KL(p || m) / 2 + KL(q || m) / 2 with m = (p + q) / 2, in nats.

  Lin, 1991, https://doi.org/10.1109/18.61115.

  Args:
    p, q: weights [..., K, T] that sum to one over the last axis.

  Returns:
    The mean over the K heads, [...].
  """
  m = (p + q) / 2

  def divergence(x):
    positive = x > 0
    ratio = jnp.where(positive, x, 1) / jnp.where(positive, m, 1)
    return jnp.where(positive, x * jnp.log(ratio), 0).sum(-1)

  return ((divergence(p) + divergence(q)) / 2).mean(-1)
