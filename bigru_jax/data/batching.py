"""Length buckets, the epoch plan and padded batches.

A plan is a pure function of (seed, epoch, lengths): a run resumes at any step
of it with no stored iterator.
"""

import queue
import threading

import numpy as np

MAX_SHAPES = 6


def choose_buckets(lengths, max_shapes=MAX_SHAPES):
  """The padded lengths that cost the fewest padding positions in all.

  Exact, by dynamic programming over the distinct lengths.

  Args:
    lengths: of all examples.
    max_shapes: the most buckets; each is one compiled program.

  Returns:
    A rising list; its last is the longest length.
  """
  distinct, counts = np.unique(lengths, return_counts=True)
  n = len(distinct)
  rows = np.concatenate([[0], np.cumsum(counts)])
  # cost[k][j]: padded positions of the j shortest lengths in k buckets.
  best = np.full(n + 1, np.inf)
  best[0] = 0
  choices = []
  for _ in range(min(max_shapes, n)):
    following = np.full(n + 1, np.inf)
    following[0] = 0
    choice = np.zeros(n + 1, np.int64)
    for j in range(1, n + 1):
      costs = best[:j] + (rows[j] - rows[:j]) * distinct[j - 1]
      choice[j] = np.argmin(costs)
      following[j] = costs[choice[j]]
    best = following
    choices.append(choice)
  buckets, j = [], n
  for choice in reversed(choices):
    if j:
      buckets.append(int(distinct[j - 1]))
      j = choice[j]
  return buckets[::-1]


def round_up(lengths):
  """The next of 1, 2, 3, 4, 6, 8, 12, 16 and so on: few, whatever the texts."""
  powers = 2 ** np.arange(31)
  few = np.unique(np.concatenate([powers, powers[1:] // 2 * 3]))
  return few[np.searchsorted(few, lengths)]


def epoch_plan(lengths, buckets, batch_size, seed=None, epoch=0):
  """The batches of an epoch.

  Every example stands in exactly one batch. Only the last batch of the longest
  bucket can be short: what a bucket has left over moves up to the next one.

  Args:
    lengths: of all examples.
    buckets: from `choose_buckets`.
    batch_size: examples a batch.
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
    bucket = np.searchsorted(buckets, lengths)
    order = np.lexsort((rng.random(len(lengths)), bucket))
  ends = np.searchsorted(np.sort(lengths), buckets, side='right')
  plan, start = [], 0
  for bucket, end in zip(buckets, ends):
    stop = end if bucket == buckets[-1] else end - (end - start) % batch_size
    for i in range(start, stop, batch_size):
      plan.append((bucket, order[i : min(i + batch_size, stop)]))
    start = stop
  if rng is not None:
    plan = [plan[i] for i in rng.permutation(len(plan))]
  return plan


def padded_batch(encoded, labels, rows, length, batch_size):
  """The arrays of one batch, filled up to batch_size with rows of weight zero.

  Returns:
    tokens [B, T] int32, lengths [B] int32 (0 in a filling row), labels [B]
    int32, weights [B] float32 (1, or 0 in a filling row), as a dict.
  """
  starts = encoded.offsets[rows]
  lengths = np.zeros(batch_size, np.int32)
  lengths[: len(rows)] = encoded.offsets[rows + 1] - starts
  tokens = np.zeros((batch_size, length), np.int32)
  valid = np.arange(length) < lengths[: len(rows), None]
  positions = starts[:, None] + np.arange(length)
  tokens[: len(rows)][valid] = encoded.tokens[positions[valid]]
  padded_labels = np.zeros(batch_size, np.int32)
  padded_labels[: len(rows)] = labels[rows]
  return {
    'tokens': tokens,
    'lengths': lengths,
    'labels': padded_labels,
    'weights': (np.arange(batch_size) < len(rows)).astype(np.float32),
  }


def padding_fraction(lengths, plan, batch_size):
  """The share of positions that hold no token, filling rows included."""
  positions = sum(length * batch_size for length, _ in plan)
  return 1 - float(np.sum(lengths)) / positions if positions else 0.0


def prefetch(iterator, size=4):
  """Runs an iterator on a thread, up to `size` items ahead.

  An exception of the iterator is raised here. When this generator is closed
  early, the thread has ended: one that is still inside JAX when Python leaves
  would abort the process.
  """
  items = queue.Queue(size)
  closed = threading.Event()
  done = object()

  def put(item):
    while not closed.is_set():
      try:
        return items.put(item, timeout=0.1)
      except queue.Full:
        continue

  def work():
    try:
      for item in iterator:
        if closed.is_set():
          return
        put((item, None))
      put((done, None))
    except BaseException as error:  # It belongs to the consumer.
      put((done, error))

  thread = threading.Thread(target=work, daemon=True)
  thread.start()
  try:
    while True:
      item, error = items.get()
      if error is not None:
        raise error
      if item is done:
        return
      yield item
  finally:
    closed.set()
    thread.join()
