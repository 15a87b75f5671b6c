"""Metrics of a split, accumulated on the device batch by batch."""

from __future__ import annotations

from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np


class ClassificationMetrics(struct.PyTreeNode):
  """What an evaluation has seen so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights.
    confusion_CxC: counts, rows by label and columns by prediction.
  """

  loss: jax.Array
  weight: jax.Array
  confusion_CxC: jax.Array

  @classmethod
  def zeros(cls, num_classes: int) -> ClassificationMetrics:
    """The metrics of no example."""
    return cls(
      loss=jnp.zeros(()),
      weight=jnp.zeros(()),
      confusion_CxC=jnp.zeros((num_classes, num_classes), jnp.int32),
    )

  def update(
    self,
    losses_B: jax.Array,
    weights_B: jax.Array,
    labels_B: jax.Array,
    predictions_B: jax.Array,
    valid_B: jax.Array,
  ) -> ClassificationMetrics:
    """The metrics with a batch added; valid_B is False at padding examples."""
    return ClassificationMetrics(
      loss=self.loss + jnp.sum(losses_B * weights_B),
      weight=self.weight + jnp.sum(weights_B),
      confusion_CxC=self.confusion_CxC.at[labels_B, predictions_B].add(
        valid_B.astype(jnp.int32)
      ),
    )

  def compute(self) -> dict[str, Any]:
    """Loss, accuracy, macro F1 and the number of examples.

    The macro F1 is the unweighted mean over the classes that occur as a label
    or as a prediction, as in scikit-learn's `f1_score(average='macro')`.
    """
    confusion = np.asarray(self.confusion_CxC)
    correct = np.diag(confusion)
    occurring = confusion.sum(0) + confusion.sum(1)
    f1 = 2 * correct[occurring > 0] / occurring[occurring > 0]
    examples = int(confusion.sum())
    return {
      'loss': float(self.loss) / max(float(self.weight), 1e-9),
      'accuracy': int(correct.sum()) / max(examples, 1),
      'macro_f1': float(f1.mean()) if len(f1) else 0.0,
      'examples': examples,
    }


class MultiLabelMetrics(struct.PyTreeNode):
  """What an evaluation of texts with several labels has seen so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights.
    correct: texts whose labels were all predicted, and no others.
    examples: texts.
    true_positives_C, predicted_C, positives_C: of each label, the texts that
      have it and were predicted to, that were predicted to, that have it.
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
    """The metrics of no example."""
    counts = [jnp.zeros(num_labels, jnp.int32) for _ in range(3)]
    return cls(
      jnp.zeros(()),
      jnp.zeros(()),
      jnp.zeros((), jnp.int32),
      jnp.zeros((), jnp.int32),
      *counts,
    )

  def update(
    self,
    losses_B: jax.Array,
    weights_B: jax.Array,
    labels_BxC: jax.Array,
    predictions_BxC: jax.Array,
    valid_B: jax.Array,
  ) -> MultiLabelMetrics:
    """The metrics with a batch added; valid_B is False at padding examples."""
    labels_BxC = labels_BxC.astype(bool) & valid_B[:, None]
    predictions_BxC = predictions_BxC & valid_B[:, None]
    correct_B = (labels_BxC == predictions_BxC).all(-1) & valid_B

    def count(x_BxC):
      return x_BxC.sum(0, dtype=jnp.int32)

    return MultiLabelMetrics(
      self.loss + jnp.sum(losses_B * weights_B),
      self.weight + jnp.sum(weights_B),
      self.correct + correct_B.sum(dtype=jnp.int32),
      self.examples + valid_B.sum(dtype=jnp.int32),
      self.true_positives_C + count(labels_BxC & predictions_BxC),
      self.predicted_C + count(predictions_BxC),
      self.positives_C + count(labels_BxC),
    )

  def compute(self) -> dict[str, Any]:
    """Loss, accuracy, macro and micro F1 and the number of examples.

    The accuracy is that of whole sets of labels. An F1 of a label that neither
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
