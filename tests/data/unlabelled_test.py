"""Texts without labels: how they are read, planned and batched."""

import re

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, epoch_plan
from bigru_jax.data.prepare import prepare
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table
from bigru_jax.data.unlabelled import UnlabelledTexts

_LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def _texts(lengths, keep='head'):
  """Texts whose tokens are 1, 2, 3 and so on."""
  tokens = pack([range(1, length + 1) for length in lengths])
  return UnlabelledTexts(tokens=tokens, keep=keep)


@settings(max_examples=50, deadline=None)
@given(
  lengths=_LENGTHS,
  unlabelled_lengths=_LENGTHS,
  batch_size=st.integers(1, 8),
  seed=st.integers(0, 9),
)
def test_all_texts_are_used_equally_often(
  lengths, unlabelled_lengths, batch_size, seed
):
  texts = _texts(unlabelled_lengths)
  buckets = choose_buckets(lengths, shape_cost=0)
  counts = np.zeros(len(unlabelled_lengths), int)
  for epoch in (1, 2, 3):
    plan = epoch_plan(lengths, buckets, batch_size, seed, epoch)
    batches = texts.plan(plan, batch_size, seed, epoch)
    again = texts.plan(plan, batch_size, seed, epoch)
    np.testing.assert_array_equal(batches, again)
    assert np.shape(batches) == (len(plan), batch_size)
    counts += np.bincount(np.ravel(batches), minlength=len(counts))
    assert np.ptp(counts) <= 1
    # Texts of a longer padded length are at least as long.
    lengths_by_shape = {}
    for (shape, _), indices in zip(plan, batches):
      lengths_by_shape.setdefault(shape, []).extend(
        texts.tokens.lengths[indices]
      )
    ordered = [lengths_by_shape[shape] for shape in sorted(lengths_by_shape)]
    for shorter, longer in zip(ordered, ordered[1:]):
      assert max(shorter) <= min(longer)


def test_the_order_of_the_texts_is_random():
  texts = _texts([3] * 100)
  plan = [(3, np.arange(10))] * 5
  first, other_epoch, other_seed = (
    np.ravel(texts.plan(plan, 10, seed, epoch))
    for seed, epoch in ((0, 1), (0, 2), (1, 1))
  )
  assert set(first) | set(other_epoch) == set(range(100))
  assert (np.diff(first) < 0).any() and set(first) != set(other_seed)


@pytest.mark.parametrize(
  'keep, kept', [('head', [1, 2, 3]), ('tail', [5, 6, 7]), ('both', [1, 2, 7])]
)
def test_a_text_that_is_too_long_for_its_batch_is_cut(keep, kept):
  texts = _texts([7, 1, 3], keep)
  batch = texts.local_batch(np.arange(3), 3, 1.0, 0, 1)
  assert batch['tokens'].tolist() == [kept, [1, 0, 0], [1, 2, 3]]
  assert batch['lengths'].tolist() == [3, 1, 3]
  assert {x.dtype.name for x in batch.values()} == {'int32', 'float32'}
  plan = [(3, np.arange(2)), (8, np.arange(1))]
  indices = [np.array([0, 1, 2]), np.array([0, 0, 1])]
  assert texts.num_tokens(plan, indices) == 3 + 1 + 3 + 7 + 7 + 1


def test_the_parts_of_a_batch_make_the_batch_of_train_beside_it():
  rng = np.random.default_rng(0)
  tokens = pack([rng.integers(1, 9, n) for n in rng.integers(1, 6, 8)])
  table = Table({
    'tokens': tokens,
    'label': np.zeros(8, np.int32),
    'weight': np.float32([1, 2, 0, 0.5, 3, 1, 1, 1]),
  })  # fmt: skip
  split = EncodedSplit(table=table, buckets=[5])
  labelled = split.batch(np.arange(7), 5, 8)
  texts = _texts(rng.integers(1, 9, 20))
  indices = rng.integers(0, 20, 8)
  total = labelled['weights'].sum()
  whole = texts.local_batch(indices, 5, total, 0, 1)
  assert whole['tokens'].shape == labelled['tokens'].shape
  assert np.isclose(whole['weights'].sum(), total) and total == 8.5
  parts = [texts.local_batch(indices, 5, total, i, 4) for i in range(4)]
  for name, array in whole.items():
    np.testing.assert_array_equal(
      np.concatenate([part[name] for part in parts]), array
    )


TEXTS = (
  'a superb film', 'a superb plot', 'a good film 1', 'a superb film',
  'a film of more words indeed',
)  # fmt: skip


def _corpus(tmp_path):
  """A file with labels, and one without, whose words and texts differ."""
  rows = [f'a {"good" if i % 2 else "bad"} film {i},{i % 2}' for i in range(40)]
  (tmp_path / 'train.csv').write_text('\n'.join(['text,label', *rows]))
  (tmp_path / 'texts.csv').write_text('\n'.join(['id,text', *(
    f'{i},{text}' for i, text in enumerate(TEXTS)
  )]))  # fmt: skip
  return {
    'train': str(tmp_path / 'train.csv'),
    'unlabelled': str(tmp_path / 'texts.csv'),
    'virtual_adversarial': 1.0,
  }


def test_their_words_count_with_those_of_train(tmp_path):
  options = _corpus(tmp_path)
  data = prepare(Config(**options, min_count=3))
  words = set(data.tokenizer.vocabulary)
  # `plot` occurs once, and `superb` three times, in no text with a label.
  assert {'superb', 'good', 'film'} <= words and 'plot' not in words
  assert data.seen == data.tokenizer.size
  tokens = data.unlabelled.tokens
  assert tokens.lengths.tolist() == [3, 3, 4, 3, 6]
  assert tokens.values.max() < data.tokenizer.size
  assert {'train', 'unlabelled'} == data.identity.keys()
  (note,) = [x for x in data.notes if x.startswith('unlabelled')]
  pattern = (
    r'unlabelled: 5 rows, 0 missing or blank texts, 0 truncated at '
    r'max_length=512, 1 cut to the longest text of train, 1 duplicates, '
    r'(\d) that are also in train \(.*%\), '
    r'(\d) that are also in validation \(.*%\), '
    r'(\d) that are also in test \(.*%\); .*% unknown words'
  )
  overlaps = re.fullmatch(pattern, note).groups()
  assert sorted(overlaps) == ['0', '0', '1']
  without = prepare(Config(**{**options, 'unlabelled': ''}, min_count=3))
  assert without.unlabelled is None
  assert 'superb' not in without.tokenizer.vocabulary


def test_they_can_be_in_memory(tmp_path):
  options = _corpus(tmp_path)
  expected = prepare(Config(**options)).unlabelled.tokens
  pairs = [(f'a {x} film {i}', x) for i in range(20) for x in ('good', 'bad')]
  train = tuple(map(list, zip(*pairs)))
  data = prepare(Config(), {'train': train, 'unlabelled': list(TEXTS)})
  np.testing.assert_array_equal(
    data.unlabelled.tokens.lengths, expected.lengths
  )
  assert 'superb' in data.tokenizer.vocabulary


def test_what_is_wrong_is_named(tmp_path):
  options = _corpus(tmp_path)
  with pytest.raises(FileNotFoundError, match='^unlabelled=missing.csv: no su'):
    prepare(Config(**{**options, 'unlabelled': 'missing.csv'}))
  path = tmp_path / 'texts.csv'
  path.write_text('text\nfine\nfine,2\n')
  message = f'^unlabelled={re.escape(str(path))}, row 3: 2 fields'
  with pytest.raises(ValueError, match=message):
    prepare(Config(**options))
  with pytest.raises(ValueError, match=r'^unlabelled=x.csv needs model=flat$'):
    Config(unlabelled='x.csv', model='hierarchical')
  with pytest.raises(ValueError, match=r'x.csv and pooling=entity exclude'):
    Config(unlabelled='x.csv', pooling='entity')
