"""Losses of each example, from logits and targets.

A target is the probability of a class, 0 or 1 for hard labels. Softmax cross
entropy is -sum_j y_j log softmax(x)_j. Sigmoid cross entropy is
-[y log s(x) + (1 - y) log(1 - s(x))], summed over the outputs of an example:
one output for two classes, one per class otherwise.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax
import optax


def softmax_cross_entropy(
  logits_BxC: jax.Array, targets_BxC: jax.Array
) -> jax.Array:
  """Returns the softmax cross entropy of each example, float32.

  Args:
    logits_BxC: unnormalised scores.
    targets_BxC: the distribution over the classes.
  """
  return optax.softmax_cross_entropy(logits_BxC, targets_BxC)


def sigmoid_cross_entropy(
  logits_BxC: jax.Array, targets_BxC: jax.Array
) -> jax.Array:
  """Returns the sigmoid cross entropy of each example, float32.

  Args:
    logits_BxC: unnormalised scores; one column for two classes.
    targets_BxC: the probability of each output.
  """
  return optax.sigmoid_binary_cross_entropy(logits_BxC, targets_BxC).sum(-1)


def multi_label_cross_entropy(
  logits_BxC: jax.Array,
  targets_BxC: jax.Array,
  label_weights_C: jax.Array | float = 1.0,
) -> jax.Array:
  """Returns the sigmoid cross entropy of each example over all labels, float32.

  Args:
    logits_BxC: unnormalised scores, one per label.
    targets_BxC: the probability of each label.
    label_weights_C: factors of the term y log s(x), as `pos_weight` of
      PyTorch's `BCEWithLogitsLoss`.
  """
  positive = -targets_BxC * jax.nn.log_sigmoid(logits_BxC)
  negative = -(1 - targets_BxC) * jax.nn.log_sigmoid(-logits_BxC)
  return (label_weights_C * positive + negative).sum(-1)


def bernoulli_divergence(
  logits_BxC: jax.Array, others_BxC: jax.Array
) -> jax.Array:
  """Returns sum_j p_j log(p_j/q_j) + (1-p_j) log((1-p_j)/(1-q_j)), [B].

  Args:
    logits_BxC: the logits of p.
    others_BxC: the logits of q.
  """
  difference = jax.nn.log_sigmoid(logits_BxC) - jax.nn.log_sigmoid(others_BxC)
  opposite = jax.nn.log_sigmoid(-logits_BxC) - jax.nn.log_sigmoid(-others_BxC)
  p_BxC = jax.nn.sigmoid(logits_BxC)
  return (p_BxC * difference + (1 - p_BxC) * opposite).sum(-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Activation:
  """How logits become probabilities.

  Attributes:
    probabilities: a function of logits [B, C].
    divergence: the Kullback-Leibler divergence of two predictions, [B], as a
      function of the logits of both.
    sums_to_one: whether the probabilities of an example sum to one. Otherwise
      the outputs are independent, and two classes need only one.
    onnx_operator: the name of the ONNX operator.
  """

  probabilities: Callable[[Any], jax.Array]
  divergence: Callable[[jax.Array, jax.Array], jax.Array]
  sums_to_one: bool
  onnx_operator: str

  def smooth(self, targets_BxC: jax.Array, share: float) -> jax.Array:
    """Returns targets of which a share is spread evenly.

    Szegedy et al., 2016, https://arxiv.org/abs/1512.00567. It is spread over
    all classes; or over the two outcomes of each output, if these are
    independent.
    """
    outcomes = targets_BxC.shape[-1] if self.sums_to_one else 2
    return targets_BxC * (1 - share) + share / outcomes


SOFTMAX = Activation(
  probabilities=jax.nn.softmax,
  divergence=lambda logits_BxC, others_BxC: (
    optax.losses.kl_divergence_with_log_targets(
      jax.nn.log_softmax(others_BxC), jax.nn.log_softmax(logits_BxC)
    )
  ),
  sums_to_one=True,
  onnx_operator='Softmax',
)
SIGMOID = Activation(
  probabilities=jax.nn.sigmoid,
  divergence=bernoulli_divergence,
  sums_to_one=False,
  onnx_operator='Sigmoid',
)


@dataclasses.dataclass(frozen=True)
class Loss:
  """An entry of `LOSSES`.

  Attributes:
    function: (logits [B, C], targets [B, C]) to losses [B].
    activation: turns the logits of a prediction into probabilities.
  """

  function: Callable[[jax.Array, jax.Array], jax.Array]
  activation: Activation


LOSSES = {
  'softmax': Loss(softmax_cross_entropy, SOFTMAX),
  'sigmoid': Loss(sigmoid_cross_entropy, SIGMOID),
}
