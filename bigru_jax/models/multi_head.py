"""Poolings with several heads, each of which has weights of its own."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.ops.attention import masked_softmax


class MultiHead(nn.Module):
  """K learned queries, each against keys and values of its own.

  softmax(q_k^T K_k h_t / sqrt(F/K)) weighs V_k h_t, and the K contexts are
  concatenated: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section
  3.2.2, with one query per head for the whole sequence. The dense layer that
  follows stands for the output projection.

  Attributes:
    num_heads: K, which divides F.
  """

  num_heads: int = 4

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Returns the context c_BxF and the weights [B, K, T]."""
    features, heads = h_BxTxF.shape[-1], self.num_heads
    if features % heads:
      raise ValueError(
        f'num_heads={heads} does not divide the {features} features'
      )
    width = features // heads
    shape = heads, features, width
    init = nn.initializers.lecun_normal(batch_axis=0)
    key_kernel = self.param('key_kernel', init, shape, jnp.float32)
    value_kernel = self.param('value_kernel', init, shape, jnp.float32)
    query_init = nn.initializers.normal(width**-0.5)
    query = self.param('query', query_init, (heads, width), jnp.float32)
    dtype = h_BxTxF.dtype
    # A head's query and key kernel make one vector: q^T (K h) = (K^T q)^T h.
    vectors_FxK = jnp.einsum('kfw,kw->fk', key_kernel, query) * width**-0.5
    scores_BxTxK = h_BxTxF @ vectors_FxK.astype(dtype)
    means_BxKxF, weights_BxKxT = _means(
      h_BxTxF, mask_BxT, scores_BxTxK, weights_BxKxT
    )
    # The mean of the values is the value of the mean.
    contexts = jnp.einsum(
      'bkf,kfw->bkw', means_BxKxF, value_kernel.astype(dtype)
    )
    return contexts.reshape(h_BxTxF.shape[0], features), weights_BxKxT


class Structured(nn.Module):
  """K hops of additive attention: A = softmax(U tanh(W h_t)), and A h.

  Lin et al., 2017, https://arxiv.org/abs/1703.03130, equations 6 and 7. Their
  penalty on hops that overlap is `attention_penalty`.

  Attributes:
    num_heads: K, the hops.
  """

  num_heads: int = 4

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Returns the contexts of all hops [B, K * F] and the weights [B, K, T]."""
    features, dtype = h_BxTxF.shape[-1], h_BxTxF.dtype
    init = nn.initializers.lecun_normal()
    kernel = self.param('kernel', init, (features, features), jnp.float32)
    hops = self.param(
      'hops_kernel', init, (features, self.num_heads), jnp.float32
    )
    scores_BxTxK = jnp.tanh(h_BxTxF @ kernel.astype(dtype))
    scores_BxTxK @= hops.astype(dtype)
    contexts, weights_BxKxT = _means(
      h_BxTxF, mask_BxT, scores_BxTxK, weights_BxKxT
    )
    return contexts.reshape(h_BxTxF.shape[0], -1), weights_BxKxT


def _means(h_BxTxF, mask_BxT, scores_BxTxK, weights_BxKxT):
  """The means of the states, [B, K, F], by each head's weights."""
  if weights_BxKxT is None:
    weights_BxKxT = masked_softmax(scores_BxTxK.mT, mask_BxT[:, None])
  return weights_BxKxT.astype(h_BxTxF.dtype) @ h_BxTxF, weights_BxKxT
