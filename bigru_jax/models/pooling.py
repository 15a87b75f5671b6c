"""The poolings by name, each with its properties.

To add a pooling, write a class like those of `pooling_layers` and an entry of
`POOLINGS`; docs/extending.md has an example.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

from flax import linen as nn

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
    """Returns whether the states are its only input, so that a hierarchical
    model can use it for words and sentences alike."""
    return not (self.by_label or self.needs_entities)

  def num_weights(self, num_heads: int, num_outputs: int) -> int:
    """Returns K of the weights [B, K, T] in a model of these sizes."""
    if self.by_label:
      return min(num_outputs, MAX_HEADS)
    return num_heads if self.is_multi_headed else 1

  def make(
    self, name: str, num_heads: int, num_outputs: int, xla_only: bool = False
  ) -> nn.Module:
    """Returns the module, as a part `name` of a `classifier.Classifier`."""
    options: dict[str, Any] = {}
    if self.is_multi_headed:
      options['num_heads'] = num_heads
    if self.by_label:
      options['num_labels'] = num_outputs
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
