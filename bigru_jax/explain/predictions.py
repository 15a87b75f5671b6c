"""Predictions for explanations: for one class, parts of a text, or a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from flax import linen as nn, struct
import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, round_up
from bigru_jax.explain.positions import Batch, with_positions
from bigru_jax.models.classifier import Outputs
from bigru_jax.models.embedding import with_joined_table, with_ngrams_in_table
from bigru_jax.models.pooling import pooling_of
from bigru_jax.runtime.fields import check_count
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import MultiLabel, Task

# A position is computed hundreds of times, and each shape compiles several
# programs.
_MAX_SHAPES = 4
_SHAPE_COST = 1000


def check_supported(config: Config) -> None:
  """Raises ValueError if the tests of attention do not apply to a model."""
  if config.task != 'single_label':
    raise ValueError(
      f'task={config.task}: the tests of attention need single_label'
    )
  if config.model != 'flat':
    raise ValueError(f'model={config.model}: the tests of attention need flat')
  if config.pooling_entry.by_label:
    raise ValueError(
      f'pooling={config.pooling}: the tests of attention need one attention '
      'for all labels'
    )


@struct.dataclass
class TrainedModel:
  """A model with its parameters, as an argument of `jax.jit`.

  Attributes:
    model, task: static parts.
    params: the parameters, which are traced.
    thresholds: see `calibration.Calibration`. They are static.
  """

  model: nn.Module = struct.field(pytree_node=False)
  task: Task = struct.field(pytree_node=False)
  params: Any
  thresholds: tuple[float, ...] = struct.field(pytree_node=False, default=())

  def outputs(self, batch: Batch, **inputs: Any) -> Outputs:
    """Returns the model's outputs, given further inputs such as `attention`."""
    outputs: Any = self.model.apply({'params': self.params}, batch, **inputs)
    return outputs

  def probabilities(self, batch: Batch) -> jax.Array:
    """Returns the class probabilities [B, C]."""
    return self.task.probabilities(self.outputs(batch).logits)

  def classes(self, probabilities: jax.Array) -> jax.Array:
    """Returns the class to explain [...], given probabilities [..., C].

    It is the predicted class; or with several labels the most probable one of
    those that are predicted, or of all if none is.
    """
    if isinstance(self.task, MultiLabel):
      thresholds_C = jnp.array(self.thresholds or (0.5,))
      is_predicted = probabilities >= thresholds_C
      # Any predicted label precedes any other.
      return (probabilities + is_predicted).argmax(-1)
    positive = self.task.positive
    if not self.thresholds or positive is None:
      return probabilities.argmax(-1)
    is_positive = probabilities[..., positive] >= self.thresholds[0]
    return jnp.where(is_positive, positive, 1 - positive)

  def attention_weights(self, batch: Batch) -> jax.Array:
    """Returns the attention weights [B, K, T] over the words of a flat model.

    Raises:
      ValueError: the pooling has no weights.
    """
    return self._weights(self.outputs(batch))['words']

  def attention_to(
    self, batch: Batch, classes_B: jax.Array
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Returns the attention by name that leads to the class of each text.

    Of label-wise attention this is the head of the class, and otherwise the
    whole attention; see `Outputs`.

    Returns:
      The weights, and the further inputs that the model needs if it is given
      weights instead of its own.

    Raises:
      ValueError: the pooling has no weights.
    """
    inputs = {}
    if pooling_of(self.model.pooling).by_label:
      # One output for two classes is that of the second.
      first = self.task.num_classes - self.task.num_outputs
      heads_B = jnp.maximum(jnp.asarray(classes_B) - first, 0)
      inputs['head_labels_BxK'] = heads_B[:, None]
    return self._weights(self.outputs(batch, **inputs)), inputs

  def _weights(self, outputs: Outputs) -> dict[str, jax.Array]:
    if not outputs.attention:
      raise ValueError('attention: the pooling of this model has no weights')
    return outputs.attention


def make_trained(
  model: Any, task: Task, params: Any, thresholds: Sequence[float] = ()
) -> TrainedModel:
  """Returns a model to explain, which computes in float32 on one device.

  Args:
    model: a `Classifier` or a `HierarchicalClassifier`.
    task: its task.
    params: its parameters, or `ShapeDtypeStruct`s to compile with; the
      embedding table may have rows for more words than the model.
    thresholds: see `calibration.Calibration`.
  """
  # The tokens are explained as vectors that the encoder reads.
  model, params = with_ngrams_in_table(model, jax.device_get(params))
  params, _ = with_joined_table(params)
  size, features = params['embedding'].shape
  model = model.clone(
    dtype=jnp.float32,  # So that the sums of attributions are as exact.
    vocabulary_size=size,
    embedding_size=features,
    set_sizes=(),
    embedding_axis=None,
  )
  device = SingleDeviceSharding(jax.local_devices()[0])

  def place(x):
    if isinstance(x, jax.ShapeDtypeStruct):
      return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device)
    return jax.device_put(x, device)

  params = jax.tree.map(place, params)
  return TrainedModel(model, task, params, tuple(thresholds))


def log_odds(
  task: Task, logits_BxC: jax.Array, classes_B: jax.Array
) -> jax.Array:
  """Returns log p - log(1 - p) [B] for the probability p of each text's class.

  The gradient of p is p (1 - p) times the gradient of the log odds, so both
  order the tokens of a text in the same way. Unlike p, the log odds have a
  gradient even if p is 1 in float32.
  """
  if task.num_outputs < task.num_classes:
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


def sampled(split: EncodedSplit, limit: int, seed: int) -> EncodedSplit:
  """Draws at most `limit` texts of a split at random, and keeps their order.

  All have the same weight in the loss, and few different padded lengths.
  """
  rows = np.arange(len(split))
  if limit < len(rows):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(rows, limit, replace=False))
  table = split.table.take(rows)
  sizes = table['sentences' if 'sentences' in table else 'tokens'].lengths
  return dataclasses.replace(
    split,
    table=table.with_columns(weight=np.ones(len(rows), np.float32)),
    buckets=choose_buckets(round_up(sizes), _MAX_SHAPES, _SHAPE_COST),
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
  split = split.with_num_shards(1)
  plan = split.plan(size)
  lengths = round_up(split.table['tokens'].lengths)
  longest: dict[Any, int] = {}  # Each shape is one compiled program.
  for shape, indices in plan:
    longest[shape] = max(longest.get(shape, 1), int(lengths[indices].max()))
  for i, (shape, indices) in enumerate(plan):
    batch = with_positions(split.batch(indices, shape, size), longest[shape])
    key = jax.random.fold_in(jax.random.key(seed), i)
    for name, array in jax.device_get(step(trained, batch, key)).items():
      values = results.setdefault(name, [None] * len(split))
      for index, value, length in zip(indices, array, batch['lengths']):
        values[index] = value[..., :length] if value.ndim else value
  return results
