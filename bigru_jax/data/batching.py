"""Padded batches of a split."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data.documents import Documents, DocumentShape
from bigru_jax.data.entities import inside_entities
from bigru_jax.data.epoch_plan import epoch_plan
from bigru_jax.data.splits import Labels, LabelSets
from bigru_jax.data.text import UNK_ID, Encoded, consecutive

# The padded length of a batch's texts, or the shape of a batch of documents.
BatchShape = int | DocumentShape
# The shape, and the indices of the examples, of each batch.
Plan = list[tuple[BatchShape, np.ndarray]]


def _nothing() -> np.ndarray:
  return np.zeros(0, object)


@dataclasses.dataclass(frozen=True)
class EncodedSplit:
  """A split as ids.

  Attributes:
    encoded: the texts.
    labels: class indices, int32 [N], or `LabelSets`.
    weights: float32, each example's weight in the loss.
    buckets: the padded lengths, or of a hierarchical split the padded numbers
      of sentences, from `choose_buckets`.
    num_labels: C; only `LabelSets` need it.
    rows, sources: the place of each example in its source, from 1, and the
      source, a string; empty where they are not known.
    markers: the ids of `text.MARKERS` where a batch is to have `entities`; the
      texts are checked by `entities.check_entities`.
    sentences: of a hierarchical split the lengths of each text's sentences.
    sentence_length: T of a hierarchical split; see `longest_sentence`.
    shards: the devices that share a batch of a hierarchical split. A document's
      sentences are on its own device.
  """

  encoded: Encoded
  labels: Labels
  weights: np.ndarray
  buckets: list[int]
  num_labels: int = 0
  rows: np.ndarray = dataclasses.field(default_factory=_nothing)
  sources: np.ndarray = dataclasses.field(default_factory=_nothing)
  markers: tuple[int, ...] = ()
  sentences: Encoded | None = None
  sentence_length: int = 0
  shards: int = 1

  def __len__(self) -> int:
    return len(self.labels)

  def without(self, first: int) -> EncodedSplit:
    """The split with ids from `first` on replaced by <unk>."""
    tokens = self.encoded.tokens[self.encoded.positions()]
    known = np.where(tokens < first, tokens, UNK_ID)
    encoded = consecutive(known, self.encoded.lengths)
    return dataclasses.replace(self, encoded=encoded)

  def sharded(self, shards: int) -> EncodedSplit:
    """The split for batches that so many devices share."""
    return dataclasses.replace(self, shards=shards)

  def label_array(self) -> np.ndarray:
    """The labels: int32 [N], or bool [N, C] for several labels a text."""
    if isinstance(self.labels, LabelSets):
      return self.labels.multi_hot(self.num_labels)
    return self.labels

  def plan(
    self, batch_size: int, seed: int | None = None, epoch: int = 0
  ) -> Plan:
    """The batches of an epoch, each with its shape; see `epoch_plan`."""
    by_example = self.sentences or self.encoded

    def plan_of(epoch):
      return epoch_plan(
        by_example.lengths, self.buckets, batch_size, seed, epoch
      )

    plan = plan_of(epoch)
    if not self._documents:
      return list(plan)
    first_plan = plan if seed is None else plan_of(1)
    return list(self._documents.shape_plan(plan, first_plan, batch_size))

  def batch(
    self, rows: np.ndarray, shape: BatchShape, batch_size: int
  ) -> dict[str, np.ndarray]:
    """The arrays of one batch, completed to batch_size by padding examples.

    Args:
      rows: the indices of the examples.
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
      has. Each of `shards` equal parts of S holds the sentences of the same
      part of B, and then its padding sentences.
    """
    count = len(rows)
    lengths_B = np.zeros(batch_size, np.int32)
    lengths_B[:count] = self.encoded.lengths[rows]
    labels: np.ndarray
    if isinstance(self.labels, LabelSets):
      labels = np.zeros((batch_size, self.num_labels), bool)
      labels[:count] = self.labels[rows].multi_hot(self.num_labels)
    else:
      labels = np.zeros(batch_size, np.int32)
      labels[:count] = self.labels[rows]
    weights_B = np.zeros(batch_size, np.float32)
    weights_B[:count] = self.weights[rows]
    batch = {'lengths': lengths_B, 'labels': labels, 'weights': weights_B}
    if isinstance(shape, tuple):
      assert self._documents
      batch |= self._documents.arrays(rows, shape, batch_size)
      lengths_S, length = batch['sentence_lengths'], self.sentence_length
      batch['tokens'] = self._tokens(rows, lengths_S, length)
      return batch
    batch['tokens'] = self._tokens(rows, lengths_B, shape)
    if self.markers:
      batch['entities'] = inside_entities(batch['tokens'], self.markers)
    return batch

  def share(
    self,
    rows: np.ndarray,
    shape: BatchShape,
    batch_size: int,
    index: int,
    shares: int,
  ) -> dict[str, np.ndarray]:
    """One of several equal parts of a batch, along the leading axes.

    Args:
      rows, shape, batch_size: of the whole batch, see `batch`.
      index: which part, from 0.
      shares: how many there are; of a hierarchical split a divisor of `shards`.
    """
    if shares == 1:
      return self.batch(rows, shape, batch_size)
    size = batch_size // shares
    split, part = self, rows[index * size : (index + 1) * size]
    if isinstance(shape, tuple):
      split = self.sharded(self.shards // shares)
      shape = shape[0], shape[1] // shares
    return split.batch(part, shape, size)

  def padding_fraction(self, plan: Plan, batch_size: int) -> float:
    """The share of positions that hold no token, in padding examples, too."""
    positions = sum(
      shape[1] * self.sentence_length
      if isinstance(shape, tuple)
      else shape * batch_size
      for shape, _ in plan
    )
    tokens = float(self.encoded.lengths.sum())
    return 1 - tokens / positions if positions else 0.0

  @property
  def _documents(self) -> Documents | None:
    """The documents of a hierarchical split."""
    if self.sentences is None:
      return None
    return Documents(self.sentences, self.sentence_length, self.shards)

  def _tokens(
    self, rows: np.ndarray, lengths_N: np.ndarray, length: int
  ) -> np.ndarray:
    """The tokens of examples, in order, as sequences of these lengths."""
    encoded = self.encoded.take(rows)
    tokens_NxT = np.zeros((len(lengths_N), length), np.int32)
    valid = np.arange(length) < lengths_N[:, None]
    tokens_NxT[valid] = encoded.tokens[encoded.positions()]
    return tokens_NxT
