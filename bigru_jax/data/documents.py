"""The shapes and arrays of batches of documents.

A batch has the sentences of all its documents along one axis. A document and
its sentences are on the same device.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data.epoch_plan import (
  SHAPE_COST,
  choose_buckets,
  epoch_plan,
  round_up,
)
from bigru_jax.data.ragged import Ragged

# A split has at most 3 padded numbers of sentences per document, and for each
# of them at most 2 of sentences per batch.
MAX_SENTENCE_SHAPES = 3
_MAX_TOTALS = 2
# M, the padded number of sentences per document, and S, that of the batch.
DocumentShape = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Documents:
  """The documents of a hierarchical split.

  Attributes:
    tokens: the tokens of each document.
    sentences: the lengths of each document's sentences.
    sentence_length: T, at least the length of the longest sentence.
    num_shards: the number of devices that share a batch.
  """

  tokens: Ragged
  sentences: Ragged
  sentence_length: int
  num_shards: int

  def plan(
    self, buckets: list[int], batch_size: int, seed: int | None, epoch: int
  ) -> list[tuple[DocumentShape, np.ndarray]]:
    """Returns the batches of an epoch with their shapes; see `epoch_plan`.

    Shapes are chosen from the first epoch's plan; later epochs reuse them and
    rarely add one.
    """

    def plan_of(epoch):
      counts = self.sentences.lengths
      return epoch_plan(counts, buckets, batch_size, seed, epoch)

    first_plan = plan_of(1)
    is_first = epoch == 1 or seed is None  # Without a seed, all are equal.
    plan = first_plan if is_first else plan_of(epoch)
    totals_by_max: dict[int, list[int]] = {}
    for max_sentences, indices in first_plan:
      total = self._max_per_shard(indices, batch_size)
      totals_by_max.setdefault(max_sentences, []).append(total)
    cost = SHAPE_COST // (self.sentence_length * self.num_shards)
    chosen_totals = {
      max_sentences: choose_buckets(totals, _MAX_TOTALS, cost)
      for max_sentences, totals in totals_by_max.items()
    }
    shaped = []
    for max_sentences, indices in plan:
      total = self._max_per_shard(indices, batch_size)
      chosen = chosen_totals[max_sentences]
      total = next((x for x in chosen if x >= total), total)
      shaped.append(((max_sentences, total * self.num_shards), indices))
    return shaped

  def arrays(
    self, indices: np.ndarray, shape: DocumentShape, batch_size: int
  ) -> dict[str, np.ndarray]:
    """Returns the arrays of a batch by sentence, see `EncodedSplit.batch`."""
    max_sentences, num_sentences = shape
    per_shard = self._per_shard(indices, batch_size)
    capacity = num_sentences // self.num_shards
    if capacity < per_shard.max():
      capacity = int(round_up(per_shard.max()))
    sentences = self.sentences[indices]
    # Each shard's sentences come after the padding of the shard before it.
    starts = np.cumsum(per_shard) - per_shard
    moves = capacity * np.arange(self.num_shards) - starts
    slots = np.arange(per_shard.sum()) + np.repeat(moves, per_shard)
    lengths_S = np.zeros(capacity * self.num_shards, np.int32)
    lengths_S[slots] = sentences.flat()
    counts_B = np.zeros(batch_size, np.int32)
    counts_B[: len(indices)] = sentences.lengths
    return {
      'tokens': self.tokens[indices].padded(lengths_S, self.sentence_length),
      'sentence_lengths': lengths_S,
      'sentence_mask': np.arange(max_sentences) < counts_B[:, None],
    }

  def local_shape(self, shape: DocumentShape, count: int) -> DocumentShape:
    """Returns the shape of one of `count` equal parts of a batch."""
    max_sentences, num_sentences = shape
    return max_sentences, num_sentences // count

  def positions(self, shape: DocumentShape, batch_size: int) -> int:
    """Returns the number of positions of a batch, including padding."""
    del batch_size  # S counts the sentences of all documents.
    return shape[1] * self.sentence_length

  def _max_per_shard(self, indices: np.ndarray, batch_size: int) -> int:
    """Returns the largest number of sentences of a shard, rounded up."""
    return int(round_up(self._per_shard(indices, batch_size).max()))

  def _per_shard(self, indices: np.ndarray, batch_size: int) -> np.ndarray:
    """Returns the number of sentences of each shard of a batch."""
    counts_B = np.zeros(batch_size, np.int64)
    counts_B[: len(indices)] = self.sentences.lengths[indices]
    return counts_B.reshape(self.num_shards, -1).sum(1)
