"""Attributions: how much each token of a text contributes to a class.

Each is a function of a `TrainedModel`, a batch and one class per text, and
returns weights [B, T], zero at padding; see `positions` for T of a hierarchical
model. A positive weight speaks for the class; those of `UNSIGNED` only say how
much a token matters. Gradients explain the log odds of the class (see
`predictions.log_odds`), and leave-one-out explains its probability. Call them
inside `jax.jit`; `attribute` does so for the texts of a split.
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
from bigru_jax.explain.positions import (
  Batch,
  at_sentences,
  at_tokens,
  keep_tokens,
  real_tokens,
)
from bigru_jax.explain.predictions import (
  TrainedModel,
  log_odds,
  make_trained,
  of_classes,
  over_split,
)
from bigru_jax.models.pooling import pooling_of
from bigru_jax.ops.embedding import lookup
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

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
  return at_tokens(jnp.sqrt((g_BxTxE**2).sum(-1)), batch)


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
    weights, inputs = trained.attention_to(batch, classes_B)
    inputs = {**inputs, 'attention': weights}
  x_BxTxE, g_BxTxE = _embedded_and_gradient(trained, batch, classes_B, **inputs)
  return at_tokens((x_BxTxE * g_BxTxE).sum(-1), batch)


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
  weights_BxT = at_tokens(jax.lax.map(weighted, points).sum(0), batch)
  x = _embedded(trained, batch)
  baseline_B = _score(trained, batch, classes_B, perturbation=-x)
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
  drops_BxT = of_classes(drops_BxTxC, classes_B)
  return jnp.where(real_tokens(batch), drops_BxT, 0)


@single_precision()
def left_out(trained: TrainedModel, batch: Batch) -> jax.Array:
  """Returns the probabilities [B, T, C] of each text without token t.

  At padding they are those of an empty text.
  """
  mask_BxT = real_tokens(batch)
  positions_T = jnp.arange(mask_BxT.shape[1])

  def without(position, parts_TxBxC):
    # A text that ends before this position is emptied, so that it costs little.
    is_longer_Bx1 = mask_BxT[:, position][:, None]
    keep_BxT = mask_BxT & is_longer_Bx1 & (positions_T != position)
    part_BxC = trained.probabilities(keep_tokens(batch, keep_BxT))
    return parts_TxBxC.at[position].set(part_BxC)

  own_BxC = trained.probabilities(batch)
  parts_TxBxC = jnp.zeros((len(positions_T), *own_BxC.shape), own_BxC.dtype)
  longest = batch['lengths'].max()
  parts_TxBxC = jax.lax.fori_loop(0, longest, without, parts_TxBxC)
  return jnp.moveaxis(parts_TxBxC, 0, 1)


@single_precision()
def attention(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array
) -> jax.Array:
  """Returns the attention weights a_t, averaged over the heads.

  Only those of label-wise attention depend on the class. In a hierarchical
  model, the weight of a word is multiplied by the root of its sentence's
  weight, as in Yang et al., 2016, https://aclanthology.org/N16-1174, section
  3.3.

  Raises:
    ValueError: the model's pooling has no weights.
  """
  weights, _ = trained.attention_to(batch, classes_B)
  words_BxT = at_tokens(weights['words'].mean(1), batch)
  if 'sentences' in weights:
    roots_BxM = jnp.sqrt(weights['sentences'].mean(1))
    words_BxT *= at_sentences(roots_BxM, batch)
  return words_BxT


@single_precision()
def attention_x_gradient(
  trained: TrainedModel, batch: Batch, classes_B: jax.Array
) -> jax.Array:
  """Returns the attention weights times their gradient, a_t ds_c / da_t.

  Serrano & Smith, 2019, https://aclanthology.org/P19-1282, section 4. The
  products are summed over the heads; the states that are weighted are
  constants, and in a hierarchical model the weights of the sentences as well.

  Raises:
    ValueError: the model's pooling has no weights.
  """
  weights, inputs = trained.attention_to(batch, classes_B)

  def score(words):
    inputs_of_model = {**inputs, 'attention': {**weights, 'words': words}}
    return _score(trained, batch, classes_B, **inputs_of_model).sum()

  products = weights['words'] * jax.grad(score)(weights['words'])
  return at_tokens(products.sum(1), batch)


ATTRIBUTIONS: dict[str, Callable[..., jax.Array]] = {
  'gradient': gradient,
  'gradient_x_input': gradient_x_input,
  'integrated_gradients': lambda *args: integrated_gradients(*args)[0],
  'leave_one_out': leave_one_out,
  'attention': attention,
  'attention_x_gradient': attention_x_gradient,
}
OF_ATTENTION = 'attention', 'attention_x_gradient'
UNSIGNED = 'attention', 'gradient'
# Those that the page of a run can show.
PAGE_METHODS = (
  'attention', 'gradient_x_input', 'integrated_gradients', 'leave_one_out',
)  # fmt: skip


def methods_of(pooling: str) -> tuple[str, ...]:
  """Returns the names of the attributions of models with this pooling."""
  if pooling_of(pooling).has_weights:
    return tuple(ATTRIBUTIONS)
  return tuple(name for name in ATTRIBUTIONS if name not in OF_ATTENTION)


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
  task: Task,
  params: Any,
  split: EncodedSplit,
  names: Sequence[str] | None = None,
  batch_size: int = 256,
  thresholds: Sequence[float] = (),
) -> dict[str, list[np.ndarray]]:
  """Returns the attributions of a split's texts to their predicted classes.

  Args:
    model, task, params: the trained model.
    split: the texts.
    names: names of `ATTRIBUTIONS`; by default all that the model has.
    batch_size: the maximal number of texts per batch.
    thresholds: see `TrainedModel`.

  Returns:
    For each name and text, one weight per token.
  """

  trained = make_trained(model, task, params, thresholds)
  chosen = tuple(names or methods_of(trained.model.pooling))

  def step(trained, batch, key):
    del key
    return attributions_of_batch(trained, batch, chosen)

  return over_split(step, trained, split, batch_size)


def _embedded(trained: TrainedModel, batch: Batch) -> jax.Array:
  """Returns the embedded tokens, [B, T, E], or [S, T, E] of documents."""
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
  """Returns the embedded tokens x and ds_c / dx_t at scale * x."""

  def score(r):
    return _score(trained, batch, classes_B, perturbation=r, **inputs).sum()

  x = _embedded(trained, batch)
  return x, jax.grad(score)((scale - 1) * x)
