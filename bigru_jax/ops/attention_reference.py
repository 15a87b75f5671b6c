"""Softmax over valid positions, and additive attention in plain JAX."""

import jax
import jax.numpy as jnp


def masked_softmax(
  scores: jax.Array, mask: jax.Array, axis: int = -1
) -> jax.Array:
  """Computes the softmax along an axis over positions where the mask is True.

  Example:
    >>> masked_softmax(jnp.array([0.0, 0.0, 9.0]),
    ...                jnp.array([True, True, False])).tolist()
    [0.5, 0.5, 0.0]

  Args:
    scores: any array; the softmax is computed in float32.
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


def additive_attention(
  h_BxTxF: jax.Array,
  mask_BxT: jax.Array,
  kernel_FxA: jax.Array,
  bias_A: jax.Array,
  query_A: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """See `attention.additive_attention`."""
  scores_BxT = jnp.tanh(h_BxTxF @ kernel_FxA + bias_A) @ query_A
  weights_BxT = masked_softmax(scores_BxT, mask_BxT)
  return weighted_mean(h_BxTxF, weights_BxT), weights_BxT


def weighted_mean(h_BxTxF: jax.Array, weights_BxT: jax.Array) -> jax.Array:
  """Returns the mean [B, F] of the states by weights that sum to one."""
  return jnp.sum(weights_BxT[..., None].astype(h_BxTxF.dtype) * h_BxTxF, axis=1)
