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
# The shape, and the indices of the examples, of each batch.
Plan = list[tuple[BatchShape, np.ndarray]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedSplit:
  """A split of which batches are made.

  Attributes:
    table: its columns, of which a batch needs `tokens`, `label` and `weight`,
      and in the hierarchical model `sentences`.
    buckets: the padded lengths, or of a hierarchical split the padded numbers
      of sentences, from `choose_buckets`.
    num_labels: C; only several labels a text need it.
    markers: the ids of `text.MARKERS` where a batch is to have `entities`; the
      texts are checked by `entities.check_entities`.
    sentence_length: T of a hierarchical split, at least its longest sentence.
    num_shards: the devices that share a batch of a hierarchical split. A
      document's sentences are on its own device.
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
    """The split with ids from `first` on replaced by <unk>."""
    tokens = self.table['tokens'].flat()
    tokens[tokens >= first] = UNK_ID
    masked = consecutive(tokens, self.table['tokens'].lengths)
    return dataclasses.replace(
      self, table=self.table.with_columns(tokens=masked)
    )

  def with_num_shards(self, num_shards: int) -> EncodedSplit:
    """The split for batches that this many devices share."""
    return dataclasses.replace(self, num_shards=num_shards)

  def label_array(self) -> np.ndarray:
    """The labels: int32 [N], or bool [N, C] for several labels a text."""
    return label_array(self.table['label'], self.num_labels)

  def plan(
    self, batch_size: int, seed: int | None = None, epoch: int = 0
  ) -> Plan:
    """The batches of an epoch, each with its shape; see `epoch_plan`."""
    return self._batcher.plan(self.buckets, batch_size, seed, epoch)

  def batch(
    self, indices: np.ndarray, shape: BatchShape, batch_size: int
  ) -> dict[str, np.ndarray]:
    """The arrays of one batch, completed to batch_size by padding examples.

    Args:
      indices: of the examples.
      shape: from `plan`: T, to which the texts are padded; for a hierarchical
        split M, to which the numbers of their sentences are padded, and S. A
        batch_size other than the plan's may need a larger S.
      batch_size: B.

    Returns:
      `tokens` [B, T] int32; `lengths` [B] int32, 0 for a padding example;
      `labels` [B] int32, or bool [B, C] for several labels a text; `weights`
      [B] float32, 0 for a padding example; and with `markers` `entities`
      [B, T] int32, see `entities.inside_entities`.

      For a hierarchical split `tokens` are [S, T], all sentences of the batch
      in the order of the documents; `sentence_lengths` [S] int32, 0 for a
      padding sentence; `sentence_mask` [B, M] bool, which sentences a document
      has. Each of `num_shards` equal parts of S holds the sentences of the same
      part of B, and then its padding sentences.
    """
    labels = label_array(self.table['label'][indices], self.num_labels)
    batch = {
      'lengths': _padded(self.table['tokens'].lengths[indices], batch_size),
      'labels': _padded(labels, batch_size),
      'weights': _padded(self.table['weight'][indices], batch_size),
    }
    return batch | self._batcher.arrays(indices, shape, batch_size)

  def local_batch(
    self,
    indices: np.ndarray,
    shape: BatchShape,
    batch_size: int,
    index: int,
    count: int,
  ) -> dict[str, np.ndarray]:
    """One of several equal parts of a batch, along the leading axes.

    Args:
      indices, shape, batch_size: of the whole batch, see `batch`.
      index: which part, from 0.
      count: the number of parts; of a hierarchical split a divisor of
        `num_shards`.
    """
    size = batch_size // count
    split = self.with_num_shards(max(self.num_shards // count, 1))
    shape = self._batcher.local_shape(shape, count)
    return split.batch(indices[index * size : (index + 1) * size], shape, size)

  def padding_fraction(self, plan: Plan, batch_size: int) -> float:
    """The share of positions that hold no token, with padding examples."""
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
    tokens: of each text.
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
    """`tokens` [B, T] of a batch, and its `entities` if there are markers."""
    tokens = self.tokens[indices]
    tokens_BxT = tokens.padded(_padded(tokens.lengths, batch_size), shape)
    if not self.markers:
      return {'tokens': tokens_BxT}
    entities_BxT = inside_entities(tokens_BxT, self.markers)
    return {'tokens': tokens_BxT, 'entities': entities_BxT}

  def local_shape(self, shape: int, count: int) -> int:
    """The shape of one of `count` equal parts of a batch."""
    del count
    return shape

  def positions(self, shape: int, batch_size: int) -> int:
    """The positions of a batch, with those of padding."""
    return shape * batch_size


def _padded(values: np.ndarray, size: int) -> np.ndarray:
  """The values completed to this many by zeros."""
  padded = np.zeros((size, *values.shape[1:]), values.dtype)
  padded[: len(values)] = values
  return padded
