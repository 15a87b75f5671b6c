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
from bigru_jax.data.text import UNK_ID, Encoded

MAX_SHAPES = 6
# Padded positions per epoch that compiling one more batch shape is worth.
# Compiling a training step takes about 2 s, and a padded position, which the
# encoder skips, 4 us an epoch (on Rotten Tomatoes, two cores), of which a run
# has at most 10: 2 / 4e-6 / 10.
SHAPE_COST = 50_000
# (padded length, indices of the examples) of each batch.
Plan = list[tuple[int, np.ndarray]]


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
) -> Plan:
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
  rng = None
  if seed is None:
    order = np.argsort(lengths, kind='stable')
  else:
    rng = np.random.default_rng([seed, epoch])
    bucket_of = np.searchsorted(buckets, lengths)
    order = np.lexsort((rng.random(len(lengths)), bucket_of))
  ends = np.searchsorted(np.sort(lengths), buckets, side='right')
  plan: Plan = []
  start = 0
  for bucket, end in zip(buckets, ends):
    stop = end if bucket == buckets[-1] else end - (end - start) % batch_size
    for i in range(start, stop, batch_size):
      plan.append((bucket, order[i : min(i + batch_size, stop)]))
    start = stop
  if rng is not None:
    plan = [plan[i] for i in rng.permutation(len(plan))]
  return plan


def _nothing() -> np.ndarray:
  return np.zeros(0, object)


@dataclasses.dataclass(frozen=True)
class EncodedSplit:
  """A split as ids.

  Attributes:
    encoded: the texts.
    labels: class indices, int32 [N], or `LabelSets`.
    weights: float32, each example's weight in the loss.
    buckets: the padded lengths, from `choose_buckets`.
    num_labels: C; only `LabelSets` need it.
    rows, sources: the place of each example in its source, from 1, and the
      source, a string; empty where they are not known.
    markers: the ids of `text.MARKERS` where a batch is to have `entities`; the
      texts are checked by `entities.check_entities`.
  """

  encoded: Encoded
  labels: Labels
  weights: np.ndarray
  buckets: list[int]
  num_labels: int = 0
  rows: np.ndarray = dataclasses.field(default_factory=_nothing)
  sources: np.ndarray = dataclasses.field(default_factory=_nothing)
  markers: tuple[int, ...] = ()

  def __len__(self) -> int:
    return len(self.labels)

  def without(self, first: int) -> EncodedSplit:
    """The split with ids from `first` on replaced by <unk>."""
    tokens = self.encoded.tokens[self.encoded.positions()]
    lengths = self.encoded.lengths
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    encoded = Encoded(np.where(tokens < first, tokens, UNK_ID), starts, lengths)
    return dataclasses.replace(self, encoded=encoded)

  def label_array(self) -> np.ndarray:
    """The labels: int32 [N], or bool [N, C] for several labels a text."""
    if isinstance(self.labels, LabelSets):
      return self.labels.multi_hot(self.num_labels)
    return self.labels

  def plan(
    self, batch_size: int, seed: int | None = None, epoch: int = 0
  ) -> Plan:
    """The batches of an epoch; see `epoch_plan`."""
    return epoch_plan(
      self.encoded.lengths, self.buckets, batch_size, seed, epoch
    )

  def batch(
    self, rows: np.ndarray, length: int, batch_size: int
  ) -> dict[str, np.ndarray]:
    """The arrays of one batch, completed to batch_size by padding examples.

    Args:
      rows: the indices of the examples.
      length: T, to which they are padded.
      batch_size: B.

    Returns:
      `tokens` [B, T] int32; `lengths` [B] int32, 0 for a padding example;
      `labels` [B] int32, or bool [B, C] for several labels a text; `weights`
      [B] float32, 0 for a padding example; and with `markers` `entities`
      [B, T] int32, see `entities.inside_entities`.
    """
    count = len(rows)
    starts = self.encoded.starts[rows]
    lengths_B = np.zeros(batch_size, np.int32)
    lengths_B[:count] = self.encoded.lengths[rows]
    tokens_BxT = np.zeros((batch_size, length), np.int32)
    valid = np.arange(length) < lengths_B[:count, None]
    positions = starts[:, None] + np.arange(length)
    tokens_BxT[:count][valid] = self.encoded.tokens[positions[valid]]
    labels: np.ndarray
    if isinstance(self.labels, LabelSets):
      labels = np.zeros((batch_size, self.num_labels), bool)
      labels[:count] = self.labels[rows].multi_hot(self.num_labels)
    else:
      labels = np.zeros(batch_size, np.int32)
      labels[:count] = self.labels[rows]
    weights_B = np.zeros(batch_size, np.float32)
    weights_B[:count] = self.weights[rows]
    batch = {
      'tokens': tokens_BxT,
      'lengths': lengths_B,
      'labels': labels,
      'weights': weights_B,
    }
    if self.markers:
      batch['entities'] = inside_entities(tokens_BxT, self.markers)
    return batch


def padding_fraction(lengths: np.ndarray, plan: Plan, batch_size: int) -> float:
  """The share of positions that hold no token, with padding examples."""
  positions = sum(length * batch_size for length, _ in plan)
  return 1 - float(np.sum(lengths)) / positions if positions else 0.0
