"""Poolings: the states of a sequence to one context vector, a class each.

A pooling takes states h_BxTxF and a mask, and returns `(context, weights)`. The
weights are [B, K, T] for K attention heads, float32 and zero at padding, or
None for a pooling that has none. Given weights take the place of its own, so
that an intervention on the attention is an argument.

To add one, write a class and name it in `POOLINGS`: the flag, the model, the
prediction and the tests of padding take it from there.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.ops.attention import (
  additive_attention,
  masked_softmax,
  weighted_mean,
)


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
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Returns the context c_BxF and the weights [B, 1, T]."""
    features = h_BxTxF.shape[-1]
    kernel = self.param(
      'kernel',
      nn.initializers.lecun_normal(),
      (features, features),
      jnp.float32,
    )
    bias = self.param('bias', nn.initializers.zeros, (features,), jnp.float32)
    query = self.param('query', _query_init(features), (features,), jnp.float32)
    if weights_BxKxT is not None:
      return weighted_mean(h_BxTxF, weights_BxKxT[:, 0]), weights_BxKxT
    params = (p.astype(h_BxTxF.dtype) for p in (kernel, bias, query))
    context_BxF, weights_BxT = additive_attention(
      h_BxTxF, mask_BxT, *params, implementation=self.implementation
    )
    return context_BxF, weights_BxT[:, None]


class Dot(nn.Module):
  """A learned query against the states, u^T h_t / sqrt(F).

  Scaled as in Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
  """

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Returns the context c_BxF and the weights [B, 1, T]."""
    features = h_BxTxF.shape[-1]
    query = self.param('query', _query_init(features), (features,), jnp.float32)
    scores_BxT = h_BxTxF @ query.astype(h_BxTxF.dtype) * features**-0.5
    return _by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT)


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
    query = self.param('query', _query_init(width), (heads, width), jnp.float32)
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


class Mean(nn.Module):
  """The mean of the states at valid positions: uniform weights."""

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Returns the context c_BxF and the weights [B, 1, T]."""
    scores_BxT = jnp.zeros(mask_BxT.shape, jnp.float32)
    return _by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT)


class Max(nn.Module):
  """The maximum of each feature over valid positions (Collobert et al., 2011,
  https://jmlr.org/papers/v12/collobert11a.html); it has no weights."""

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
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
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """Returns the context c_BxF and None."""
    _refuse(weights_BxKxT, 'last')
    time, features = h_BxTxF.shape[1:]
    first_B = mask_BxT.argmax(1)
    last_B = time - 1 - mask_BxT[:, ::-1].argmax(1)
    rows_B = jnp.arange(mask_BxT.shape[0])
    forward = h_BxTxF[rows_B, last_B, : features // 2]
    backward = h_BxTxF[rows_B, first_B, features // 2 :]
    return jnp.concatenate([forward, backward], axis=-1), None


POOLINGS: dict[str, type[nn.Module]] = {
  'additive': Additive,
  'dot': Dot,
  'multi_head': MultiHead,
  'structured': Structured,
  'mean': Mean,
  'max': Max,
  'last': Last,
}
MULTI_HEADED = 'multi_head', 'structured'


def make_pooling(
  name: str, num_heads: int, module_name: str, portable: bool = False
) -> nn.Module:
  """The pooling of a name.

  Args:
    name: of `POOLINGS`.
    num_heads: counts where it has several heads.
    module_name: the Flax module's.
    portable: see `classifier.Classifier`.
  """
  options: dict[str, Any] = {}
  if name in MULTI_HEADED:
    options['num_heads'] = num_heads
  if name == 'additive' and portable:
    options['implementation'] = 'reference'
  return POOLINGS[name](**options, name=module_name)


def _query_init(features: int) -> nn.initializers.Initializer:
  return nn.initializers.normal(features**-0.5)


def _refuse(weights: jax.Array | None, name: str) -> None:
  if weights is not None:
    raise ValueError(f'attention={name!r} has no weights to replace')


def _by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT):
  """The mean weighted by the softmax of the scores, or by the given weights."""
  if weights_BxKxT is None:
    weights_BxKxT = masked_softmax(scores_BxT, mask_BxT)[:, None]
  return weighted_mean(h_BxTxF, weights_BxKxT[:, 0]), weights_BxKxT


def _means(h_BxTxF, mask_BxT, scores_BxTxK, weights_BxKxT):
  """The means of the states, [B, K, F], by each head's weights."""
  if weights_BxKxT is None:
    weights_BxKxT = masked_softmax(scores_BxTxK.mT, mask_BxT[:, None])
  return weights_BxKxT.astype(h_BxTxF.dtype) @ h_BxTxF, weights_BxKxT
