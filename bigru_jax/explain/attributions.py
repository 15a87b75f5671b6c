"""Attributions: how much each token of a text counts for a class.

Each is a function of a model, its task, its parameters, a batch and a class per
text; it returns weights [B, T], zero at padding. Those of the gradient explain
the log odds of the class (see `predictions.log_odds`), leave-one-out its
probability. They are written to be called inside `jax.jit`, with the model and
the task static; `attribute` does that for the texts of a split.
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
  keep_tokens,
  log_odds,
  of_classes,
  over_split,
  predicted_classes,
  probabilities,
  real_tokens,
)
from bigru_jax.ops.embedding import lookup
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import SingleLabel

# Of the Gauss-Legendre quadrature; the completeness error says whether they are
# enough.
STEPS = 20


@single_precision()
def gradient(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
) -> jax.Array:
  """The norm of the gradient by each embedded token, ||ds_c / dx_t||.

  Simonyan et al., 2014, https://arxiv.org/abs/1312.6034.
  """
  _, g_BxTxE = _embedded_and_gradient(model, task, params, batch, classes_B)
  return _at_tokens(jnp.sqrt((g_BxTxE**2).sum(-1)), batch)


@single_precision()
def gradient_x_input(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
  fixed_attention: bool = False,
) -> jax.Array:
  """The gradient by each embedded token times the token, x_t . ds_c / dx_t.

  Shrikumar et al., 2017, https://arxiv.org/abs/1605.01713.

  Args:
    model, task, params, batch, classes_B: see the module.
    fixed_attention: whether the attention weights are constants, as Jain &
      Wallace, 2019, section 4.1, take the gradient.
  """
  inputs = {}
  if fixed_attention:
    weights_BxKxT = attention_weights(model, params, batch)
    inputs['attention'] = {'words': weights_BxKxT}
  x_BxTxE, g_BxTxE = _embedded_and_gradient(
    model, task, params, batch, classes_B, **inputs
  )
  return _at_tokens((x_BxTxE * g_BxTxE).sum(-1), batch)


@single_precision()
def integrated_gradients(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
  steps: int = STEPS,
) -> tuple[jax.Array, jax.Array]:
  """x_t . int_0^1 ds_c(a x) / dx_t da, and its completeness error.

  Sundararajan et al., 2017, https://arxiv.org/abs/1703.01365, equation 1. The
  baseline is the zero vector in place of every token; the integral is taken by
  the Gauss-Legendre quadrature.

  Args:
    model, task, params, batch, classes_B: see the module.
    steps: points of the quadrature.

  Returns:
    The weights [B, T]; and [B], |sum_t weights_t - (s_c(x) - s_c(0))|, which is
    zero for the exact integral (their proposition 1).
  """
  tokens_BxT = batch['tokens']
  x_BxTxE = lookup(params['embedding'], tokens_BxT)
  nodes_S, weights_S = np.polynomial.legendre.leggauss(steps)

  def gradient_at(point):
    share, weight = point
    g_BxTxE = _gradient(
      model, task, params, batch, classes_B, (share - 1) * x_BxTxE
    )
    return weight * (x_BxTxE * g_BxTxE).sum(-1)

  points = jnp.float32((nodes_S + 1) / 2), jnp.float32(weights_S / 2)
  weights_BxT = _at_tokens(jax.lax.map(gradient_at, points).sum(0), batch)

  def score(perturbation_BxTxE):
    return _score(model, task, params, batch, classes_B, perturbation_BxTxE)

  difference_B = score(jnp.zeros_like(x_BxTxE)) - score(-x_BxTxE)
  return weights_BxT, jnp.abs(weights_BxT.sum(-1) - difference_B)


@single_precision()
def leave_one_out(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
) -> jax.Array:
  """The drop of the class's probability without each token, p_c(x) - p_c(x_-t).

  Li et al., 2016, https://arxiv.org/abs/1612.08220. As in Jain & Wallace, 2019,
  the token is removed, and the text is shorter by it. Removing the only token
  of a text leaves the model with no token.
  """
  whole_BxC = probabilities(model, task, params, batch)
  others_BxTxC = left_out(model, task, params, batch)
  drops_BxTxC = whole_BxC[:, None] - others_BxTxC
  return _at_tokens(of_classes(drops_BxTxC, classes_B), batch)


@single_precision()
def left_out(
  model: nn.Module, task: SingleLabel, params: Any, batch: Batch
) -> jax.Array:
  """The probabilities [B, T, C] of each text without the token at t."""
  mask_BxT = real_tokens(batch)
  positions_T = jnp.arange(mask_BxT.shape[1])

  def without(position):
    keep_BxT = mask_BxT & (positions_T != position)
    return probabilities(model, task, params, keep_tokens(batch, keep_BxT))

  return jnp.moveaxis(jax.lax.map(without, positions_T), 0, 1)


@single_precision()
def attention(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
) -> jax.Array:
  """The attention weights, a_t; the mean of several heads.

  They are the same for every class.

  Raises:
    ValueError: the model's pooling has no weights.
  """
  del task, classes_B
  return attention_weights(model, params, batch).mean(1)


@single_precision()
def attention_x_gradient(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
) -> jax.Array:
  """The attention weights times the gradient by them, a_t ds_c / da_t.

  Serrano & Smith, 2019, https://aclanthology.org/P19-1282, section 4. The sum
  over the heads; the encoder's states are constants.

  Raises:
    ValueError: the model's pooling has no weights.
  """
  weights_BxKxT = attention_weights(model, params, batch)

  def score(weights):
    inputs = {'attention': {'words': weights}}
    return _score(model, task, params, batch, classes_B, None, **inputs).sum()

  g_BxKxT = jax.grad(score)(weights_BxKxT)
  return _at_tokens((weights_BxKxT * g_BxKxT).sum(1), batch)


def attention_weights(model: nn.Module, params: Any, batch: Batch) -> jax.Array:
  """The model's attention weights, [B, K, T].

  Raises:
    ValueError: its pooling has none.
  """
  outputs: Any = model.apply({'params': params}, batch)
  if 'words' not in outputs.attention:
    raise ValueError('attention: the pooling of this model has no weights')
  return outputs.attention['words']


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
@functools.partial(jax.jit, static_argnames=('model', 'task', 'names'))
def attributions_of_batch(
  model: nn.Module,
  task: SingleLabel,
  names: tuple[str, ...],
  params: Any,
  batch: Batch,
) -> dict[str, jax.Array]:
  """The attributions of a batch to its predicted classes, by name, [B, T]."""
  classes_B = predicted_classes(model, task, params, batch)
  return {
    name: ATTRIBUTIONS[name](model, task, params, batch, classes_B)
    for name in names
  }


@single_precision()
def attribute(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  split: EncodedSplit,
  names: Sequence[str] = tuple(ATTRIBUTIONS),
  batch_size: int = 256,
) -> dict[str, list[np.ndarray]]:
  """The attributions of all texts of a split to their predicted classes.

  Args:
    model, task, params: the trained model.
    split: the texts.
    names: of `ATTRIBUTIONS`.
    batch_size: the most texts per batch.

  Returns:
    By name, for each text one weight per token.
  """

  def step(params, batch, key):
    del key
    return attributions_of_batch(model, task, tuple(names), params, batch)

  return over_split(step, params, split, batch_size)


def _score(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
  perturbation_BxTxE: jax.Array | None,
  **inputs: Any,
) -> jax.Array:
  """The log odds of the classes, s_c, [B]."""
  outputs: Any = model.apply(
    {'params': params},
    batch,
    perturbation_BxTxE=perturbation_BxTxE,
    **inputs,
  )
  return log_odds(task, outputs.logits, classes_B)


def _gradient(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
  perturbation_BxTxE: jax.Array,
  **inputs: Any,
) -> jax.Array:
  """The gradient of the log odds by the embedded tokens, [B, T, E]."""

  def score(r_BxTxE):
    return _score(
      model, task, params, batch, classes_B, r_BxTxE, **inputs
    ).sum()

  return jax.grad(score)(perturbation_BxTxE)


def _embedded_and_gradient(
  model: nn.Module,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  classes_B: jax.Array,
  **inputs: Any,
) -> tuple[jax.Array, jax.Array]:
  x_BxTxE = lookup(params['embedding'], batch['tokens'])
  g_BxTxE = _gradient(
    model, task, params, batch, classes_B, jnp.zeros_like(x_BxTxE), **inputs
  )
  return x_BxTxE, g_BxTxE


def _at_tokens(weights_BxT: jax.Array, batch: Batch) -> jax.Array:
  return jnp.where(real_tokens(batch), weights_BxT, 0)
