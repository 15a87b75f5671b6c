"""Padded batches of a split."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np

from bigru_jax.data.documents import Documents, DocumentShape
from bigru_jax.data.entities import inside_entities
from bigru_jax.data.epoch_plan import epoch_plan
from bigru_jax.data.ragged import Ragged, consecutive
from bigru_jax.data.splits import Table, label_array
from bigru_jax.data.text import UNK_ID

# The padded length of a batch's texts, or the shape of a batch of documents.
BatchShape = int | DocumentShape
# The shape of each batch, and the indices of its examples.
Plan = list[tuple[BatchShape, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedSplit:
  """A split that makes batches.

  Attributes:
    table: its columns; a batch needs `tokens` and `weight`, `label` unless the
      texts have none, for the hierarchical model `sentences`, and for soft
      labels `target`.
    buckets: the padded lengths, or for a hierarchical split the padded numbers
      of sentences, from `choose_buckets`.
    num_labels: C, which only several labels per text need.
    markers: the ids of `text.MARKERS`, if batches have `entities`; the texts
      must pass `entities.check_entities`.
    sentence_length: T of a hierarchical split, at least the length of its
      longest sentence.
    num_shards: the number of devices that share a batch of a hierarchical
      split. A document's sentences are on its own device.
  """

  table: Table
  buckets: list[int]
  num_labels: int = 0
  markers: Sequence[int] = ()
  sentence_length: int = 0
  num_shards: int = 1

  def __len__(self) -> int:
    return len(self.table)

  def mask_unseen(self, first: int) -> EncodedSplit:
    """Returns the split with ids from `first` on replaced by <unk>."""
    tokens = self.table['tokens'].flat()
    tokens[tokens >= first] = UNK_ID
    masked = consecutive(tokens, self.table['tokens'].lengths)
    return self.with_columns(tokens=masked)

  def with_columns(self, **columns: Any) -> EncodedSplit:
    """Returns the split with these columns of its table added or replaced."""
    table = self.table.with_columns(**columns)
    return dataclasses.replace(self, table=table)

  def with_num_shards(self, num_shards: int) -> EncodedSplit:
    """Returns the split for batches that this many devices share."""
    return dataclasses.replace(self, num_shards=num_shards)

  def label_array(self) -> np.ndarray:
    """Returns the labels: int32 [N], or bool [N, C] if there are several."""
    return label_array(self.table['label'], self.num_labels)

  def example_weights(self) -> np.ndarray | None:
    """Returns the weights of the examples [N]; None if all are 1."""
    if 'example_weight' not in self.table:
      return None
    return self.table['example_weight']

  def plan(
    self, batch_size: int, seed: int | None = None, epoch: int = 0
  ) -> Plan:
    """Returns the batches of an epoch with their shapes; see `epoch_plan`."""
    return self._batcher.plan(self.buckets, batch_size, seed, epoch)

  def batch(
    self, indices: np.ndarray, shape: BatchShape, batch_size: int
  ) -> dict[str, np.ndarray]:
    """Returns the arrays of one batch, filled up with padding examples.

    Args:
      indices: the indices of the examples.
      shape: a shape from `plan`: T, the padded length of the texts; for a
        hierarchical split, M, the padded number of sentences per document, and
        S, that of the batch. A batch_size other than the plan's may need a
        larger S.
      batch_size: B.

    Returns:
      `tokens` [B, T] int32; `lengths` [B] int32, 0 for a padding example;
      `weights` [B] float32, 0 for a padding example; if the table has `label`,
      `labels` [B] int32, or bool [B, C] for several labels per text; if it has
      `target`, `targets` [B, C] float32, 0 for a padding example; and with
      `markers`, `entities` [B, T] int32, see `entities.inside_entities`.

      For a hierarchical split, `tokens` [S, T] are all sentences of the batch
      in the order of the documents; `sentence_lengths` [S] int32 are 0 for
      padding sentences; and `sentence_mask` [B, M] is True at the sentences of
      each document. Each of `num_shards` equal parts of S has the sentences of
      the same part of B, and then its padding sentences.
    """
    batch = {
      'lengths': padded(self.table['tokens'].lengths[indices], batch_size),
      'weights': padded(self.table['weight'][indices], batch_size),
    }
    if 'label' in self.table:
      labels = label_array(self.table['label'][indices], self.num_labels)
      batch['labels'] = padded(labels, batch_size)
    if 'target' in self.table:
      batch['targets'] = padded(self.table['target'][indices], batch_size)
    return batch | self._batcher.arrays(indices, shape, batch_size)

  def local_batch(
    self,
    indices: np.ndarray,
    shape: BatchShape,
    batch_size: int,
    index: int,
    count: int,
  ) -> dict[str, np.ndarray]:
    """Returns one of several equal parts of a batch, along the leading axes.

    Args:
      indices, shape, batch_size: those of the whole batch, see `batch`.
      index: the index of the part, from 0.
      count: the number of parts; for a hierarchical split, a divisor of
        `num_shards`.
    """
    size = batch_size // count
    split = self.with_num_shards(max(self.num_shards // count, 1))
    shape = self._batcher.local_shape(shape, count)
    return split.batch(indices[index * size : (index + 1) * size], shape, size)

  def padding_fraction(self, plan: Plan, batch_size: int) -> float:
    """Returns the share of positions without a token, padding included."""
    positions = sum(
      self._batcher.positions(shape, batch_size) for shape, _ in plan
    )
    tokens = float(self.table['tokens'].lengths.sum())
    return 1 - tokens / positions if positions else 0.0

  @property
  def _batcher(self) -> Any:  # Each of the two has another type of shape.
    tokens = self.table['tokens']
    if 'sentences' not in self.table:
      return Texts(tokens, self.markers)
    return Documents(
      tokens=tokens,
      sentences=self.table['sentences'],
      sentence_length=self.sentence_length,
      num_shards=self.num_shards,
    )


@dataclasses.dataclass(frozen=True)
class Texts:
  """The texts of a flat split; its methods are those of `Documents`.

  Attributes:
    tokens: the tokens of each text.
    markers: see `EncodedSplit`.
  """

  tokens: Ragged
  markers: Sequence[int]

  def plan(
    self, buckets: list[int], batch_size: int, seed: int | None, epoch: int
  ) -> Plan:
    """Returns the batches of an epoch with their padded lengths."""
    lengths = self.tokens.lengths
    return list(epoch_plan(lengths, buckets, batch_size, seed, epoch))

  def arrays(
    self, indices: np.ndarray, shape: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """Returns a batch's `tokens` [B, T], and `entities` if it has markers."""
    tokens = self.tokens[indices]
    tokens_BxT = tokens.padded(padded(tokens.lengths, batch_size), shape)
    if not self.markers:
      return {'tokens': tokens_BxT}
    entities_BxT = inside_entities(tokens_BxT, self.markers)
    return {'tokens': tokens_BxT, 'entities': entities_BxT}

  def local_shape(self, shape: int, count: int) -> int:
    """Returns the shape of one of `count` equal parts of a batch."""
    del count
    return shape

  def positions(self, shape: int, batch_size: int) -> int:
    """Returns the number of positions of a batch, including padding."""
    return shape * batch_size


def padded(values: np.ndarray, size: int) -> np.ndarray:
  """Pads the values with zeros to this size."""
  array = np.zeros((size, *values.shape[1:]), values.dtype)
  array[: len(values)] = values
  return array
