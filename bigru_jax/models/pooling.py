"""What is known of each pooling, by its name.

To add a pooling, write a class like those of `pooling_layers` and an entry of
`POOLINGS`, from which everything else takes what it needs to know of it;
docs/extending.md has an example.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

from flax import linen as nn

from bigru_jax.models import onnx_forms, pooling_layers as layers
from bigru_jax.models.label_wise import MAX_HEADS, LabelWise


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
    self, name: str, num_heads: int, num_outputs: int, xla_only: bool = False
  ) -> nn.Module:
    """The module of a name in a model; see `classifier.Classifier`."""
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
  """The names of the poolings of which an attribute is true."""
  return [name for name, entry in POOLINGS.items() if getattr(entry, fact)]
