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
import jax.numpy as jnp
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


def softmax_focal_loss(
  logits_BxC: jax.Array, targets_BxC: jax.Array, focal_gamma: float = 2.0
) -> jax.Array:
  """Returns -sum_j y_j (1 - p_j)^gamma log p_j of p = softmax(x), [B].

  Lin et al., 2017, https://arxiv.org/abs/1708.02002, equation 4, for classes
  that exclude each other; gamma = 0 gives the cross entropy.

  Args:
    logits_BxC: unnormalised scores.
    targets_BxC: the distribution over the classes.
    focal_gamma: how much less an example counts that is classified well.
  """
  log_p_BxC = jax.nn.log_softmax(logits_BxC)
  focus_BxC = jnp.exp(focal_gamma * _log_complement(log_p_BxC))
  return -(targets_BxC * focus_BxC * log_p_BxC).sum(-1)


def _log_complement(log_p_BxC: jax.Array) -> jax.Array:
  """Returns log(1 - p) of a softmax, with finite gradients.

  Only the largest p can round to 1; its complement is the sum of the others.
  """
  largest_BxC = jax.nn.one_hot(
    log_p_BxC.argmax(-1), log_p_BxC.shape[-1], dtype=bool
  )
  others_BxC = jnp.where(largest_BxC, -jnp.inf, log_p_BxC)
  of_largest_Bx1 = jax.nn.logsumexp(others_BxC, axis=-1, keepdims=True)
  return jnp.where(largest_BxC, of_largest_Bx1, jnp.log1p(-jnp.exp(others_BxC)))


def multi_label_focal_loss(
  logits_BxC: jax.Array,
  targets_BxC: jax.Array,
  label_weights_C: jax.Array | float = 1.0,
  focal_gamma: float = 2.0,
) -> jax.Array:
  """Returns the focal loss of each example, with p = s(x), over all labels.

  -sum_j [w_j y_j (1 - p_j)^gamma log p_j + (1 - y_j) p_j^gamma log(1 - p_j)]:
  Lin et al., 2017, equation 5, with the weights of positives in place of alpha.

  Args:
    logits_BxC, targets_BxC, label_weights_C: see `multi_label_cross_entropy`.
    focal_gamma: see `softmax_focal_loss`.
  """
  log_p_BxC = jax.nn.log_sigmoid(logits_BxC)
  log_q_BxC = jax.nn.log_sigmoid(-logits_BxC)  # Of 1 - p.
  positive = -targets_BxC * jnp.exp(focal_gamma * log_q_BxC) * log_p_BxC
  negative = -(1 - targets_BxC) * jnp.exp(focal_gamma * log_p_BxC) * log_q_BxC
  return (label_weights_C * positive + negative).sum(-1)


def asymmetric_loss(
  logits_BxC: jax.Array,
  targets_BxC: jax.Array,
  label_weights_C: jax.Array | float = 1.0,
) -> jax.Array:
  """Returns the asymmetric loss of each example over all labels, float32.

  -sum_j [w_j y_j log p_j + (1 - y_j) q_j^4 log(1 - q_j)], with p = s(x) and
  q = max(p - 0.05, 0): Ridnik et al., 2021, https://arxiv.org/abs/2009.14119,
  equation 7, with the values that they recommend, gamma+ = 0, gamma- = 4 and
  m = 0.05. Negatives of a probability below 0.05 do not count.

  Args:
    logits_BxC, targets_BxC, label_weights_C: see `multi_label_cross_entropy`.
  """
  q_BxC = jnp.maximum(jax.nn.sigmoid(logits_BxC) - 0.05, 0)
  positive = -targets_BxC * jax.nn.log_sigmoid(logits_BxC)
  negative = -(1 - targets_BxC) * q_BxC**4 * jnp.log1p(-q_BxC)
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
  cross_entropy: Callable[[jax.Array, jax.Array], jax.Array]
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
  cross_entropy=softmax_cross_entropy,
  sums_to_one=True,
  onnx_operator='Softmax',
)
SIGMOID = Activation(
  probabilities=jax.nn.sigmoid,
  divergence=bernoulli_divergence,
  cross_entropy=sigmoid_cross_entropy,
  sums_to_one=False,
  onnx_operator='Sigmoid',
)


@dataclasses.dataclass(frozen=True)
class Loss:
  """An entry of `LOSSES`.

  Attributes:
    function: for single_label, (logits [B, C], targets [B, C], **options) to
      losses [B]; None if it is a loss of multi_label only.
    activation: turns the logits of single_label into probabilities; those of
      multi_label are always of `SIGMOID`.
    multi_label: (logits [B, C], targets [B, C], label_weights [C] or 1,
      **options) to losses [B]; None if it is a loss of single_label only.
    options: the fields of the configuration that are passed by their names.
    language_model: whether it is that of a language model, the cross entropy of
      a softmax over the words.
  """

  function: Callable[..., jax.Array] | None
  activation: Activation
  multi_label: Callable[..., jax.Array] | None = None
  options: tuple[str, ...] = ()
  language_model: bool = False

  @property
  def tasks(self) -> tuple[str, ...]:
    """The tasks that it is a loss of."""
    functions = {
      'single_label': self.function,
      'multi_label': self.multi_label,
      'language_model': self.language_model,
    }
    return tuple(task for task in functions if functions[task])


LOSSES = {
  # The default of both tasks: the outputs of multi_label are independent.
  'softmax': Loss(
    softmax_cross_entropy,
    SOFTMAX,
    multi_label_cross_entropy,
    language_model=True,
  ),
  'sigmoid': Loss(sigmoid_cross_entropy, SIGMOID, multi_label_cross_entropy),
  'focal': Loss(
    softmax_focal_loss, SOFTMAX, multi_label_focal_loss, ('focal_gamma',)
  ),
  'asymmetric': Loss(None, SIGMOID, asymmetric_loss),
}


def losses_with(option: str) -> list[str]:
  """Returns the names of the losses that take a field."""
  return [name for name, loss in LOSSES.items() if option in loss.options]
