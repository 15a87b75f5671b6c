"""Attributions: how much each token of a text contributes to a class.

Each is a function of a `TrainedModel`, a batch and one class per text, and
returns weights [B, T], zero at padding. Gradients explain the log odds of the
class (see `predictions.log_odds`), and leave-one-out explains its probability.
Call them inside `jax.jit`; `attribute` does so for the texts of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.explain.predictions import (
  Batch,
  TrainedModel,
  keep_tokens,
  log_odds,
  of_classes,
  over_split,
  real_tokens,
)
from bigru_jax.ops.embedding import lookup
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import SingleLabel

# The points of the Gauss-Legendre quadrature; the completeness error shows
# whether they are enough.
STEPS = 20


@single_precision()
def gradient(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array
) -> jax.Array:
  """Returns the gradient's norm at each embedded token, ||ds_c / dx_t||.

  Simonyan et al., 2014, https://arxiv.org/abs/1312.6034.
  """
  _, g_BxTxE = _embedded_and_gradient(trained, batch, classes_B)
  return _at_tokens(jnp.sqrt((g_BxTxE**2).sum(-1)), batch)


@single_precision()
def gradient_x_input(
  trained: TrainedModel,
  batch: Batch,
  classes_B: jax.Array,
  fixed_attention: bool = False,
) -> jax.Array:
  """Returns gradient times input at each embedded token, x_t . ds_c / dx_t.

  Shrikumar et al., 2017, https://arxiv.org/abs/1605.01713.

  Args:
    trained, batch, classes_B: see the module.
    fixed_attention: whether the attention weights are constants, as in Jain &
      Wallace, 2019, section 4.1.
  """
  inputs: dict[str, Any] = {}
  if fixed_attention:
    inputs['attention'] = {'words': trained.attention_weights(batch)}
  x_BxTxE, g_BxTxE = _embedded_and_gradient(trained, batch, classes_B, **inputs)
  return _at_tokens((x_BxTxE * g_BxTxE).sum(-1), batch)


@single_precision()
def integrated_gradients(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array, steps: int = STEPS
) -> tuple[jax.Array, jax.Array]:
  """Returns x_t . int_0^1 ds_c(a x) / dx_t da, and its completeness error.

  Sundararajan et al., 2017, https://arxiv.org/abs/1703.01365, equation 1. In
  the baseline, every token is the zero vector; the integral is computed by
  Gauss-Legendre quadrature.

  Args:
    trained, batch, classes_B: see the module.
    steps: the number of points of the quadrature.

  Returns:
    The weights [B, T], and the errors [B], |sum_t weights_t - (s_c(x) -
    s_c(0))|, which are zero for the exact integral (their proposition 1).
  """

  def weighted(point):
    scale, weight = point
    x_BxTxE, g_BxTxE = _embedded_and_gradient(trained, batch, classes_B, scale)
    return weight * (x_BxTxE * g_BxTxE).sum(-1)

  nodes_S, weights_S = np.polynomial.legendre.leggauss(steps)
  points = jnp.float32((nodes_S + 1) / 2), jnp.float32(weights_S / 2)
  weights_BxT = _at_tokens(jax.lax.map(weighted, points).sum(0), batch)
  x_BxTxE = _embedded(trained, batch)
  baseline_B = _score(trained, batch, classes_B, perturbation_BxTxE=-x_BxTxE)
  difference_B = _score(trained, batch, classes_B) - baseline_B
  return weights_BxT, jnp.abs(weights_BxT.sum(-1) - difference_B)


@single_precision()
def leave_one_out(
  trained: TrainedModel,
  batch: Batch,
  classes_B: jax.Array,
  parts_BxTxC: jax.Array | None = None,
) -> jax.Array:
  """Returns the drop of a class's probability without t, p_c(x) - p_c(x_-t).

  Li et al., 2016, https://arxiv.org/abs/1612.08220. As in Jain & Wallace, 2019,
  the token is removed and the text becomes shorter. Without its only token, a
  text is empty.

  Args:
    trained, batch, classes_B: see the module.
    parts_BxTxC: the result of `left_out`, if it has been computed.
  """
  if parts_BxTxC is None:
    parts_BxTxC = left_out(trained, batch)
  drops_BxTxC = trained.probabilities(batch)[:, None] - parts_BxTxC
  return _at_tokens(of_classes(drops_BxTxC, classes_B), batch)


@single_precision()
def left_out(trained: TrainedModel, batch: Batch) -> jax.Array:
  """Returns the probabilities [B, T, C] of each text without token t."""
  mask_BxT = real_tokens(batch)
  positions_T = jnp.arange(mask_BxT.shape[1])

  def without(position):
    keep_BxT = mask_BxT & (positions_T != position)
    return trained.probabilities(keep_tokens(batch, keep_BxT))

  return jnp.moveaxis(jax.lax.map(without, positions_T), 0, 1)


@single_precision()
def attention(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array
) -> jax.Array:
  """Returns the attention weights a_t, averaged over the heads.

  They do not depend on the class.

  Raises:
    ValueError: the model's pooling has no weights.
  """
  del classes_B
  return trained.attention_weights(batch).mean(1)


@single_precision()
def attention_x_gradient(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array
) -> jax.Array:
  """Returns the attention weights times their gradient, a_t ds_c / da_t.

  Serrano & Smith, 2019, https://aclanthology.org/P19-1282, section 4. The
  products are summed over the heads; the encoder's states are constants.

  Raises:
    ValueError: the model's pooling has no weights.
  """

  def score(weights):
    inputs = {'attention': {'words': weights}}
    return _score(trained, batch, classes_B, **inputs).sum()

  weights_BxKxT = trained.attention_weights(batch)
  g_BxKxT = jax.grad(score)(weights_BxKxT)
  return _at_tokens((weights_BxKxT * g_BxKxT).sum(1), batch)


ATTRIBUTIONS: dict[str, Callable[..., jax.Array]] = {
  'gradient': gradient,
  'gradient_x_input': gradient_x_input,
  'integrated_gradients': lambda *args: integrated_gradients(*args)[0],
  'leave_one_out': leave_one_out,
  'attention': attention,
  'attention_x_gradient': attention_x_gradient,
}
OF_ATTENTION = 'attention', 'attention_x_gradient'


@single_precision()
@functools.partial(jax.jit, static_argnames='names')
def attributions_of_batch(
  trained: TrainedModel, batch: Batch, names: tuple[str, ...]
) -> dict[str, jax.Array]:
  """Returns a batch's attributions [B, T] to its predicted classes, by name."""
  classes_B = trained.classes(trained.probabilities(batch))
  return {name: ATTRIBUTIONS[name](trained, batch, classes_B) for name in names}


@single_precision()
def attribute(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  split: EncodedSplit,
  names: Sequence[str] = tuple(ATTRIBUTIONS),
  batch_size: int = 256,
  threshold: float | None = None,
) -> dict[str, list[np.ndarray]]:
  """Returns the attributions of a split's texts to their predicted classes.

  Args:
    model, task, params: the trained model.
    split: the texts.
    names: names of `ATTRIBUTIONS`.
    batch_size: the maximal number of texts per batch.
    threshold: see `TrainedModel`.

  Returns:
    For each name and text, one weight per token.
  """

  def step(trained, batch, key):
    del key
    return attributions_of_batch(trained, batch, tuple(names))

  trained = TrainedModel(model, task, params, threshold)
  return over_split(step, trained, split, batch_size)


def _embedded(trained: TrainedModel, batch: Batch) -> jax.Array:
  return lookup(trained.params['embedding'], batch['tokens'])


def _score(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array, **inputs: Any
) -> jax.Array:
  """Returns the log odds s_c [B] of the classes."""
  logits_BxC = trained.outputs(batch, **inputs).logits
  return log_odds(trained.task, logits_BxC, classes_B)


def _embedded_and_gradient(
  trained: TrainedModel,
  batch: Batch,
  classes_B: jax.Array,
  scale: float | jax.Array = 1.0,
  **inputs: Any,
) -> tuple[jax.Array, jax.Array]:
  """Returns the embedded tokens x and ds_c / dx at scale * x, [B, T, E]."""

  def score(r_BxTxE):
    inputs_of_model = {'perturbation_BxTxE': r_BxTxE, **inputs}
    return _score(trained, batch, classes_B, **inputs_of_model).sum()

  x_BxTxE = _embedded(trained, batch)
  return x_BxTxE, jax.grad(score)((scale - 1) * x_BxTxE)


def _at_tokens(weights_BxT: jax.Array, batch: Batch) -> jax.Array:
  return jnp.where(real_tokens(batch), weights_BxT, 0)
