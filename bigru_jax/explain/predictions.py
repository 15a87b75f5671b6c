"""Predictions for explanations: for one class, parts of a text, or a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from flax import linen as nn, struct
import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, round_up
from bigru_jax.models.classifier import Outputs
from bigru_jax.runtime.fields import check_count
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import SingleLabel

Batch = Mapping[str, jax.Array]
# A position is computed hundreds of times, and each shape compiles several
# programs.
_MAX_SHAPES = 4
_SHAPE_COST = 1000


def check_supported(config: Config) -> None:
  """Raises ValueError if a configuration's model cannot be explained."""
  if config.task != 'single_label':
    raise ValueError(f'task={config.task}: explanations need single_label')
  if config.model != 'flat':
    raise ValueError(f'model={config.model}: explanations need flat')
  if config.pooling_entry.by_label:
    raise ValueError(
      f'pooling={config.pooling}: explanations need one attention for all '
      'labels'
    )


@struct.dataclass
class TrainedModel:
  """A model with its parameters, as an argument of `jax.jit`.

  Attributes:
    model, task: static parts.
    params: the parameters, which are traced.
    threshold: the probability from which on the positive one of two classes is
      predicted; by default the most probable class is. It is static.
  """

  model: nn.Module = struct.field(pytree_node=False)
  task: SingleLabel = struct.field(pytree_node=False)
  params: Any
  threshold: float | None = struct.field(pytree_node=False, default=None)

  def outputs(self, batch: Batch, **inputs: Any) -> Outputs:
    """Returns the model's outputs, given further inputs such as `attention`."""
    outputs: Any = self.model.apply({'params': self.params}, batch, **inputs)
    return outputs

  def probabilities(self, batch: Batch) -> jax.Array:
    """Returns the class probabilities [B, C]."""
    return self.task.probabilities(self.outputs(batch).logits)

  def classes(self, probabilities: jax.Array) -> jax.Array:
    """Returns the predicted classes [...], given probabilities [..., C]."""
    positive = self.task.positive
    if self.threshold is None or positive is None:
      return probabilities.argmax(-1)
    is_positive = probabilities[..., positive] >= self.threshold
    return jnp.where(is_positive, positive, 1 - positive)

  def attention_weights(self, batch: Batch) -> jax.Array:
    """Returns the model's attention weights [B, K, T].

    Raises:
      ValueError: the pooling has no weights.
    """
    attention = self.outputs(batch).attention
    if 'words' not in attention:
      raise ValueError('attention: the pooling of this model has no weights')
    return attention['words']


def log_odds(
  task: SingleLabel, logits_BxC: jax.Array, classes_B: jax.Array
) -> jax.Array:
  """Returns log p - log(1 - p) [B] for the probability p of each text's class.

  The gradient of p is p (1 - p) times the gradient of the log odds, so both
  order the tokens of a text in the same way. Unlike p, the log odds have a
  gradient even if p is 1 in float32.
  """
  if task.num_outputs == 1:
    return jnp.where(classes_B == 1, logits_BxC[:, 0], -logits_BxC[:, 0])
  mine = jnp.arange(logits_BxC.shape[-1]) == classes_B[:, None]
  of_class_B = jnp.where(mine, logits_BxC, 0).sum(-1)
  if not task.activation.sums_to_one:
    return of_class_B
  rest_BxC = jnp.where(mine, -jnp.inf, logits_BxC)
  return of_class_B - jax.nn.logsumexp(rest_BxC, axis=-1)


def of_classes(values: jax.Array, classes_B: jax.Array) -> jax.Array:
  """Selects the values of each text's class, [B, ...], from [B, ..., C]."""
  classes = classes_B.reshape(-1, *(1 for _ in values.shape[1:]))
  return jnp.take_along_axis(values, classes, axis=-1)[..., 0]


def total_variation(p: jax.Array, q: jax.Array) -> jax.Array:
  """Returns the total variation distance, 1/2 sum_c |p_c - q_c|."""
  return jnp.abs(p - q).sum(-1) / 2


def real_tokens(batch: Batch) -> jax.Array:
  """Returns whether each position holds a token, bool [B, T]."""
  positions = jnp.arange(batch['tokens'].shape[1])
  return positions < batch['lengths'][:, None]


def keep_tokens(batch: Batch, keep_BxT: jax.Array) -> dict[str, jax.Array]:
  """Removes tokens from each text of a batch, which makes the texts shorter.

  A text that keeps no token is all padding.

  Args:
    batch: a batch with `tokens` and `lengths`.
    keep_BxT: True at the tokens to keep; False at padding.
  """
  order_BxT = jnp.argsort(~keep_BxT, axis=-1, stable=True)
  shorter = {
    name: jnp.take_along_axis(batch[name], order_BxT, axis=-1)
    for name in ('tokens', 'entities')
    if name in batch
  }
  lengths_B = keep_BxT.sum(-1).astype(batch['lengths'].dtype)
  return {**batch, **shorter, 'lengths': lengths_B}


def sampled(split: EncodedSplit, limit: int, seed: int) -> EncodedSplit:
  """Draws at most `limit` texts of a split at random, and keeps their order.

  All have the same weight in the loss, and few different padded lengths.
  """
  rows = np.arange(len(split))
  if limit < len(rows):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(rows, limit, replace=False))
  table = split.table.take(rows)
  lengths = round_up(table['tokens'].lengths)
  return dataclasses.replace(
    split,
    table=table.with_columns(weight=np.ones(len(rows), np.float32)),
    buckets=choose_buckets(lengths, _MAX_SHAPES, _SHAPE_COST),
  )


@single_precision()
def over_split(
  step: Callable[..., dict[str, jax.Array]],
  trained: Any,
  split: EncodedSplit,
  batch_size: int,
  seed: int = 0,
) -> dict[str, list[np.ndarray]]:
  """Runs a step over a split; returns its results in the order of the texts.

  Args:
    step: the jitted (trained, batch, key) -> arrays by name. Their leading axis
      is that of the texts. The last axis of an array with two or more axes is
      that of the tokens, and is cut to each text's length.
    trained: a `TrainedModel`, or a pytree of several.
    split: the texts.
    batch_size: the maximal number of texts per batch.
    seed: the seed of the key, which differs from batch to batch.

  Raises:
    ValueError: `batch_size` is below 1.
  """
  results: dict[str, list[Any]] = {}
  batch_size = check_count('batch_size', batch_size)
  size = min(batch_size, int(round_up(np.array([len(split)]))[0]))
  for i, (shape, indices) in enumerate(split.plan(size)):
    batch = split.batch(indices, shape, size)
    key = jax.random.fold_in(jax.random.key(seed), i)
    for name, array in jax.device_get(step(trained, batch, key)).items():
      values = results.setdefault(name, [None] * len(split))
      for index, value, length in zip(indices, array, batch['lengths']):
        values[index] = value[..., :length] if value.ndim else value
  return results
