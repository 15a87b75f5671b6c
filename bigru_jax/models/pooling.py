"""Poolings: the states of a sequence to one context vector, a class each.

A pooling takes states h_BxTxF and a mask, and returns `(context, weights)`. The
weights are [B, K, T] for K attention heads, float32 and zero at padding, or
None for a pooling that has none. Given weights take the place of its own, so
that an intervention on the attention is an argument.

To add one, write a class and an entry of `POOLINGS`, which everything else
takes what it needs to know from; docs/extending.md has an example.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.models import onnx_forms
from bigru_jax.models.entity import Entity
from bigru_jax.models.label_wise import MAX_HEADS, LabelWise
from bigru_jax.models.multi_head import MultiHead, Structured
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
    query = self.param('query', query_init(features), (features,), jnp.float32)
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
    query = self.param('query', query_init(features), (features,), jnp.float32)
    scores_BxT = h_BxTxF @ query.astype(h_BxTxF.dtype) * features**-0.5
    return pool_by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT)


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
    return pool_by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT)


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


def query_init(features: int) -> nn.initializers.Initializer:
  """The initial values of a query over so many features."""
  return nn.initializers.normal(features**-0.5)


def _refuse(weights: jax.Array | None, name: str) -> None:
  if weights is not None:
    raise ValueError(f'attention={name!r} has no weights to replace')


def pool_by_score(h_BxTxF, mask_BxT, scores_BxT, weights_BxKxT):
  """The mean weighted by the softmax of the scores, or by the given weights."""
  if weights_BxKxT is None:
    weights_BxKxT = masked_softmax(scores_BxT, mask_BxT)[:, None]
  return weighted_mean(h_BxTxF, weights_BxKxT[:, 0]), weights_BxKxT


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pooling:
  """An entry of `POOLINGS`, with all that is known of a pooling.

  Attributes:
    module: the class.
    onnx: the same as nodes of an ONNX graph, a function as in `onnx_forms`;
      None where it cannot be exported to ONNX.
    has_weights: whether it returns weights.
    is_multi_headed: whether it has K = `num_heads`, an attribute of the module.
    splits_features: whether `num_heads` must divide the features.
    by_label: whether it has an attention and a logit for each output, whose
      number is the module's `num_labels`; it returns what `LabelWise` does.
    needs_entities: whether it takes `entities_BxT` as `Entity` does.
    has_kernel: whether the module has the attribute `implementation`, of which
      `reference` consists of XLA's own operations.
  """

  module: Callable[..., nn.Module]
  onnx: Callable[..., Any] | None = None
  has_weights: bool = True
  is_multi_headed: bool = False
  splits_features: bool = False
  by_label: bool = False
  needs_entities: bool = False
  has_kernel: bool = False

  @property
  def fits_any_states(self) -> bool:
    """Whether it makes a context of states alone, as a hierarchical model
    needs it of words and of sentences."""
    return not (self.by_label or self.needs_entities)

  def num_weights(self, num_heads: int, num_outputs: int) -> int:
    """K of the weights [B, K, T], given K and C of the model."""
    if self.by_label:
      return min(num_outputs, MAX_HEADS)
    return num_heads if self.is_multi_headed else 1

  def make(
    self, name: str, num_heads: int, num_outputs: int, portable: bool = False
  ) -> nn.Module:
    """The module of a name in a model; see `classifier.Classifier`."""
    options: dict[str, Any] = {}
    if self.is_multi_headed:
      options['num_heads'] = num_heads
    if self.by_label:
      options['num_labels'] = num_outputs
    if self.has_kernel and portable:
      options['implementation'] = 'reference'
    return self.module(**options, name=name)


POOLINGS = {
  'additive': Pooling(
    module=Additive, onnx=onnx_forms.additive, has_kernel=True
  ),
  'dot': Pooling(module=Dot, onnx=onnx_forms.dot),
  'multi_head': Pooling(
    module=MultiHead,
    onnx=onnx_forms.multi_head,
    is_multi_headed=True,
    splits_features=True,
  ),
  'structured': Pooling(
    module=Structured, onnx=onnx_forms.structured, is_multi_headed=True
  ),
  'mean': Pooling(module=Mean, onnx=onnx_forms.mean),
  'max': Pooling(module=Max, onnx=onnx_forms.maximum, has_weights=False),
  'last': Pooling(module=Last, onnx=onnx_forms.last, has_weights=False),
  'label_wise': Pooling(
    module=LabelWise, onnx=onnx_forms.label_wise, by_label=True
  ),
  'entity': Pooling(module=Entity, onnx=onnx_forms.entity, needs_entities=True),
}


def poolings_that(fact: str) -> list[str]:
  """The names of the poolings of which an attribute is true."""
  return [name for name, x in POOLINGS.items() if getattr(x, fact)]
