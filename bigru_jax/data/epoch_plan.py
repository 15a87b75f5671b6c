"""Length buckets and the plan of an epoch.

A plan is a pure function of (seed, epoch, lengths), so that a run resumes at
any step without a stored iterator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_SHAPES = 6
# The cost of compiling one more batch shape, in padded positions per epoch.
# Compiling a training step takes about 2 s. A padded position, which the
# encoder skips, takes 4 us per epoch (on Rotten Tomatoes, two cores), and a run
# has at most 10 epochs: 2 / 4e-6 / 10.
SHAPE_COST = 50_000


def choose_buckets(
  lengths: np.ndarray | Sequence[int],
  max_shapes: int = MAX_SHAPES,
  shape_cost: int = SHAPE_COST,
) -> list[int]:
  """Returns the padded lengths with the least cost of padding and compiling.

  Dynamic programming over the distinct lengths makes the result exact.

  Args:
    lengths: the lengths of all examples.
    max_shapes: the maximal number of buckets; each is one compiled program.
    shape_cost: the cost of a bucket, in padded positions.

  Returns:
    An increasing list that ends with the longest length.
  """
  distinct, counts = np.unique(lengths, return_counts=True)
  n = len(distinct)
  totals_up_to = np.concatenate([[0], np.cumsum(counts)])
  # best[j]: padded positions of the j shortest lengths in `count` buckets.
  best = np.full(n + 1, np.inf)
  best[0] = 0
  choices, totals = [], []
  for count in range(1, min(max_shapes, n) + 1):
    following = np.full(n + 1, np.inf)
    following[0] = 0
    choice = np.zeros(n + 1, np.int64)
    for j in range(1, n + 1):
      examples = totals_up_to[j] - totals_up_to[:j]
      costs = best[:j] + examples * distinct[j - 1]
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
  """Rounds lengths up to 1 to 8, 10, 12, 14, 16, 20, 24, 28, 32 and so on.

  There are so few of these that later calls and processes reuse the batch
  shapes.
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
  """Returns the batches of an epoch.

  Every example is in exactly one batch. Only the last batch of the longest
  bucket can be short: the remainder of a bucket moves up to the next one.

  Args:
    lengths: the lengths of all examples.
    buckets: the padded lengths, from `choose_buckets`.
    batch_size: the number of examples per batch.
    seed: the seed that shuffles examples and batches; None sorts by length.
    epoch: the epoch, which changes the shuffle.

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
  """Returns the examples by bucket, shuffled within each; int32.

  It equals `np.lexsort((keys, bucket_of))` of random keys, but takes half of
  the time and memory, which matters for millions of examples.

  Args:
    bucket_of: the bucket of each example.
    ends: the number of examples in the buckets up to and including each.
    rng: the generator that draws a key per example.
  """
  keys = rng.random(len(bucket_of))
  order = np.empty(len(bucket_of), np.int32)
  start = 0
  for bucket, end in enumerate(ends):
    indices = np.flatnonzero(bucket_of == bucket).astype(np.int32)
    bucket_keys = keys[indices]
    by_key = np.argsort(bucket_keys)
    # The order of equal keys in the fast sort depends on the machine.
    if not np.diff(bucket_keys[by_key]).all():
      by_key = np.argsort(bucket_keys, kind='stable')
    order[start:end] = indices[by_key]
    start = end
  return order
