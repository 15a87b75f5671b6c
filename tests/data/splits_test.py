"""Holding out, the checks of the splits, the labels' order, the digest."""

import itertools

import pytest

from bigru_jax.data.splits import Split, check, hold_out, sort_labels


def _split(pairs, name='train.csv'):
  texts, labels = map(list, zip(*pairs))
  return Split(texts, labels, list(range(2, len(texts) + 2)), name)


def test_missing_splits_are_held_out_of_train():
  train = _split([(f'text {i}', str(i % 2)) for i in range(300)])
  splits, notes = hold_out({'train': train}, split_seed=0)
  sides = [set(split.texts) for split in splits.values()]
  assert list(splits) == ['train', 'validation', 'test']
  assert sum(map(len, sides)) == len(set.union(*sides)) == 300
  assert all(len(side) > 10 for side in sides)
  assert [note.split()[3] for note in notes] == ['test', 'validation']
  again, _ = hold_out({'train': train}, split_seed=0)
  other, _ = hold_out({'train': train}, split_seed=1)
  assert again['test'].texts == splits['test'].texts != other['test'].texts


def test_equal_texts_are_held_out_together():
  train = _split([(f'text {i % 100}', str(i % 2)) for i in range(400)])
  splits, _ = hold_out({'train': train}, split_seed=0)
  for one, other in itertools.combinations(splits.values(), 2):
    assert not set(one.texts) & set(other.texts)


def test_splits_that_are_there_stay_as_they_are():
  splits = {
    name: _split([(f'{name} {i}', str(i % 2)) for i in range(4)])
    for name in ('test', 'train', 'validation')
  }
  held_out, notes = hold_out(splits, split_seed=0)
  assert held_out == splits and not notes
  assert list(held_out) == ['train', 'validation', 'test']


def test_holding_out_never_takes_the_last_of_a_class():
  pairs = [(f'text {i}', str(i % 2)) for i in range(100)]
  pairs += [(f'the only one of {i}', f'class {i}') for i in range(100)]
  splits, _ = hold_out({'train': _split(pairs)}, split_seed=0)
  assert len(set(splits['train'].labels)) == 102


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


@pytest.mark.parametrize(
  'change, message',
  [
    ({'train': [('a', 'x'), ('b', 'x')]}, "single class, 'x'"),
    ({'test': [('a', 'x'), ('b', 'odd')]}, "test.csv, row 3: .* label 'odd'"),
    ({'validation': []}, 'no example is left for validation'),
  ],
)
def test_splits_that_cannot_be_trained_on(change, message):
  pairs = {name: [('a', 'x'), ('b', 'y')]
           for name in ('train', 'validation', 'test')}  # fmt: skip
  splits = {
    name: _split(rows, f'{name}.csv') if rows else Split([], [], [], name)
    for name, rows in {**pairs, **change}.items()
  }
  with pytest.raises(ValueError, match=message):
    check(splits)


def test_the_digest_is_of_texts_and_labels_in_order():
  pairs = [('a', 'x'), ('b', 'y'), ('\ud800', 'x')]
  digests = {
    _split(variant).sha256()
    for variant in (
      pairs,
      pairs[::-1],
      [('a', 'y'), *pairs[1:]],
      [('ax', ''), *pairs[1:]],
      [('a ', 'x'), *pairs[1:]],
      pairs[:2],
    )
  }
  assert len(digests) == 6
  assert _split(pairs).sha256() == _split(pairs, 'elsewhere.csv').sha256()
