"""The metrics of a split, accumulated on the devices batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.metrics import METRICS


class ClassificationMetrics(struct.PyTreeNode):
  """The metrics of an evaluation with one label per text, so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights.
    confusion_CxC: counts; rows are labels and columns are predictions.
    labels, select_by: see `tasks.SingleLabel`.
  """

  loss: jax.Array
  weight: jax.Array
  confusion_CxC: jax.Array
  labels: tuple[str, ...] = struct.field(pytree_node=False, default=())
  select_by: str = struct.field(pytree_node=False, default='loss')

  @classmethod
  def zeros(
    cls,
    num_classes: int,
    labels: tuple[str, ...] = (),
    select_by: str = 'loss',
  ) -> ClassificationMetrics:
    """Returns the metrics of zero examples."""
    return cls(
      loss=jnp.zeros((), jnp.float32),
      weight=jnp.zeros((), jnp.float32),
      confusion_CxC=jnp.zeros((num_classes, num_classes), jnp.int32),
      labels=labels,
      select_by=select_by,
    )

  def update(
    self,
    losses_B: jax.Array,
    predictions_B: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> ClassificationMetrics:
    """Adds a batch; examples without tokens are padding and do not count."""
    is_example_B = (batch['lengths'] > 0).astype(jnp.int32)
    cells = self.confusion_CxC.at[batch['labels'], predictions_B]
    return self.replace(
      loss=self.loss + jnp.sum(losses_B * batch['weights']),
      weight=self.weight + jnp.sum(batch['weights']),
      confusion_CxC=cells.add(is_example_B),
    )

  def compute(self) -> dict[str, Any]:
    """Returns the loss, the other metrics and the number of examples."""
    confusion = np.asarray(self.confusion_CxC)
    return {
      'loss': float(self.loss) / max(float(self.weight), 1e-9),
      **{
        name: metric.of_confusion(confusion, self.labels)
        for name, metric in METRICS.items()
        if metric.of_confusion
        and (not metric.on_request or name == self.select_by)
      },
      'examples': int(confusion.sum()),
    }


class MultiLabelMetrics(struct.PyTreeNode):
  """The metrics of an evaluation with any number of labels per text, so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights.
    correct: the number of texts whose set of labels was predicted exactly.
    examples: the number of texts.
    true_positives_C: for each label, how many texts have it and were predicted
      to have it.
    predicted_C: for each label, how many texts were predicted to have it.
    positives_C: for each label, how many texts have it.
  """

  loss: jax.Array
  weight: jax.Array
  correct: jax.Array
  examples: jax.Array
  true_positives_C: jax.Array
  predicted_C: jax.Array
  positives_C: jax.Array

  @classmethod
  def zeros(cls, num_labels: int) -> MultiLabelMetrics:
    """Returns the metrics of zero examples."""
    return cls(
      loss=jnp.zeros((), jnp.float32),
      weight=jnp.zeros((), jnp.float32),
      correct=jnp.zeros((), jnp.int32),
      examples=jnp.zeros((), jnp.int32),
      true_positives_C=jnp.zeros(num_labels, jnp.int32),
      predicted_C=jnp.zeros(num_labels, jnp.int32),
      positives_C=jnp.zeros(num_labels, jnp.int32),
    )

  def update(
    self,
    losses_B: jax.Array,
    predictions_BxC: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> MultiLabelMetrics:
    """Adds a batch; examples without tokens are padding and do not count."""
    is_example_B = batch['lengths'] > 0
    labels_BxC = batch['labels'].astype(bool) & is_example_B[:, None]
    predictions_BxC = predictions_BxC & is_example_B[:, None]
    correct_B = (labels_BxC == predictions_BxC).all(-1) & is_example_B
    both_BxC = labels_BxC & predictions_BxC
    of_batch = MultiLabelMetrics(
      loss=jnp.sum(losses_B * batch['weights']),
      weight=jnp.sum(batch['weights']),
      correct=correct_B.sum(dtype=jnp.int32),
      examples=is_example_B.sum(dtype=jnp.int32),
      true_positives_C=both_BxC.sum(0, dtype=jnp.int32),
      predicted_C=predictions_BxC.sum(0, dtype=jnp.int32),
      positives_C=labels_BxC.sum(0, dtype=jnp.int32),
    )
    return jax.tree.map(jnp.add, self, of_batch)

  def compute(self) -> dict[str, Any]:
    """Returns the loss, accuracy, macro and micro F1, and number of examples.

    The accuracy compares whole sets of labels. The F1 of a label that neither
    occurs nor is predicted is 0, as in scikit-learn.
    """
    true_positives = np.asarray(self.true_positives_C)
    occurring = np.asarray(self.predicted_C) + np.asarray(self.positives_C)
    f1 = 2 * true_positives / np.maximum(occurring, 1)
    examples = int(self.examples)
    return {
      'loss': float(self.loss) / max(float(self.weight), 1e-9),
      'accuracy': int(self.correct) / max(examples, 1),
      'macro_f1': float(f1.mean()),
      'micro_f1': 2 * float(true_positives.sum()) / max(occurring.sum(), 1),
      'examples': examples,
    }
