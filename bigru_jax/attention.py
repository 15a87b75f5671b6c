"""Poolings of encoder states into one vector by attention weights.

A pooling scores every position; the weights are the softmax of the scores over
valid positions and the context is the states' weighted mean. Scores, softmax
and weights are float32 whatever the type of the states.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp


def masked_softmax(scores_TxB, mask_TxB):
  """Softmax over the positions of each example where mask is True.

  Weights elsewhere are exactly zero; an example without any valid position (a
  row that only fills a batch up) has no weight at all.
  """
  scores = jnp.where(mask_TxB, scores_TxB.astype(jnp.float32), -jnp.inf)
  top = jnp.max(scores, axis=0, initial=-1e30)
  weights = jnp.exp(scores - jax.lax.stop_gradient(top))
  total = jnp.sum(weights, axis=0)
  return weights / jnp.maximum(total, 1e-30)


def additive_scores(h_FxTxB, kernel_FxA, bias_A, query_A):
  """u^T tanh(W h_t + b) (Bahdanau et al., 2015; Yang et al., 2016, eq. 5-6)."""
  _, steps, batch = h_FxTxB.shape
  # Plain matmuls: the gradient of an einsum over t and b transposes its arrays.
  h_FxN = h_FxTxB.reshape(-1, steps * batch)
  keys_AxN = jnp.tanh(kernel_FxA.T @ h_FxN + bias_A[:, None])
  return (query_A @ keys_AxN).reshape(steps, batch)


class Attention(nn.Module):
  """Pools states by learned weights.

  Attributes:
    kind: `additive` (Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473;
      Yang et al., 2016, https://aclanthology.org/N16-1174), `dot` (a learned
      query against the states, scaled as in Vaswani et al., 2017,
      https://arxiv.org/abs/1706.03762) or `mean` (uniform weights).
  """

  kind: str = 'additive'

  @nn.compact
  def __call__(self, h_BxTxF, mask_BxT):
    """Returns the contexts c_BxF and the weights alpha_BxT (float32)."""
    # Features first, as in gru.py: its output needs no transposition then.
    h_FxTxB = h_BxTxF.transpose(2, 1, 0)
    features, dtype = len(h_FxTxB), h_FxTxB.dtype
    normal = nn.initializers.normal(features**-0.5)
    if self.kind == 'additive':
      kernel = self.param(
        'kernel', nn.initializers.lecun_normal(), (features, features)
      )
      bias = self.param('bias', nn.initializers.zeros, (features,))
      query = self.param('query', normal, (features,))
      scores_TxB = additive_scores(
        h_FxTxB, kernel.astype(dtype), bias.astype(dtype), query.astype(dtype)
      )
    elif self.kind == 'dot':
      query = self.param('query', normal, (features,)).astype(dtype)
      scores_TxB = jnp.einsum('f,ftb->tb', query, h_FxTxB) * features**-0.5
    elif self.kind == 'mean':
      scores_TxB = jnp.zeros(h_FxTxB.shape[1:])
    else:
      raise ValueError(f'--attention: no pooling is called {self.kind!r}')
    alpha_TxB = masked_softmax(scores_TxB, mask_BxT.T)
    c_FxB = jnp.sum(alpha_TxB.astype(dtype) * h_FxTxB, axis=1)
    return c_FxB.T, alpha_TxB.T
