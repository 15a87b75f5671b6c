"""Holding out, and the labels' order."""

import collections
import itertools

from hypothesis import assume, given, strategies as st
import numpy as np
import pytest

from bigru_jax.data import text
from bigru_jax.data.splits import (
  LabelSets,
  Table,
  hold_out,
  sort_labels,
  take_fold,
)


def _table(texts, labels):
  """A split of which each text is a number; labels may be lists of them."""
  texts = np.asarray(texts)
  zeros = np.zeros(len(texts), bool)
  several = isinstance(labels[0], list)
  return Table(
    text.pack([[number] for number in texts]),
    LabelSets(text.pack(labels)) if several else np.asarray(labels, np.int32),
    np.arange(1, len(texts) + 1),
    np.full(len(texts), 'train', object),
    texts.astype(np.uint64),
    zeros,
    zeros,
  )


def _texts(table):
  return table.encoded.tokens[table.encoded.starts].tolist()


@pytest.mark.parametrize('count, tenth', [(52, 5), (105, 10), (300, 30)])
def test_exactly_a_tenth_is_held_out(count, tenth):
  train = _table(range(count), np.arange(count) % 2)
  splits, notes = hold_out({'train': train}, split_seed=0)
  assert list(splits) == ['train', 'validation', 'test']
  assert [len(split) for split in splits.values()] == [
    count - 2 * tenth, tenth, tenth,
  ]  # fmt: skip
  assert sorted(itertools.chain(*map(_texts, splits.values()))) == list(
    range(count)
  )
  assert notes[0].startswith(f'there is no test split: {tenth} of {count} ')


def test_the_draw_is_a_function_of_the_seed_and_the_texts():
  def test_texts(seed, texts):
    train = _table(texts, np.asarray(texts) % 2)
    return sorted(_texts(hold_out({'train': train}, seed)[0]['test']))

  texts = list(range(300))
  assert test_texts(0, texts) == test_texts(0, texts[::-1])
  assert test_texts(0, texts) != test_texts(1, texts)


def test_the_tenth_is_stratified():
  labels = [0] * 700 + [1] * 280 + [2] * 16 + [3] * 3 + [4]
  splits, _ = hold_out({'train': _table(range(1000), labels)}, 0)
  for name in ('validation', 'test'):
    assert np.bincount(splits[name].labels).tolist() == [70, 28, 1, 1]
  assert set(splits['train'].labels) == {0, 1, 2, 3, 4}


def test_equal_texts_are_held_out_together():
  texts, labels = np.arange(400) % 100, np.arange(400) % 2
  splits, _ = hold_out({'train': _table(texts, labels)}, 0)
  for one, other in itertools.combinations(splits.values(), 2):
    assert not set(_texts(one)) & set(_texts(other))
  assert [len(split) for split in splits.values()] == [320, 40, 40]


def test_of_texts_that_occur_often_one_is_held_out():
  train = _table([0] * 20 + [1] * 30 + [2] * 40, [0] * 50 + [1] * 40)
  splits, _ = hold_out({'train': train, 'test': train}, 0)
  assert _texts(splits['validation']) == [0] * 20


def test_splits_that_are_there_stay_as_they_are():
  train, test = _table(range(20), [0, 1] * 10), _table([1, 2], [0, 1])
  splits, notes = hold_out({'train': train, 'test': test}, 0)
  assert splits['test'] is test
  assert [len(split) for split in splits.values()] == [18, 2, 2]
  assert len(notes) == 1


@given(
  st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=3, max_size=80
  )
)
def test_no_example_is_lost_and_no_class_leaves_train(pairs):
  texts, labels = zip(*pairs)
  splits, _ = hold_out({'train': _table(texts, labels)}, 0)
  found = [
    pair
    for split in splits.values()
    for pair in zip(_texts(split), split.labels.tolist())
  ]
  assert collections.Counter(found) == collections.Counter(pairs)
  assert set(splits['train'].labels.tolist()) == set(labels)
  tenth = max(1, round(len(pairs) / 10))
  most = max(tenth, min(collections.Counter(texts).values()))
  assert len(splits['test']) <= most


@pytest.mark.parametrize(
  'labels', list(itertools.permutations(['1', '01', '001']))
)
def test_the_order_is_a_function_of_the_labels(labels):
  assert sort_labels(labels) == ['001', '01', '1']


def test_numbers_are_sorted_by_value_and_others_alphabetically():
  assert sort_labels({'10', '9', '2', '-1'}) == ['-1', '2', '9', '10']
  assert sort_labels({'10', '9', 'b'}) == ['10', '9', 'b']
  assert sort_labels({'0.5', '10', '1', '-2'}) == ['-2', '0.5', '1', '10']
  assert sort_labels({'nan', '10', '9'}) == ['10', '9', 'nan']


def _folds(train, folds, seed=0):
  """The splits of every fold."""
  return [
    take_fold({'train': train}, folds, fold, seed)[0] for fold in range(folds)
  ]


@given(
  st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=60, max_size=99
  ),
  st.integers(2, 5),
)
def test_each_example_is_in_the_test_of_one_fold(pairs, folds):
  texts, labels = zip(*pairs)
  assume(len(set(texts)) >= folds)
  splits = _folds(_table(texts, labels), folds)
  tested = list(itertools.chain(*(_texts(x['test']) for x in splits)))
  assert collections.Counter(tested) == collections.Counter(texts)
  for fold in splits:
    assert not set(_texts(fold['train'])) & set(_texts(fold['test']))
    assert len(fold['train']) + len(fold['test']) == len(pairs)


def test_folds_are_stratified_and_of_one_size():
  labels = [0] * 700 + [1] * 280 + [2] * 25
  for fold in _folds(_table(range(1005), labels), 10):
    counts = np.bincount(fold['test'].labels, minlength=3).tolist()
    assert counts[:2] == [70, 28] and counts[2] in (2, 3)
    assert len(fold['test']) in (100, 101)


def test_folds_are_a_function_of_the_seed_and_the_texts():
  def fold(seed, texts):
    train = _table(texts, np.asarray(texts) % 2)
    return sorted(_texts(_folds(train, 5, seed)[0]['test']))

  texts = list(range(300))
  assert fold(0, texts) == fold(0, texts[::-1]) != fold(1, texts)


def test_validation_is_held_out_of_the_rest_of_a_fold():
  train = _table(range(100), [0, 1] * 50)
  splits, _ = take_fold({'train': train}, 10, 3, 0)
  splits, _ = hold_out(splits, 0)
  assert [len(split) for split in splits.values()] == [81, 9, 10]


def test_folds_need_texts_and_no_test_split():
  train = _table(range(3), [0, 1, 0])
  with pytest.raises(ValueError, match='folds=4: there are too few texts'):
    take_fold({'train': train}, 4, 0, 0)
  with pytest.raises(ValueError, match='folds=2: the data have a test split'):
    take_fold({'train': train, 'test': train}, 2, 0, 0)


def test_several_labels_are_stratified_by_the_rarest():
  # Label 2 is rare, 0 common; a third of the texts have no label.
  labels = [[0, 2] if i < 30 else [0, 1] if i < 200 else [] for i in range(300)]
  for fold in _folds(_table(range(300), labels), 10):
    rows, ids = fold['test'].labels.pairs()
    assert np.bincount(ids, minlength=3).tolist() == [20, 17, 3]
    assert len(fold['test']) - len(set(rows.tolist())) == 10
  splits, _ = hold_out({'train': _table(range(300), labels)}, 0)
  _, ids = splits['test'].labels.pairs()
  assert np.bincount(ids, minlength=3).tolist() == [20, 17, 3]


def test_label_sets_as_arrays():
  sets = LabelSets(text.pack([[2, 0], [], [1]]))
  assert sets.multi_hot(3).tolist() == [
    [True, False, True], [False] * 3, [False, True, False],
  ]  # fmt: skip
  some = sets[np.array([2, 0])].translated(np.array([5, 6, 7]))
  rows, ids = some.pairs()
  assert rows.tolist() == [0, 1, 1] and ids.tolist() == [6, 7, 5]
