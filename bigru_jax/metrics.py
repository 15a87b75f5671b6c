"""Streaming sums on the device, and the figures read off them."""

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np


class Sums(struct.PyTreeNode):
  """What an evaluation has seen so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights of the loss.
    confusion_CxC: counts, rows by label and columns by prediction.
  """

  loss: jax.Array
  weight: jax.Array
  confusion_CxC: jax.Array

  @classmethod
  def zeros(cls, num_classes):
    return cls(
      loss=jnp.zeros(()),
      weight=jnp.zeros(()),
      confusion_CxC=jnp.zeros((num_classes, num_classes), jnp.int32),
    )

  def add(self, losses_B, loss_weights_B, labels_B, predictions_B, real_B):
    """Adds a batch; rows where real_B is zero only fill it up."""
    return Sums(
      loss=self.loss + jnp.sum(losses_B * loss_weights_B),
      weight=self.weight + jnp.sum(loss_weights_B),
      confusion_CxC=self.confusion_CxC.at[labels_B, predictions_B].add(
        real_B.astype(jnp.int32)
      ),
    )


def figures(sums):
  """Loss, accuracy, macro F1 and the number of examples, as Python numbers.

  The macro F1 is the unweighted mean over the classes that occur as a label or
  as a prediction, as in scikit-learn's `f1_score(average='macro')`.
  """
  confusion = np.asarray(sums.confusion_CxC)
  right = np.diag(confusion)
  found = confusion.sum(0) + confusion.sum(1)
  f1 = 2 * right[found > 0] / found[found > 0]
  examples = int(confusion.sum())
  return {
    'loss': float(sums.loss) / max(float(sums.weight), 1e-9),
    'accuracy': int(right.sum()) / max(examples, 1),
    'macro_f1': float(f1.mean()) if len(f1) else 0.0,
    'examples': examples,
  }
