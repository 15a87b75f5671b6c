"""Poolings of encoder states into one vector by attention weights.

A pooling scores every position; the weights are the softmax of the scores over
valid positions and the context is the states' weighted mean. Scores, softmax
and weights are float32 whatever the type of the states.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp


def masked_softmax(scores_BxT, mask_BxT):
  """Softmax over the positions where mask is True.

  Weights elsewhere are exactly zero; a row without any valid position (a row
  that only fills a batch up) has no weight at all.
  """
  scores = jnp.where(mask_BxT, scores_BxT.astype(jnp.float32), -jnp.inf)
  top = jnp.max(scores, axis=-1, keepdims=True, initial=-1e30)
  weights = jnp.exp(scores - jax.lax.stop_gradient(top))
  total = jnp.sum(weights, axis=-1, keepdims=True)
  return weights / jnp.maximum(total, 1e-30)


def additive_scores(h_BxTxF, kernel_FxA, bias_A, query_A):
  """u^T tanh(W h_t + b) (Bahdanau et al., 2015; Yang et al., 2016, eq. 5-6)."""
  return jnp.tanh(h_BxTxF @ kernel_FxA + bias_A) @ query_A


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
    features = h_BxTxF.shape[-1]
    dtype = h_BxTxF.dtype
    normal = nn.initializers.normal(features**-0.5)
    if self.kind == 'additive':
      kernel = self.param(
        'kernel', nn.initializers.lecun_normal(), (features, features)
      )
      bias = self.param('bias', nn.initializers.zeros, (features,))
      query = self.param('query', normal, (features,))
      scores_BxT = additive_scores(
        h_BxTxF, kernel.astype(dtype), bias.astype(dtype), query.astype(dtype)
      )
    elif self.kind == 'dot':
      query = self.param('query', normal, (features,))
      scores_BxT = h_BxTxF @ query.astype(dtype) * features**-0.5
    elif self.kind == 'mean':
      scores_BxT = jnp.zeros(h_BxTxF.shape[:2])
    else:
      raise ValueError(f'--attention: no pooling is called {self.kind!r}')
    alpha_BxT = masked_softmax(scores_BxT, mask_BxT)
    c_BxF = jnp.einsum('bt,btf->bf', alpha_BxT.astype(dtype), h_BxTxF)
    return c_BxF, alpha_BxT
