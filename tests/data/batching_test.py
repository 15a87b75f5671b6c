"""Buckets, the epoch plan and padded batches."""

import itertools

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, epoch_plan, round_up
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table

_LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(
  lengths=_LENGTHS, shapes=st.integers(1, 3), shape_cost=st.integers(0, 30)
)
def test_buckets_cost_the_least(lengths, shapes, shape_cost):
  def cost(buckets):
    padded = sum(min(b for b in buckets if b >= n) for n in lengths)
    return padded + len(set(buckets)) * shape_cost

  buckets = choose_buckets(lengths, shapes, shape_cost)
  assert len(buckets) <= shapes and buckets[-1] == max(lengths)
  others = sorted(set(lengths) - {max(lengths)})
  best = min(
    cost((*chosen, max(lengths)))
    for k in range(shapes)
    for chosen in itertools.combinations(others, k)
  )
  assert cost(buckets) == best


def test_small_data_compile_one_shape_and_large_data_several():
  lengths = np.random.default_rng(0).integers(3, 60, 120)
  assert choose_buckets(lengths) == [max(lengths)]
  assert len(choose_buckets(np.tile(lengths, 500))) == 6


@settings(max_examples=50, deadline=None)
@given(
  lengths=_LENGTHS,
  batch_size=st.integers(1, 8),
  seed=st.none() | st.integers(0, 9),
)
def test_every_example_is_in_one_batch(lengths, batch_size, seed):
  buckets = choose_buckets(lengths, shape_cost=0)
  plan = epoch_plan(lengths, buckets, batch_size, seed, epoch=1)
  rows = np.concatenate([rows for _, rows in plan])
  assert sorted(rows) == list(range(len(lengths)))
  assert len(plan) == -(-len(lengths) // batch_size)
  for length, rows in plan:
    assert length in buckets and len(rows) <= batch_size
    assert max(lengths[i] for i in rows) <= length


def test_a_plan_is_a_function_of_seed_and_epoch():
  lengths = np.arange(1, 101)

  def order(seed, epoch):
    plan = epoch_plan(lengths, [50, 100], 8, seed, epoch)
    return np.concatenate([rows for _, rows in plan]).tolist()

  assert order(0, 1) == order(0, 1)
  assert order(0, 1) != order(0, 2)
  assert order(0, 1) != order(1, 1)


class _FewKeys:
  """A generator many of whose keys are equal."""

  def __init__(self, seed):
    self._rng = _DEFAULT_RNG(seed)

  def random(self, size):
    return self._rng.integers(0, 3, size) / 4

  def permutation(self, size):
    return np.arange(size)


_DEFAULT_RNG = np.random.default_rng


@pytest.mark.parametrize('equal_keys', [False, True])
def test_the_order_is_that_of_random_keys_within_buckets(
  equal_keys, monkeypatch
):
  rng = _FewKeys if equal_keys else _DEFAULT_RNG
  monkeypatch.setattr(np.random, 'default_rng', rng)
  lengths = _DEFAULT_RNG(0).integers(1, 31, 1000)
  buckets = [10, 20, 25, 30]
  plan = epoch_plan(lengths, buckets, 1, seed=3, epoch=2)
  keys = rng([3, 2])
  order = np.lexsort(
    (keys.random(1000), [sum(b < n for b in buckets) for n in lengths])
  )
  expected = order[keys.permutation(1000)]
  assert [int(rows[0]) for _, rows in plan] == expected.tolist()


def test_a_batch_is_completed_by_padding_examples():
  table = Table(
    {
      'tokens': pack([[2], [3, 4, 5], [6, 7]]),
      'label': np.array([0, 1, 2]),
      'weight': np.array([1.0, 0.5, 2.0]),
    }
  )
  split = EncodedSplit(table=table, buckets=[4])
  batch = split.batch(np.array([1, 2]), 4, batch_size=3)
  np.testing.assert_array_equal(
    batch['tokens'], [[3, 4, 5, 0], [6, 7, 0, 0], [0, 0, 0, 0]]
  )
  np.testing.assert_array_equal(batch['lengths'], [3, 2, 0])
  np.testing.assert_array_equal(batch['labels'], [1, 2, 0])
  np.testing.assert_array_equal(batch['weights'], [0.5, 2, 0])


def _assert_shares_make(batch, split, rows, shape, batch_size, shares):
  """Asserts that the local batches, concatenated, are the batch."""
  local_batches = [
    split.local_batch(rows, shape, batch_size, i, shares) for i in range(shares)
  ]
  assert local_batches[0].keys() == batch.keys()
  for name, whole in batch.items():
    arrays = [local_batch[name] for local_batch in local_batches]
    assert len({x.shape for x in arrays}) == 1
    np.testing.assert_array_equal(np.concatenate(arrays), whole)


@pytest.mark.parametrize('is_multi_label', [False, True])
def test_the_local_batches_make_the_global_batch(is_multi_label):
  rng = np.random.default_rng(0)
  ids = [rng.integers(2, 99, n).tolist() for n in rng.integers(1, 9, 21)]
  labels = rng.integers(0, 3, 21)
  if is_multi_label:
    labels = pack([[x] if x else [] for x in labels])
  table = Table(
    {'tokens': pack(ids), 'label': labels, 'weight': rng.random(21)}
  )
  split = EncodedSplit(
    table=table, buckets=[4, 8], num_labels=3, markers=(5, 6, 7, 8)
  )
  for shape, rows in split.plan(8, 0, 1):  # The last batch is a short one.
    batch = split.batch(rows, shape, 8)
    for shares in (1, 2, 4, 8):
      _assert_shares_make(batch, split, rows, shape, 8, shares)


def test_round_up_leaves_few_lengths():
  lengths = np.arange(1, 1000)
  rounded = round_up(lengths)
  assert (rounded >= lengths).all() and (rounded < 1.25 * lengths + 1).all()
  assert len(set(rounded)) == 36


def test_the_padding_fraction_counts_padded_positions():
  plan = [(4, np.array([0, 1])), (6, np.array([2]))]
  table = Table({'tokens': pack([[1] * 4, [1] * 2, [1] * 6])})
  split = EncodedSplit(table=table, buckets=[4, 6])
  # 20 positions in two batches of two; 4 + 2 + 6 tokens.
  assert split.padding_fraction(plan, 2) == 1 - 12 / 20
  split = _documents([[[1] * 4, [1] * 2], [[1] * 6]])
  # Five sentences of six tokens.
  assert split.padding_fraction([((2, 5), np.arange(2))], 2) == 1 - 12 / 30


def _documents(documents):
  """A split of documents, each a list of sentences of token ids."""
  sentences = pack([list(map(len, d)) for d in documents])
  count = len(documents)
  table = Table(
    {
      'tokens': pack([[token for s in d for token in s] for d in documents]),
      'label': np.arange(count, dtype=np.int32),
      'weight': np.ones(count, np.float32),
      'sentences': sentences,
    }
  )
  return EncodedSplit(
    table=table,
    buckets=choose_buckets(sentences.lengths, 3, shape_cost=0),
    sentence_length=int(sentences.values.max()),
  )


def test_a_hierarchical_batch_has_all_sentences_on_one_axis():
  split = _documents([[[9]], [[2], [3, 4, 5]], [[6, 7]]])
  batch = split.batch(np.array([1, 2]), (3, 4), batch_size=3)
  np.testing.assert_array_equal(
    batch['tokens'], [[2, 0, 0], [3, 4, 5], [6, 7, 0], [0, 0, 0]]
  )
  np.testing.assert_array_equal(batch['sentence_lengths'], [1, 3, 2, 0])
  np.testing.assert_array_equal(
    batch['sentence_mask'].astype(int), [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
  )
  np.testing.assert_array_equal(batch['lengths'], [4, 2, 0])
  np.testing.assert_array_equal(batch['labels'], [1, 2, 0])
  np.testing.assert_array_equal(batch['weights'], [1, 1, 0])


@settings(max_examples=50, deadline=None)
@given(
  documents=st.lists(
    st.lists(
      st.lists(st.integers(1, 99), min_size=1, max_size=4),
      min_size=1,
      max_size=9,
    ),
    min_size=1,
    max_size=20,
  ),
  shards=st.sampled_from([1, 2, 4]),
  seed=st.none() | st.integers(0, 9),
  batch_sizes=st.sampled_from([(8, 8), (8, 4), (4, 4)]),
)
def test_every_sentence_is_on_the_shard_of_its_document(
  documents, shards, seed, batch_sizes
):
  planned, batch_size = batch_sizes
  split = _documents(documents).with_num_shards(shards)
  for shape, rows in split.plan(planned, seed, 1):
    if len(rows) > batch_size:
      continue
    batch = split.batch(rows, shape, batch_size)
    if planned == batch_size:
      assert len(batch['tokens']) == shape[1]
      for shares in {1, shards // 2 or 1, shards}:
        _assert_shares_make(batch, split, rows, shape, batch_size, shares)
    found = []
    parts = {k: np.split(x, shards) for k, x in batch.items()}
    for shard in range(shards):
      tokens, lengths, mask, of_documents = (
        parts[name][shard]
        for name in ('tokens', 'sentence_lengths', 'sentence_mask', 'lengths')
      )
      sentences = iter(
        t[:n].tolist() for t, n in zip(tokens, lengths, strict=True)
      )
      for count, length in zip(mask.sum(1), of_documents):
        found.append([next(sentences) for _ in range(count)])
        assert sum(map(len, found[-1])) == length
      assert not any(sentences)  # The rest is padding.
    assert found == [documents[row] for row in rows] + [[]] * (
      batch_size - len(rows)
    )


def test_hierarchical_batches_have_few_shapes():
  rng = np.random.default_rng(0)
  counts = rng.integers(1, 40, 2000)
  split = _documents([[[1] * rng.integers(1, 30)] * n for n in counts])
  for seed in (None, 0):
    plan = split.plan(32, seed, 1)
    shapes = {shape for shape, _ in plan}
    assert len(shapes) <= 6
    assert len({m for m, _ in shapes}) <= 3
    rows = np.concatenate([rows for _, rows in plan])
    assert sorted(rows) == list(range(2000))
    if seed is not None:  # Documents of all sizes share a batch.
      assert 1.3 * counts.sum() > sum(s for (_, s), _ in plan) > counts.sum()
  # Later epochs meet few others.
  every = {s for epoch in range(1, 11) for s, _ in split.plan(32, 0, epoch)}
  assert len(every) <= len({s for s, _ in split.plan(32, 0, 1)}) + 3
