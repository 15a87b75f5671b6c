"""Cross entropies by example, from logits.

Softmax cross entropy is -sum_j y_j log softmax(x)_j. Sigmoid cross entropy is
-[y log s(x) + (1 - y) log(1 - s(x))], summed over the outputs of an example:
one output for two classes, one a class otherwise.
"""

import jax
import jax.numpy as jnp
import optax


def num_outputs(loss, num_classes):
  """The logits an example needs: two classes take one sigmoid."""
  return 1 if loss == 'sigmoid' and num_classes == 2 else num_classes


def cross_entropy(logits_BxC, labels_B, loss='softmax', label_smoothing=0.0):
  """The loss of each example, float32.

  Args:
    logits_BxC: unnormalised scores; one column for two classes by sigmoid.
    labels_B: class indices.
    loss: `softmax` or `sigmoid`.
    label_smoothing: the share of the target spread over all classes (softmax,
      Szegedy et al., 2016, https://arxiv.org/abs/1512.00567) or drawn towards
      one half (sigmoid).

  Raises:
    ValueError: the loss is of another name.
  """
  if loss == 'softmax':
    targets = jax.nn.one_hot(labels_B, logits_BxC.shape[-1])
    targets = optax.smooth_labels(targets, label_smoothing)
    return optax.softmax_cross_entropy(logits_BxC, targets)
  if loss != 'sigmoid':
    raise ValueError(f'--loss: no loss is called {loss!r}')
  if logits_BxC.shape[-1] == 1:
    targets = labels_B[:, None].astype(jnp.float32)
  else:
    targets = jax.nn.one_hot(labels_B, logits_BxC.shape[-1])
  targets = targets * (1 - label_smoothing) + label_smoothing / 2
  return optax.sigmoid_binary_cross_entropy(logits_BxC, targets).sum(-1)


def probabilities(logits_BxC, loss='softmax'):
  """Class probabilities; a single sigmoid's become those of its two classes."""
  if loss == 'softmax':
    return jax.nn.softmax(logits_BxC)
  if logits_BxC.shape[-1] == 1:
    return jax.nn.sigmoid(jnp.concatenate([-logits_BxC, logits_BxC], axis=-1))
  return jax.nn.sigmoid(logits_BxC)
