"""The poolings as Flax modules, which turn a sequence of states into a vector.

Each takes the states h_BxTxF, a mask, and optional weights to use instead of
its own. It returns the context, and the weights [B, K, T] of its K attention
heads in float32, zero at padding, or None if the pooling has no weights.
`pooling.POOLINGS` lists their properties.
"""

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.ops.attention import (
  additive_attention,
  masked_softmax,
  weighted_mean,
)

Weights = jax.Array | None
_LECUN, _ZEROS = nn.initializers.lecun_normal(), nn.initializers.zeros


class Additive(nn.Module):
  """Additive attention: the softmax of u^T tanh(W h_t + b).

  Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473; Yang et al., 2016,
  https://aclanthology.org/N16-1174.

  Attributes:
    implementation: see `ops.attention.additive_attention`.
  """

  implementation: str | None = None

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the context c_BxF and the weights [B, 1, T]."""
    features = h_BxTxF.shape[-1]
    kernel = param(self, 'kernel', _LECUN, features, features)
    bias = param(self, 'bias', _ZEROS, features)
    query = param(self, 'query', query_init(features), features)
    if weights_BxKxT is not None:
      return weighted_mean(h_BxTxF, weights_BxKxT[:, 0]), weights_BxKxT
    params = (p.astype(h_BxTxF.dtype) for p in (kernel, bias, query))
    context_BxF, weights_BxT = additive_attention(
      h_BxTxF, mask_BxT, *params, implementation=self.implementation
    )
    return context_BxF, weights_BxT[:, None]


class Dot(nn.Module):
  """Dot-product attention: the softmax of u^T h_t / sqrt(F).

  The scale is that of Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
  """

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the context c_BxF and the weights [B, 1, T]."""
    features = h_BxTxF.shape[-1]
    query = param(self, 'query', query_init(features), features)
    scores_BxT = h_BxTxF @ query.astype(h_BxTxF.dtype) * features**-0.5
    return pool_by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT)


class MultiHead(nn.Module):
  """Multi-head attention: K learned queries, each with its own keys and values.

  softmax(q_k^T K_k h_t / sqrt(F/K)) weighs V_k h_t, and the K contexts are
  concatenated: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section
  3.2.2, with one query per head for the whole sequence. The dense layer that
  follows takes the role of the output projection.

  Attributes:
    num_heads: K, which divides F.
  """

  num_heads: int = 4

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the context c_BxF and the weights [B, K, T]."""
    features, heads, dtype = h_BxTxF.shape[-1], self.num_heads, h_BxTxF.dtype
    if features % heads:
      raise ValueError(
        f'num_heads={heads} does not divide the {features} features'
      )
    width = features // heads
    init = nn.initializers.lecun_normal(batch_axis=0)
    key_kernel = param(self, 'key_kernel', init, heads, features, width)
    value_kernel = param(self, 'value_kernel', init, heads, features, width)
    query = param(self, 'query', query_init(width), heads, width)
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
  """Structured self-attention, K hops: A = softmax(U tanh(W h_t)), and A h.

  Lin et al., 2017, https://arxiv.org/abs/1703.03130, equations 6 and 7. Their
  penalty on overlapping hops is the field `attention_penalty`.

  Attributes:
    num_heads: K, the number of hops.
  """

  num_heads: int = 4

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the contexts of all hops [B, K * F] and the weights [B, K, T]."""
    features, dtype = h_BxTxF.shape[-1], h_BxTxF.dtype
    kernel = param(self, 'kernel', _LECUN, features, features)
    hops = param(self, 'hops_kernel', _LECUN, features, self.num_heads)
    u_BxTxF = jnp.tanh(h_BxTxF @ kernel.astype(dtype))
    contexts, weights_BxKxT = _means(
      h_BxTxF, mask_BxT, u_BxTxF @ hops.astype(dtype), weights_BxKxT
    )
    return contexts.reshape(h_BxTxF.shape[0], -1), weights_BxKxT


class Mean(nn.Module):
  """The mean of the states at valid positions, with uniform weights."""

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the context c_BxF and the weights [B, 1, T]."""
    scores_BxT = jnp.zeros(mask_BxT.shape, jnp.float32)
    return pool_by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT)


class Max(nn.Module):
  """The maximum of each feature over valid positions (Collobert et al., 2011,
  https://jmlr.org/papers/v12/collobert11a.html); it has no weights."""

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the context c_BxF and None."""
    _refuse(weights_BxKxT, 'max')
    lowest = jnp.finfo(h_BxTxF.dtype).min
    c_BxF = jnp.where(mask_BxT[..., None], h_BxTxF, lowest).max(1)
    # A padding example has no valid position.
    return jnp.where(mask_BxT.any(1, keepdims=True), c_BxF, 0), None


class Last(nn.Module):
  """The last state of each direction: the forward half of the features at the
  last valid position, the backward half at the first one; it has no weights."""

  @nn.compact
  def __call__(
    self, h_BxTxF: jax.Array, mask_BxT: jax.Array, weights_BxKxT: Weights = None
  ) -> tuple[jax.Array, Weights]:
    """Returns the context c_BxF and None."""
    _refuse(weights_BxKxT, 'last')
    batch, time, features = h_BxTxF.shape
    first_B = mask_BxT.argmax(1)
    last_B = time - 1 - mask_BxT[:, ::-1].argmax(1)
    example_B = jnp.arange(batch)
    forward = h_BxTxF[example_B, last_B, : features // 2]
    backward = h_BxTxF[example_B, first_B, features // 2 :]
    return jnp.concatenate([forward, backward], axis=-1), None


class Entity(nn.Module):
  """Attention that scores each state together with two entities of the text.

    u_t = tanh(W h_t + V [e_1; e_2] + b),  a = softmax_t(u . u_t),
    c = [sum_t a_t h_t; e_1; e_2]

  An entity e_i is the mean of the states of its words. The weights depend on
  both entities as in Qin, Xu & Guo, 2017,
  https://doi.org/10.1155/2017/3924641, with an additive score in place of their
  dot product; the entities are concatenated to the weighted mean as in Wu & He,
  2019, https://arxiv.org/abs/1905.08284.
  """

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: Weights = None,
    *,
    entities_BxT: jax.Array,
  ) -> tuple[jax.Array, jax.Array]:
    """Returns the context c_Bx3F and the weights [B, 1, T].

    Args:
      h_BxTxF, mask_BxT: the states and the mask of the real ones.
      weights_BxKxT: weights to use instead of its own.
      entities_BxT: 1 inside the first entity, 2 inside the second, else 0. An
        entity without words, as in a padding example, is the zero vector.
    """
    features, dtype = h_BxTxF.shape[-1], h_BxTxF.dtype
    kernel = param(self, 'kernel', _LECUN, features, features)
    entity_kernel = param(self, 'entity_kernel', _LECUN, 2 * features, features)
    bias = param(self, 'bias', _ZEROS, features)
    query = param(self, 'query', query_init(features), features)
    means = []
    for entity in (1, 2):
      inside_BxT = mask_BxT & (entities_BxT == entity)
      count_Bx1 = jnp.maximum(inside_BxT.sum(1, keepdims=True), 1)
      means.append(weighted_mean(h_BxTxF, inside_BxT / count_Bx1))
    e_Bx2F = jnp.concatenate(means, axis=-1)
    bias_BxF = e_Bx2F @ entity_kernel.astype(dtype) + bias.astype(dtype)
    keys_BxTxF = h_BxTxF @ kernel.astype(dtype) + bias_BxF[:, None]
    scores_BxT = jnp.tanh(keys_BxTxF) @ query.astype(dtype)
    context_BxF, weights_BxKxT = pool_by_score(
      h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT
    )
    return jnp.concatenate([context_BxF, e_Bx2F], axis=-1), weights_BxKxT


def query_init(features: int) -> nn.initializers.Initializer:
  """Returns the initializer of a query over this many features."""
  return nn.initializers.normal(features**-0.5)


def pool_by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT):
  """Averages the states by the softmax of scores, or by the given weights."""
  if weights_BxKxT is None:
    weights_BxKxT = masked_softmax(scores_BxT, mask_BxT)[:, None]
  return weighted_mean(h_BxTxF, weights_BxKxT[:, 0]), weights_BxKxT


def _means(h_BxTxF, mask_BxT, scores_BxTxK, weights_BxKxT):
  """Returns the means [B, K, F] of the states by each head, and the weights."""
  if weights_BxKxT is None:
    weights_BxKxT = masked_softmax(scores_BxTxK.mT, mask_BxT[:, None])
  return weights_BxKxT.astype(h_BxTxF.dtype) @ h_BxTxF, weights_BxKxT


def param(
  module: nn.Module, name: str, init: nn.initializers.Initializer, *shape: int
) -> jax.Array:
  """Creates or reads a parameter of a module; all are float32."""
  return module.param(name, init, shape, jnp.float32)


def _refuse(weights: Weights, name: str) -> None:
  if weights is not None:
    raise ValueError(f'pooling={name!r} has no weights to replace')
