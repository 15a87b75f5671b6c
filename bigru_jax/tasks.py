"""What labels are: how they enter the loss, the metrics and an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.losses import LOSSES
from bigru_jax.metrics import ClassificationMetrics


@dataclasses.dataclass(frozen=True)
class SingleLabel:
  """Each text has exactly one of C classes.

  Attributes:
    num_classes: C.
    loss: a name of `losses.LOSSES`.
    label_smoothing: see the losses.
  """

  num_classes: int
  loss: str = 'softmax'
  label_smoothing: float = 0.0

  @property
  def num_outputs(self) -> int:
    """Logits per example; two classes take one sigmoid."""
    binary = self.loss == 'sigmoid' and self.num_classes == 2
    return 1 if binary else self.num_classes

  def losses(
    self, logits_BxC: jax.Array, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    """The loss of each example, before it is weighted."""
    loss = LOSSES[self.loss]
    return loss(logits_BxC, batch['labels'], self.label_smoothing)

  def probabilities(self, logits_BxC: jax.Array) -> jax.Array:
    """Class probabilities [B, num_classes]."""
    if self.loss == 'softmax':
      return jax.nn.softmax(logits_BxC)
    if self.num_outputs == 1:
      logits_BxC = jnp.concatenate([-logits_BxC, logits_BxC], axis=-1)
    return jax.nn.sigmoid(logits_BxC)

  def empty_metrics(self) -> ClassificationMetrics:
    """The metrics of no example."""
    return ClassificationMetrics.zeros(self.num_classes)

  def update_metrics(
    self,
    metrics: ClassificationMetrics,
    logits_BxC: jax.Array,
    losses_B: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> ClassificationMetrics:
    """The metrics with a batch added."""
    return metrics.update(
      losses_B,
      batch['weights'],
      batch['labels'],
      self.probabilities(logits_BxC).argmax(-1),
      batch['lengths'] > 0,
    )


def make_loss_fn(model: nn.Module, task: SingleLabel) -> Callable[..., Any]:
  """The function (params, batch, keys_B) -> (losses_B, Outputs).

  Args:
    model: takes a batch and dropout keys, and returns `Outputs`.
    task: what the labels are.
  """

  def loss_fn(params, batch, keys_B=None):
    outputs: Any = model.apply({'params': params}, batch, keys_B)
    return task.losses(outputs.logits, batch), outputs

  return loss_fn
