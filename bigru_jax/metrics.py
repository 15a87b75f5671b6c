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
