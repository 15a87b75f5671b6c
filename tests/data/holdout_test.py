"""Holding out a tenth of the training set, stratified and exact."""

import collections
import hashlib
import itertools
import re

from hypothesis import example, given, settings
from numbered_texts import (
  LABELS,
  ONE_LABEL,
  examples,
  make_folds,
  make_table,
  pairs_of,
  texts_of,
)
import numpy as np
import pytest

from bigru_jax.data.holdout import describe_rare_labels, hold_out
from bigru_jax.data.ragged import Ragged


@pytest.mark.parametrize('count, tenth', [(52, 5), (105, 10), (300, 30)])
def test_exactly_a_tenth_is_held_out(count, tenth):
  train = make_table(range(count), np.arange(count) % 2)
  splits, notes = hold_out({'train': train}, split_seed=0)
  assert list(splits) == ['train', 'validation', 'test']
  assert [len(split) for split in splits.values()] == [
    count - 2 * tenth, tenth, tenth,
  ]  # fmt: skip
  assert sorted(itertools.chain(*map(texts_of, splits.values()))) == list(
    range(count)
  )
  assert notes[0].startswith(f'there is no test split: {tenth} of {count} ')


def test_the_draw_is_a_function_of_the_seed_and_the_texts():
  def draw(seed, texts):
    train = make_table(texts, np.asarray(texts) % 2)
    return sorted(texts_of(hold_out({'train': train}, seed)[0]['test']))

  texts = list(range(300))
  assert draw(0, texts) == draw(0, texts[::-1])
  assert draw(0, texts) != draw(1, texts)


def test_the_tenth_is_stratified():
  labels = [0] * 700 + [1] * 280 + [2] * 16 + [3] * 3 + [4]
  splits, _ = hold_out({'train': make_table(range(1000), labels)}, 0)
  for name in ('validation', 'test'):
    assert np.bincount(splits[name]['label']).tolist() == [70, 28, 1, 1]
  assert set(splits['train']['label']) == {0, 1, 2, 3, 4}


def test_the_last_text_of_a_class_is_kept_if_possible():
  texts, labels = [*range(100), 0], [0] * 100 + [1]
  for seed in range(20):
    splits, _ = hold_out({'train': make_table(texts, labels)}, seed)
    assert 0 in texts_of(splits['train'])


def test_equal_texts_are_held_out_together():
  texts, labels = np.arange(400) % 100, np.arange(400) % 2
  splits, _ = hold_out({'train': make_table(texts, labels)}, 0)
  for one, other in itertools.combinations(splits.values(), 2):
    assert not set(texts_of(one)) & set(texts_of(other))
  assert [len(split) for split in splits.values()] == [320, 40, 40]


def test_one_of_a_few_frequent_texts_is_held_out():
  train = make_table([0] * 20 + [1] * 30 + [2] * 40, [0] * 50 + [1] * 40)
  splits, _ = hold_out({'train': train, 'test': train}, 0)
  assert texts_of(splits['validation']) == [0] * 20


def test_given_splits_are_unchanged():
  train, test = make_table(range(20), [0, 1] * 10), make_table([1, 2], [0, 1])
  splits, notes = hold_out({'train': train, 'test': test}, 0)
  assert splits['test'] is test
  assert [len(split) for split in splits.values()] == [18, 2, 2]
  assert len(notes) == 1


def _check_hold_out(train):
  """Checks the promises of every hold-out; returns the splits."""
  pairs = pairs_of(train)
  splits, notes = hold_out({'train': train}, 0)
  held = list(itertools.chain(*(pairs_of(split) for split in splits.values())))
  assert collections.Counter(held) == collections.Counter(pairs)
  for one, other in itertools.combinations(splits.values(), 2):
    assert not set(texts_of(one)) & set(texts_of(other))
  tenth = max(1, round(len(pairs) / 10))
  for note, name in zip(notes, ('test', 'validation')):
    size = len(splits[name])
    assert size
    assert note.startswith(f'there is no {name} split: {size} of {len(pairs)} ')
    assert (f'not {tenth}, because equal texts' in note) == (size != tenth)
    if len(set(texts_of(train))) == len(pairs):
      assert size == tenth
  assert len(splits['train'])
  if isinstance(train['label'], Ragged):
    backwards = train.take(np.arange(len(train))[::-1])
    backwards_splits, _ = hold_out({'train': backwards}, 0)
    for name, split in backwards_splits.items():
      assert sorted(texts_of(split)) == sorted(texts_of(splits[name]))
  return splits


@example([(0, 0), (1, 0), (2, 1)])
@example([(0, 0)] * 20 + [(1, 0), (2, 1)])
@example([(i, 0) for i in range(3)] + [(3, 1)] * 37)
@settings(max_examples=20, deadline=None)
@given(examples(ONE_LABEL))
def test_no_example_of_one_label_is_lost(pairs):
  _check_hold_out(make_table(*zip(*pairs)))


@example([(0, []), (1, [0]), (2, [1])])
@example([(0, [0, 1])] * 30 + [(i, [i % 9]) for i in range(1, 31)])
@example([(i // 3, [0]) for i in range(60)])
@settings(max_examples=20, deadline=None)
@given(examples(LABELS))
def test_no_example_of_many_labels_is_lost(pairs):
  _check_hold_out(make_table(*zip(*pairs)))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(examples(ONE_LABEL), examples(LABELS))
def test_no_example_is_lost(one_label, many_labels):
  _check_hold_out(make_table(*zip(*one_label)))
  _check_hold_out(make_table(*zip(*many_labels)))


@pytest.mark.parametrize(
  'count, classes, copies, digest',
  [
    (1000, 2, 1, 'ff04a7926b37815c'),
    (999, 6, 1, '521dc1a22662df4c'),
    (500, 40, 1, 'a66352eb5e88aa44'),
    (600, 5, 3, '7a0c4bff9b7e2de4'),
  ],
)
def test_single_label_splits_are_those_of_earlier_versions(
  count, classes, copies, digest
):
  # Recorded results depend on them.
  numbers = np.arange(count)
  train = make_table(numbers // copies, numbers**2 % 101 % classes)
  splits, _ = hold_out({'train': train}, 0)
  parts = [splits['test']['row'], splits['validation']['row']]
  parts += [fold['test']['row'] for fold in make_folds(train, 5)]
  drawn = np.concatenate(parts).astype('<i8')
  assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == digest


def test_a_class_for_each_text_is_held_out_exactly():
  splits, _ = hold_out({'train': make_table(range(600), np.arange(600))}, 0)
  assert [len(split) for split in splits.values()] == [480, 60, 60]
  assert describe_rare_labels(splits) == [
    'rare labels: 600 of 600 occur in one split only, and 120 do not occur in '
    'train, so that the model cannot learn them'
  ]


def test_classes_of_one_or_two_texts_are_held_out_exactly():
  labels = np.append(np.arange(500), np.arange(100))
  splits, _ = hold_out({'train': make_table(range(600), labels)}, 0)
  assert [len(split) for split in splits.values()] == [480, 60, 60]


def test_labels_that_all_splits_have_give_no_note():
  splits, _ = hold_out({'train': make_table(range(60), [0, 1] * 30)}, 0)
  assert not describe_rare_labels(splits)


@pytest.mark.parametrize('labels', [[0, 1] * 300, [[0], [1, 2]] * 300])
def test_the_share_is_exact_despite_a_frequent_text(labels):
  texts = [0] * 300 + list(range(1, 301))
  splits, _ = hold_out({'train': make_table(texts, labels)}, 0)
  assert [len(split) for split in splits.values()] == [480, 60, 60]


@pytest.mark.parametrize('labels', [[0, 1] * 300, [[0], [1, 2]] * 300])
def test_a_share_that_duplicates_make_impossible_is_noted(labels):
  texts = np.repeat(np.arange(6), 100)
  _, notes = hold_out({'train': make_table(texts, labels)}, 0)
  assert notes[1] == (
    'there is no validation split: 100 of 600 training examples are held out '
    'for it, not 60, because equal texts stay in one split'
  )


@pytest.mark.parametrize('labels', [[0, 1] * 3, [[0], [1, 2]] * 3])
def test_too_few_different_texts_are_an_error(labels):
  message = re.escape(
    'train: too few different texts (2, in 6 rows) to hold out test and '
    'validation; give --test and --validation'
  )
  with pytest.raises(ValueError, match=message):
    hold_out({'train': make_table([0, 1] * 3, labels)}, 0)
  train = make_table([0] * 6, labels)
  with pytest.raises(ValueError, match=r'texts \(1, .*; give --validation'):
    hold_out({'train': train, 'test': train}, 0)


@pytest.mark.parametrize('many_labels', [False, True])
def test_texts_that_occur_two_or_three_times_add_up_to_a_tenth(many_labels):
  for seed in range(20):
    texts = [*(np.arange(100) // 2), *(np.arange(150) // 3 + 50)]
    labels = [[x % 2] if many_labels else x % 2 for x in range(250)]
    splits, _ = hold_out({'train': make_table(texts, labels)}, seed)
    assert [len(split) for split in splits.values()] == [200, 25, 25]
