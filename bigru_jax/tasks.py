"""Tasks: how labels enter the loss, the metrics and the predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any, ClassVar

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.config import Config
from bigru_jax.losses import LOSSES, SIGMOID, Activation
from bigru_jax.metrics import METRICS
from bigru_jax.metrics.accumulated import (
  ClassificationMetrics,
  MultiLabelMetrics,
)


@dataclasses.dataclass(frozen=True)
class SingleLabel:
  """Each text has exactly one of C classes.

  Attributes:
    num_classes: C.
    loss: a name of `losses.LOSSES`.
    label_smoothing: see `losses.Activation.smooth`.
    labels: the names of the classes, if a metric needs them.
    select_by: the metric that selects the best epoch, of `metrics.METRICS`.
    positive: of two classes, the index of the positive one.
    loss_options: names and values; see `losses.Loss`.

  Raises:
    ValueError: the metric needs labels of another kind.
  """

  num_classes: int
  loss: str = 'softmax'
  label_smoothing: float = 0.0
  labels: tuple[str, ...] = ()
  select_by: str = 'loss'
  positive: int | None = None
  loss_options: tuple[tuple[str, float], ...] = ()

  def __post_init__(self) -> None:
    metric = METRICS[self.select_by]
    if metric.on_request and metric.of_confusion:
      zeros = np.zeros((self.num_classes, self.num_classes), int)
      metric.of_confusion(zeros, self.labels)

  @property
  def activation(self) -> Activation:
    """The activation of the loss."""
    return LOSSES[self.loss].activation

  @property
  def num_outputs(self) -> int:
    """Logits per example; two classes take one sigmoid."""
    binary = not self.activation.sums_to_one and self.num_classes == 2
    return 1 if binary else self.num_classes

  def losses(
    self, logits_BxC: jax.Array, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    """Returns the loss of each example, before it is weighted."""
    targets_BxC = self.activation.smooth(
      self.targets(batch), self.label_smoothing
    )
    loss: Any = LOSSES[self.loss].function
    return loss(logits_BxC, targets_BxC, **dict(self.loss_options))

  def targets(self, batch: Mapping[str, jax.Array]) -> jax.Array:
    """Returns the target of each output, float32 [B, num_outputs].

    They are the batch's targets [B, num_classes] if it has some, and ones and
    zeros of its labels [B] otherwise. A single output has the target of the
    second class.
    """
    is_binary = self.num_outputs < self.num_classes
    if 'targets' in batch:
      return batch['targets'][:, 1:] if is_binary else batch['targets']
    if is_binary:
      return batch['labels'][:, None].astype(jnp.float32)
    return jax.nn.one_hot(batch['labels'], self.num_outputs, dtype=jnp.float32)

  def probabilities(self, logits_BxC: jax.Array | np.ndarray) -> jax.Array:
    """Returns the class probabilities [B, num_classes]."""
    if self.num_outputs < self.num_classes:
      logits_BxC = jnp.concatenate([-logits_BxC, logits_BxC], axis=-1)
    return self.activation.probabilities(logits_BxC)

  def predictions(
    self, logits_NxC: np.ndarray, thresholds_C: np.ndarray
  ) -> np.ndarray:
    """Returns the predicted classes, int [N].

    These are the most probable classes; or with a threshold, the positive class
    where its probability reaches it, and else the other one.
    """
    if len(thresholds_C):
      return self._classes(self.log_odds(logits_NxC) >= _logit(thresholds_C[0]))
    if self.num_outputs < self.num_classes:
      return (logits_NxC[:, 0] > 0).astype(int)
    return logits_NxC.argmax(-1)

  def decide(
    self, probabilities_NxC: np.ndarray, thresholds_C: np.ndarray
  ) -> np.ndarray:
    """Returns the same as `predictions`, from probabilities."""
    if len(thresholds_C):
      return self._classes(
        probabilities_NxC[:, self.positive] >= thresholds_C[0]
      )
    return probabilities_NxC.argmax(-1)

  def log_odds(self, logits_NxC: np.ndarray) -> np.ndarray:
    """Returns log p - log(1 - p) [N] for the positive class's probability p.

    It is float64, which distinguishes probabilities that are 1 in float32.
    """
    logits_NxC = logits_NxC.astype(np.float64)
    of_second = logits_NxC[:, -1]
    if self.num_outputs == self.num_classes:
      of_second = of_second - logits_NxC[:, 0]
    return of_second if self.positive else -of_second

  def _classes(self, is_positive_N: np.ndarray) -> np.ndarray:
    """Returns the index of the positive class, or else of the other one."""
    assert self.positive is not None
    return np.where(is_positive_N, self.positive, 1 - self.positive)

  def empty_metrics(self) -> ClassificationMetrics:
    """Returns the metrics of zero examples."""
    return ClassificationMetrics.zeros(
      self.num_classes, self.labels, self.select_by
    )

  def update_metrics(
    self,
    metrics: Any,
    logits_BxC: jax.Array,
    losses_B: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> ClassificationMetrics:
    """Returns the metrics with a batch added."""
    predictions_B = self.probabilities(logits_BxC).argmax(-1)
    return metrics.update(losses_B, predictions_B, batch)


@dataclasses.dataclass(frozen=True)
class MultiLabel:
  """Each text has any number of C labels, including none.

  Attributes:
    num_classes: C.
    label_smoothing: see `losses.Activation.smooth`.
    label_weights: one per label; empty for ones.
    loss: a name of `losses.LOSSES`.
    loss_options: names and values; see `losses.Loss`.
  """

  num_classes: int
  label_smoothing: float = 0.0
  label_weights: tuple[float, ...] = ()
  loss: str = 'softmax'
  loss_options: tuple[tuple[str, float], ...] = ()
  activation: ClassVar[Activation] = SIGMOID
  positive: ClassVar[None] = None

  @property
  def num_outputs(self) -> int:
    """Logits per example, one per label."""
    return self.num_classes

  def losses(
    self, logits_BxC: jax.Array, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    """Returns the loss of each example, before it is weighted."""
    loss: Any = LOSSES[self.loss].multi_label
    return loss(
      logits_BxC,
      self.activation.smooth(self.targets(batch), self.label_smoothing),
      jnp.array(self.label_weights, jnp.float32) if self.label_weights else 1.0,
      **dict(self.loss_options),
    )

  def targets(self, batch: Mapping[str, jax.Array]) -> jax.Array:
    """Returns the target of each label, float32 [B, C]: 0 or 1, if hard."""
    return batch.get('targets', batch['labels']).astype(jnp.float32)

  def probabilities(self, logits_BxC: jax.Array | np.ndarray) -> jax.Array:
    """Returns the probability of each label [B, C]."""
    return self.activation.probabilities(logits_BxC)

  def predictions(
    self, logits_NxC: np.ndarray, thresholds_C: np.ndarray
  ) -> np.ndarray:
    """Returns whether each probability reaches its threshold, bool [N, C]."""
    return logits_NxC >= _logit(thresholds_C)

  def decide(
    self, probabilities_NxC: np.ndarray, thresholds_C: np.ndarray
  ) -> np.ndarray:
    """Returns the same as `predictions`, from probabilities."""
    return probabilities_NxC >= thresholds_C

  def empty_metrics(self) -> MultiLabelMetrics:
    """Returns the metrics of zero examples."""
    return MultiLabelMetrics.zeros(self.num_classes)

  def update_metrics(
    self,
    metrics: Any,
    logits_BxC: jax.Array,
    losses_B: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> MultiLabelMetrics:
    """Returns the metrics with a batch added, at a threshold of 0.5."""
    return metrics.update(losses_B, logits_BxC >= 0, batch)


Task = SingleLabel | MultiLabel


def _logit(probability: Any) -> Any:
  return np.log(probability) - np.log1p(-probability)


def make_task(
  config: Config,
  labels: Sequence[str],
  label_weights: Sequence[float] = (),
  positive_label: str = '',
) -> Task:
  """Returns the task that a configuration describes.

  Args:
    config: the configuration.
    labels: the names of the classes.
    label_weights: see `MultiLabel`.
    positive_label: the positive one of two classes; by default that of the
      configuration, or else the second.

  Raises:
    ValueError: the metric of select_by needs other labels.
  """
  loss_options = tuple(
    (name, getattr(config, name)) for name in LOSSES[config.loss].options
  )
  if config.task == 'multi_label':
    return MultiLabel(
      num_classes=len(labels),
      label_smoothing=config.label_smoothing,
      label_weights=tuple(label_weights),
      loss=config.loss,
      loss_options=loss_options,
    )
  positive = None
  if len(labels) == 2:
    name = positive_label or config.positive_label or labels[1]
    positive = list(labels).index(name)
  return SingleLabel(
    num_classes=len(labels),
    loss=config.loss,
    label_smoothing=config.label_smoothing,
    labels=tuple(labels),
    select_by=config.select_by,
    positive=positive,
    loss_options=loss_options,
  )


def make_loss_fn(model: nn.Module, task: Any) -> Callable[..., Any]:
  """Returns (params, batch, keys_B, **inputs) -> (losses_B, Outputs).

  Args:
    model: takes a batch, dropout keys and its further inputs by name, and
      returns `Outputs`.
    task: what the labels are; its `losses` makes losses of the logits.
  """

  def loss_fn(params, batch, keys_B=None, **inputs):
    outputs: Any = model.apply({'params': params}, batch, keys_B, **inputs)
    return task.losses(outputs.logits, batch), outputs

  return loss_fn
