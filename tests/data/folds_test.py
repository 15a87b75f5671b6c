"""The folds of a cross-validation."""

import collections
import itertools

from hypothesis import assume, example, given, settings, strategies as st
from numbered_texts import (
  LABELS,
  examples,
  make_folds,
  make_table,
  pairs_of,
  texts_of,
)
import numpy as np
import pytest

from bigru_jax.data.holdout import hold_out, take_fold


@given(
  st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 5)), min_size=60, max_size=99
  ),
  st.integers(2, 5),
)
def test_each_example_is_in_the_test_split_of_one_fold(pairs, folds):
  texts, labels = zip(*pairs)
  assume(len(set(texts)) >= folds)
  splits = make_folds(make_table(texts, labels), folds)
  tested = list(itertools.chain(*(texts_of(x['test']) for x in splits)))
  assert collections.Counter(tested) == collections.Counter(texts)
  for fold in splits:
    assert not set(texts_of(fold['train'])) & set(texts_of(fold['test']))
    assert len(fold['train']) + len(fold['test']) == len(pairs)


def test_folds_are_stratified_and_of_equal_size():
  labels = [0] * 700 + [1] * 280 + [2] * 25
  for fold in make_folds(make_table(range(1005), labels), 10):
    counts = np.bincount(fold['test']['label'], minlength=3).tolist()
    assert counts[:2] == [70, 28] and counts[2] in (2, 3)
    assert len(fold['test']) in (100, 101)


def test_folds_are_a_function_of_the_seed_and_the_texts():
  def fold(seed, texts):
    train = make_table(texts, np.asarray(texts) % 2)
    return sorted(texts_of(make_folds(train, 5, seed)[0]['test']))

  texts = list(range(300))
  assert fold(0, texts) == fold(0, texts[::-1]) != fold(1, texts)


def test_validation_is_held_out_of_the_other_folds():
  train = make_table(range(100), [0, 1] * 50)
  splits, _ = take_fold({'train': train}, 10, 3, 0)
  splits, _ = hold_out(splits, 0)
  assert [len(split) for split in splits.values()] == [81, 9, 10]


@example([(0, [0])] * 20 + [(i, [1]) for i in range(1, 6)], 5)
@example([(i // 2, []) for i in range(12)], 5)
@settings(max_examples=20, deadline=None)
@given(examples(LABELS), st.integers(2, 5))
def test_folds_of_many_labels_cover_all_examples(pairs, folds):
  assume(len({number for number, _ in pairs}) >= folds)
  train = make_table(*zip(*pairs))
  tests = [fold['test'] for fold in make_folds(train, folds)]
  tested = list(itertools.chain(*map(pairs_of, tests)))
  assert collections.Counter(tested) == collections.Counter(pairs_of(train))
  for one, other in itertools.combinations(tests, 2):
    assert not set(texts_of(one)) & set(texts_of(other))
  if len({number for number, _ in pairs}) == len(pairs):
    assert np.ptp([len(fold) for fold in tests]) <= 1


def test_folds_need_texts_and_no_test_split():
  train = make_table(range(3), [0, 1, 0])
  with pytest.raises(ValueError, match='folds=4: there are too few texts'):
    take_fold({'train': train}, 4, 0, 0)
  with pytest.raises(ValueError, match='folds=2: the data have a test split'):
    take_fold({'train': train, 'test': train}, 2, 0, 0)
