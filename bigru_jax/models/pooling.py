"""The poolings by name, each with its properties, and several that are joined.

To add a pooling, write a class like those of `pooling_layers` and an entry of
`POOLINGS`; docs/extending.md has an example. `pooling_of` gives the entry of a
name, or of names that `+` joins.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.models import onnx_forms, pooling_layers as layers
from bigru_jax.models.label_wise import MAX_HEADS, LabelWise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pooling:
  """An entry of `POOLINGS`: a pooling and its properties.

  Attributes:
    module: the class.
    onnx: a function as in `onnx_forms` that adds the pooling to an ONNX graph;
      None if it cannot be exported to ONNX.
    has_weights: whether it returns weights.
    is_multi_headed: whether the module has `num_heads` = K heads.
    splits_features: whether `num_heads` must divide the number of features.
    by_label: whether it has an attention and a logit for each output, as
      `LabelWise` has; the module takes their number as `num_labels`.
    needs_entities: whether it takes `entities_BxT` as `Entity` does.
    has_kernel: whether the module takes `implementation`, of which `reference`
      uses only XLA's own operations.
    parts: the names and the entries that `Joined` takes; empty for one pooling.
  """

  module: Callable[..., nn.Module]
  onnx: Callable[..., Any] | None = None
  has_weights: bool = True
  is_multi_headed: bool = False
  splits_features: bool = False
  by_label: bool = False
  needs_entities: bool = False
  has_kernel: bool = False
  parts: tuple[tuple[str, 'Pooling'], ...] = ()

  @property
  def fits_any_states(self) -> bool:
    """Returns whether the states are its only input, so that a hierarchical
    model can use it for words and sentences alike."""
    return not (self.by_label or self.needs_entities)

  def num_weights(self, num_heads: int, num_outputs: int) -> int:
    """Returns K of the weights [B, K, T] in a model of these sizes."""
    if self.parts:
      return len(self.head_names(num_heads))
    if self.by_label:
      return min(num_outputs, MAX_HEADS)
    return num_heads if self.is_multi_headed else 1

  def head_names(self, num_heads: int) -> list[str]:
    """Returns the names of the heads of joined poolings, in their order."""
    names = []
    for name, part in self.parts:
      if part.has_weights:
        heads = part.num_weights(num_heads, 0)
        numbered = [f'{name} {k + 1}' for k in range(heads)]
        names += numbered if heads > 1 else [name]
    return names

  def make(
    self, name: str, num_heads: int, num_outputs: int, xla_only: bool = False
  ) -> nn.Module:
    """Returns the module, as a part `name` of a `classifier.Classifier`."""
    options: dict[str, Any] = {}
    if self.is_multi_headed:
      options['num_heads'] = num_heads
    if self.by_label:
      options['num_labels'] = num_outputs
    if self.parts:
      options['parts'] = self.parts
    if self.has_kernel and xla_only:
      options['implementation'] = 'reference'
    return self.module(**options, name=name)


POOLINGS = {
  'additive': Pooling(
    module=layers.Additive, onnx=onnx_forms.additive, has_kernel=True
  ),
  'dot': Pooling(module=layers.Dot, onnx=onnx_forms.dot),
  'multi_head': Pooling(
    module=layers.MultiHead,
    onnx=onnx_forms.multi_head,
    is_multi_headed=True,
    splits_features=True,
  ),
  'structured': Pooling(
    module=layers.Structured,
    onnx=onnx_forms.structured,
    is_multi_headed=True,
  ),
  'mean': Pooling(module=layers.Mean, onnx=onnx_forms.mean),
  'max': Pooling(module=layers.Max, onnx=onnx_forms.maximum, has_weights=False),
  'last': Pooling(module=layers.Last, onnx=onnx_forms.last, has_weights=False),
  'label_wise': Pooling(
    module=LabelWise, onnx=onnx_forms.label_wise, by_label=True
  ),
  'entity': Pooling(
    module=layers.Entity, onnx=onnx_forms.entity, needs_entities=True
  ),
}


def poolings_that(fact: str) -> list[str]:
  """Returns the names of the poolings whose attribute `fact` is true."""
  return [name for name, entry in POOLINGS.items() if getattr(entry, fact)]


class Joined(nn.Module):
  """Several poolings of the same states, whose contexts are concatenated.

  Their weights are concatenated by head, in the order of the parts.

  Attributes:
    parts: the names and the entries of the poolings.
    num_heads: see `Pooling`.
    implementation: see `Pooling`.
  """

  parts: tuple[tuple[str, Pooling], ...]
  num_heads: int = 4
  implementation: str | None = None

  @nn.compact
  def __call__(
    self,
    h_BxTxF: jax.Array,
    mask_BxT: jax.Array,
    weights_BxKxT: layers.Weights = None,
    **entities: jax.Array,
  ) -> tuple[jax.Array, layers.Weights]:
    """Returns the contexts, and the weights [B, K, T] of the parts with some.

    Args:
      h_BxTxF, mask_BxT: the states and the mask of the real ones.
      weights_BxKxT: weights to use instead of those of all parts.
      **entities: `entities_BxT`, if a part needs them.

    Raises:
      ValueError: the number of the given weights is not that of the heads.
    """
    contexts, all_weights, first = [], [], 0
    for name, entry in self.parts:
      pool: Any = entry.make(
        name, self.num_heads, 0, self.implementation == 'reference'
      )
      end = first + entry.has_weights * entry.num_weights(self.num_heads, 0)
      of_part = None
      if weights_BxKxT is not None and end > first:
        of_part = weights_BxKxT[:, first:end]
      inputs = entities if entry.needs_entities else {}
      context_BxF, of_part = pool(h_BxTxF, mask_BxT, of_part, **inputs)
      contexts.append(context_BxF)
      if of_part is not None:
        all_weights.append(of_part)
      first = end
    if weights_BxKxT is not None and weights_BxKxT.shape[1] != first:
      raise ValueError(
        f'attention: {weights_BxKxT.shape[1]} heads for the {first} of '
        f'pooling={"+".join(dict(self.parts))}'
      )
    weights = jnp.concatenate(all_weights, 1) if all_weights else None
    return jnp.concatenate(contexts, -1), weights


def pooling_of(name: str) -> Pooling:
  """Returns the entry of a pooling, or of poolings that `+` joins.

  Examples:
    >>> pooling_of('additive+max+structured').head_names(num_heads=2)
    ['additive', 'structured 1', 'structured 2']

  Raises:
    ValueError: the poolings cannot be joined.
  """
  if '+' not in name:
    return POOLINGS[name]
  parts = tuple((part, POOLINGS[part]) for part in name.split('+'))
  if len(dict(parts)) < len(parts):
    raise ValueError(f'pooling={name!r} names a pooling twice')
  for part, entry in parts:
    if entry.by_label:
      raise ValueError(
        f'pooling={name!r}: {part} gives a logit for each label, and cannot be '
        'joined with other poolings'
      )
  facts = 'has_weights', 'is_multi_headed', 'splits_features', 'needs_entities'
  has_onnx = all(entry.onnx for _, entry in parts)
  return Pooling(
    module=Joined,
    onnx=functools.partial(onnx_forms.joined, parts) if has_onnx else None,
    has_kernel=any(entry.has_kernel for _, entry in parts),
    parts=parts,
    **{fact: any(getattr(entry, fact) for _, entry in parts) for fact in facts},
  )
