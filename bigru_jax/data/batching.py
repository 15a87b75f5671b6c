"""Length buckets, the epoch plan and padded batches.

A plan is a pure function of (seed, epoch, lengths): a run resumes at any step
of it with no stored iterator.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

import numpy as np

from bigru_jax.data.entities import inside_entities
from bigru_jax.data.splits import Labels, LabelSets
from bigru_jax.data.text import UNK_ID, Encoded, consecutive

MAX_SHAPES = 6
# Padded positions per epoch that compiling one more batch shape is worth.
# Compiling a training step takes about 2 s, and a padded position, which the
# encoder skips, 4 us an epoch (on Rotten Tomatoes, two cores), of which a run
# has at most 10: 2 / 4e-6 / 10.
SHAPE_COST = 50_000
# A hierarchical split has at most 3 numbers of sentences per document, and for
# each of them at most 2 of all sentences of a batch.
MAX_SENTENCE_SHAPES = 3
_MAX_TOTALS = 2
# The padded length of a batch's texts; or the padded number of sentences of its
# documents, and how many sentences the batch has place for.
Shape = int | tuple[int, int]
# The shape, and the indices of the examples, of each batch.
Plan = list[tuple[Shape, np.ndarray]]


def choose_buckets(
  lengths: np.ndarray | Sequence[int],
  max_shapes: int = MAX_SHAPES,
  shape_cost: int = SHAPE_COST,
) -> list[int]:
  """The padded lengths that cost the least in padding and in compiling.

  Exact, by dynamic programming over the distinct lengths.

  Args:
    lengths: of all examples.
    max_shapes: maximum buckets; each is one compiled program.
    shape_cost: what a bucket costs, in padded positions.

  Returns:
    An increasing list; its last is the longest length.
  """
  distinct, counts = np.unique(lengths, return_counts=True)
  n = len(distinct)
  rows = np.concatenate([[0], np.cumsum(counts)])
  # best[j]: padded positions of the j shortest lengths in `count` buckets.
  best = np.full(n + 1, np.inf)
  best[0] = 0
  choices, totals = [], []
  for count in range(1, min(max_shapes, n) + 1):
    following = np.full(n + 1, np.inf)
    following[0] = 0
    choice = np.zeros(n + 1, np.int64)
    for j in range(1, n + 1):
      costs = best[:j] + (rows[j] - rows[:j]) * distinct[j - 1]
      choice[j] = np.argmin(costs)
      following[j] = costs[choice[j]]
    best = following
    choices.append(choice)
    totals.append(best[n] + count * shape_cost)
  buckets, j = [], n
  for choice in reversed(choices[: int(np.argmin(totals)) + 1]):
    if j:
      buckets.append(int(distinct[j - 1]))
      j = choice[j]
  return buckets[::-1]


def round_up(lengths: np.ndarray) -> np.ndarray:
  """The next of 1 to 8, 10, 12, 14, 16, 20, 24, 28, 32 and so on, of lengths.

  So few distinct lengths are left, whatever the texts, that later calls and
  processes meet the same batch shapes.
  """
  few = np.unique(np.outer(2 ** np.arange(29), np.arange(1, 9)))
  return few[np.searchsorted(few, lengths)]


def epoch_plan(
  lengths: np.ndarray | Sequence[int],
  buckets: list[int],
  batch_size: int,
  seed: int | None = None,
  epoch: int = 0,
) -> list[tuple[int, np.ndarray]]:
  """The batches of an epoch.

  Every example appears in exactly one batch. Only the last batch of the longest
  bucket can be short: the remainder of a bucket moves up to the next one.

  Args:
    lengths: of all examples.
    buckets: from `choose_buckets`.
    batch_size: examples per batch.
    seed: shuffles examples and batches; None keeps them in order of length.
    epoch: enters the shuffle.

  Returns:
    A list of (padded length, indices of the examples).
  """
  lengths = np.asarray(lengths)
  bucket_of = np.searchsorted(buckets, lengths)
  bucket_of = bucket_of.astype(np.min_scalar_type(len(buckets)))
  ends = np.cumsum(np.bincount(bucket_of, minlength=len(buckets))).tolist()
  rng = None
  if seed is None:
    order = np.argsort(lengths, kind='stable').astype(np.int32)
  else:
    rng = np.random.default_rng([seed, epoch])
    order = _shuffled(bucket_of, ends, rng)
  plan = []
  start = 0
  for bucket, end in zip(buckets, ends):
    stop = end if bucket == buckets[-1] else end - (end - start) % batch_size
    for i in range(start, stop, batch_size):
      plan.append((bucket, order[i : min(i + batch_size, stop)]))
    start = stop
  if rng is not None:
    plan = [plan[i] for i in rng.permutation(len(plan))]
  return plan


def _shuffled(
  bucket_of: np.ndarray, ends: list[int], rng: np.random.Generator
) -> np.ndarray:
  """The examples by bucket, shuffled inside each; int32.

  It is `np.lexsort((keys, bucket_of))` of random keys, in half of the time and
  of the memory, which count with millions of examples.

  Args:
    bucket_of: of each example.
    ends: how many examples are in the buckets up to each.
    rng: draws a key per example.
  """
  keys = rng.random(len(bucket_of))
  order = np.empty(len(bucket_of), np.int32)
  start = 0
  for bucket, end in enumerate(ends):
    rows = np.flatnonzero(bucket_of == bucket).astype(np.int32)
    of_bucket = keys[rows]
    by_key = np.argsort(of_bucket)
    # The fast sort leaves it to the machine in which order equal keys come.
    if not np.diff(of_bucket[by_key]).all():
      by_key = np.argsort(of_bucket, kind='stable')
    order[start:end] = rows[by_key]
    start = end
  return order


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
    sentence_length: T of a hierarchical split, at least `longest_sentence`.
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
    if self.sentences is None:
      return list(plan)
    # The first epoch's totals choose the shapes of all, which so meet few more.
    totals_by_most: dict[int, list[int]] = {}
    for most, rows in plan if seed is None else plan_of(1):
      totals_by_most.setdefault(most, []).append(self._total(rows, batch_size))
    cost = SHAPE_COST // (self.sentence_length * self.shards)
    chosen = {
      most: choose_buckets(totals, _MAX_TOTALS, cost)
      for most, totals in totals_by_most.items()
    }
    shaped: Plan = []
    for most, rows in plan:
      total = self._total(rows, batch_size)
      total = next((x for x in chosen[most] if x >= total), total)
      shaped.append(((most, total * self.shards), rows))
    return shaped

  def batch(
    self, rows: np.ndarray, shape: Shape, batch_size: int
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
      return batch | self._sentence_arrays(rows, shape, batch_size)
    batch['tokens'] = self._tokens(rows, lengths_B, shape)
    if self.markers:
      batch['entities'] = inside_entities(batch['tokens'], self.markers)
    return batch

  def share(
    self,
    rows: np.ndarray,
    shape: Shape,
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

  def _total(self, rows: np.ndarray, batch_size: int) -> int:
    """The most sentences that a shard of a batch has, rounded up."""
    return int(round_up(self._on_shards(rows, batch_size).max()))

  def _on_shards(self, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """The sentences of each shard of a batch."""
    assert self.sentences is not None
    counts_B = np.zeros(batch_size, np.int64)
    counts_B[: len(rows)] = self.sentences.lengths[rows]
    return counts_B.reshape(self.shards, -1).sum(1)

  def _sentence_arrays(
    self, rows: np.ndarray, shape: tuple[int, int], batch_size: int
  ) -> dict[str, np.ndarray]:
    assert self.sentences is not None
    most, places = shape
    on_shards = self._on_shards(rows, batch_size)
    each = max(places // self.shards, int(round_up(on_shards.max())))
    shape_SxT = each * self.shards, self.sentence_length
    sentences = self.sentences.take(rows)
    # A shard's sentences are moved behind the padding of those before it.
    moves = each * np.arange(self.shards) - (np.cumsum(on_shards) - on_shards)
    place = np.arange(on_shards.sum()) + np.repeat(moves, on_shards)
    lengths_S = np.zeros(shape_SxT[0], np.int32)
    lengths_S[place] = sentences.tokens[sentences.positions()]
    counts_B = np.zeros(batch_size, np.int32)
    counts_B[: len(rows)] = sentences.lengths
    return {
      'tokens': self._tokens(rows, lengths_S, shape_SxT[1]),
      'sentence_lengths': lengths_S,
      'sentence_mask': np.arange(most) < counts_B[:, None],
    }

  def _tokens(
    self, rows: np.ndarray, lengths_N: np.ndarray, length: int
  ) -> np.ndarray:
    """The tokens of examples, in order, as sequences of these lengths."""
    encoded = self.encoded.take(rows)
    tokens_NxT = np.zeros((len(lengths_N), length), np.int32)
    valid = np.arange(length) < lengths_N[:, None]
    tokens_NxT[valid] = encoded.tokens[encoded.positions()]
    return tokens_NxT


def longest_sentence(sentences: Encoded) -> int:
  """The length of the longest sentence of all texts."""
  return int(sentences.tokens[sentences.positions()].max())
