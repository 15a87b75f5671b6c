"""Softmax over valid positions, and the score of additive attention."""

import jax
import jax.numpy as jnp


def masked_softmax(
  scores: jax.Array, mask: jax.Array, axis: int = -1
) -> jax.Array:
  """Softmax along an axis over the positions where the mask is True.

  Example:
    >>> masked_softmax(jnp.array([0.0, 0.0, 9.0]),
    ...                jnp.array([True, True, False])).tolist()
    [0.5, 0.5, 0.0]

  Args:
    scores: any array; it is computed in float32.
    mask: bool, broadcast against the scores.
    axis: the axis of the positions.

  Returns:
    float32 weights. They are exactly zero where the mask is False, and sum to
    one, or to zero where no position is valid (a padding example).
  """
  scores = jnp.where(mask, scores.astype(jnp.float32), -jnp.inf)
  top = jnp.max(scores, axis=axis, keepdims=True, initial=-1e30)
  weights = jnp.exp(scores - jax.lax.stop_gradient(top))
  total = jnp.sum(weights, axis=axis, keepdims=True)
  return weights / jnp.maximum(total, 1e-30)


def additive_scores(
  h_BxTxF: jax.Array,
  kernel_FxA: jax.Array,
  bias_A: jax.Array,
  query_A: jax.Array,
) -> jax.Array:
  """The scores u^T tanh(W h_t + b) as [B, T].

  Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473; in this form Yang et
  al., 2016, https://aclanthology.org/N16-1174, equations 5 and 6.
  """
  return jnp.tanh(h_BxTxF @ kernel_FxA + bias_A) @ query_A
