"""Holding out a tenth, and folds."""

import collections
import hashlib
import itertools
import re

from hypothesis import assume, example, given, settings, strategies as st
import numpy as np
import pytest

from bigru_jax.data.holdout import describe_rare_labels, hold_out, take_fold
from bigru_jax.data.ragged import Ragged, pack
from bigru_jax.data.splits import Table, label_array, label_pairs


def _table(texts, labels):
  """A split of which each text is a number; labels may be lists of them."""
  texts = np.asarray(texts)
  several = isinstance(labels[0], list)
  return Table(
    {
      'tokens': pack([[number] for number in texts]),
      'label': pack(labels) if several else np.asarray(labels, np.int32),
      'source': np.full(len(texts), 'train', object),
      'row': np.arange(1, len(texts) + 1),
      'digest': texts.astype(np.uint64),
    }
  )


def _texts(table):
  return table['tokens'].flat().tolist()


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
    assert np.bincount(splits[name]['label']).tolist() == [70, 28, 1, 1]
  assert set(splits['train']['label']) == {0, 1, 2, 3, 4}


def test_the_last_text_of_a_class_is_kept_where_others_can_be_drawn():
  texts, labels = [*range(100), 0], [0] * 100 + [1]
  for seed in range(20):
    splits, _ = hold_out({'train': _table(texts, labels)}, seed)
    assert 0 in _texts(splits['train'])


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


def _check_hold_out(train):
  """Checks what is promised of every hold-out; returns the splits."""
  pairs = _pairs(train)
  splits, notes = hold_out({'train': train}, 0)
  held = list(itertools.chain(*(_pairs(split) for split in splits.values())))
  assert collections.Counter(held) == collections.Counter(pairs)
  for one, other in itertools.combinations(splits.values(), 2):
    assert not set(_texts(one)) & set(_texts(other))
  tenth = max(1, round(len(pairs) / 10))
  for note, name in zip(notes, ('test', 'validation')):
    size = len(splits[name])
    assert size
    assert note.startswith(f'there is no {name} split: {size} of {len(pairs)} ')
    assert (f'not {tenth}, because equal texts' in note) == (size != tenth)
    if len(set(_texts(train))) == len(pairs):
      assert size == tenth
  assert len(splits['train'])
  if isinstance(train['label'], Ragged):
    backwards = train.take(np.arange(len(train))[::-1])
    backwards_splits, _ = hold_out({'train': backwards}, 0)
    for name, split in backwards_splits.items():
      assert sorted(_texts(split)) == sorted(_texts(splits[name]))
  return splits


def _pairs(table):
  """The text and the labels of each example."""
  rows = label_array(table['label'], 9).reshape(len(table), -1)
  return list(zip(_texts(table), map(tuple, rows.tolist())))


def _examples(labels):
  """Examples of equal and of different texts."""
  return st.one_of(
    st.lists(st.tuples(st.integers(0, 30), labels), min_size=3, max_size=80),
    st.lists(labels, min_size=3, max_size=80).map(lambda x: list(enumerate(x))),
  ).filter(lambda x: len({text for text, _ in x}) > 2)


_ONE_LABEL = st.integers(0, 8)
_LABELS = st.lists(st.integers(0, 8), unique=True, max_size=5)


@example([(0, 0), (1, 0), (2, 1)])
@example([(0, 0)] * 20 + [(1, 0), (2, 1)])
@example([(i, 0) for i in range(3)] + [(3, 1)] * 37)
@settings(max_examples=20, deadline=None)
@given(_examples(_ONE_LABEL))
def test_no_example_of_one_label_is_lost(pairs):
  _check_hold_out(_table(*zip(*pairs)))


@example([(0, []), (1, [0]), (2, [1])])
@example([(0, [0, 1])] * 30 + [(i, [i % 9]) for i in range(1, 31)])
@example([(i // 3, [0]) for i in range(60)])
@settings(max_examples=20, deadline=None)
@given(_examples(_LABELS))
def test_no_example_of_many_labels_is_lost(pairs):
  _check_hold_out(_table(*zip(*pairs)))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(_examples(_ONE_LABEL), _examples(_LABELS))
def test_no_example_is_lost(one_label, many_labels):
  _check_hold_out(_table(*zip(*one_label)))
  _check_hold_out(_table(*zip(*many_labels)))


@pytest.mark.parametrize(
  'count, classes, copies, digest',
  [
    (1000, 2, 1, 'ff04a7926b37815c'),
    (999, 6, 1, '521dc1a22662df4c'),
    (500, 40, 1, 'a66352eb5e88aa44'),
    (600, 5, 3, '7a0c4bff9b7e2de4'),
  ],
)
def test_splits_by_one_label_are_those_of_earlier_versions(
  count, classes, copies, digest
):
  # Recorded results depend on them.
  numbers = np.arange(count)
  train = _table(numbers // copies, numbers**2 % 101 % classes)
  splits, _ = hold_out({'train': train}, 0)
  parts = [splits['test']['row'], splits['validation']['row']]
  parts += [fold['test']['row'] for fold in _folds(train, 5)]
  drawn = np.concatenate(parts).astype('<i8')
  assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == digest


def test_a_class_for_each_text_is_held_out_exactly():
  splits, _ = hold_out({'train': _table(range(600), np.arange(600))}, 0)
  assert [len(split) for split in splits.values()] == [480, 60, 60]
  assert describe_rare_labels(splits) == [
    'rare labels: 600 of 600 occur in one split only, and 120 do not occur in '
    'train, so that the model cannot learn them'
  ]


def test_classes_of_one_or_two_texts_are_held_out_exactly():
  labels = np.append(np.arange(500), np.arange(100))
  splits, _ = hold_out({'train': _table(range(600), labels)}, 0)
  assert [len(split) for split in splits.values()] == [480, 60, 60]


def test_nothing_is_said_of_labels_that_all_splits_have():
  splits, _ = hold_out({'train': _table(range(60), [0, 1] * 30)}, 0)
  assert not describe_rare_labels(splits)


@pytest.mark.parametrize('labels', [[0, 1] * 300, [[0], [1, 2]] * 300])
def test_the_share_is_exact_beside_a_text_that_occurs_often(labels):
  texts = [0] * 300 + list(range(1, 301))
  splits, _ = hold_out({'train': _table(texts, labels)}, 0)
  assert [len(split) for split in splits.values()] == [480, 60, 60]


@pytest.mark.parametrize('labels', [[0, 1] * 300, [[0], [1, 2]] * 300])
def test_a_share_that_duplicates_make_impossible_is_said(labels):
  texts = np.repeat(np.arange(6), 100)
  _, notes = hold_out({'train': _table(texts, labels)}, 0)
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
    hold_out({'train': _table([0, 1] * 3, labels)}, 0)
  train = _table([0] * 6, labels)
  with pytest.raises(ValueError, match=r'texts \(1, .*; give --validation'):
    hold_out({'train': train, 'test': train}, 0)


@pytest.mark.parametrize('many_labels', [False, True])
def test_texts_that_occur_two_or_three_times_add_up_to_a_tenth(many_labels):
  for seed in range(20):
    texts = [*(np.arange(100) // 2), *(np.arange(150) // 3 + 50)]
    labels = [[x % 2] if many_labels else x % 2 for x in range(250)]
    splits, _ = hold_out({'train': _table(texts, labels)}, seed)
    assert [len(split) for split in splits.values()] == [200, 25, 25]


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
    counts = np.bincount(fold['test']['label'], minlength=3).tolist()
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


@example([(0, [0])] * 20 + [(i, [1]) for i in range(1, 6)], 5)
@example([(i // 2, []) for i in range(12)], 5)
@settings(max_examples=20, deadline=None)
@given(_examples(_LABELS), st.integers(2, 5))
def test_folds_of_many_labels_cover_all_examples(pairs, folds):
  assume(len({number for number, _ in pairs}) >= folds)
  train = _table(*zip(*pairs))
  tests = [fold['test'] for fold in _folds(train, folds)]
  tested = list(itertools.chain(*map(_pairs, tests)))
  assert collections.Counter(tested) == collections.Counter(_pairs(train))
  for one, other in itertools.combinations(tests, 2):
    assert not set(_texts(one)) & set(_texts(other))
  if len({number for number, _ in pairs}) == len(pairs):
    assert np.ptp([len(fold) for fold in tests]) <= 1


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
    rows, ids = label_pairs(fold['test']['label'])
    assert np.bincount(ids, minlength=3).tolist() == [20, 17, 3]
    assert len(fold['test']) - len(set(rows.tolist())) == 10
  splits, _ = hold_out({'train': _table(range(300), labels)}, 0)
  _, ids = label_pairs(splits['test']['label'])
  assert np.bincount(ids, minlength=3).tolist() == [20, 17, 3]


def _long_tail(count, seed):
  """Sets of labels whose frequencies fall as a power; some are empty."""
  rng = np.random.default_rng(seed)
  draws = (rng.zipf(1.5, rng.integers(0, 8)) % 200 for _ in range(count))
  return [sorted(set(x.tolist())) for x in draws]


def _distance(hot, part):
  """The measure LD of Sechidis et al., 2011, section 4.2, for one part."""
  inside, totals = hot[part].sum(0), hot.sum(0)
  odds = inside / (len(part) - inside)
  return np.abs(odds - totals / (len(hot) - totals))[totals > 0].mean()


def _by_definition(hot, sizes, rng):
  """Algorithm 1 of Sechidis et al., 2011, as it is written there."""
  desired = np.array(sizes, float)
  desired_KxC = desired[:, None] * hot.sum(0) / len(hot)
  fold_of = np.full(len(hot), -1)
  while (fold_of < 0).any():
    left = hot[fold_of < 0].sum(0)
    if left.any():
      label = rng.choice(np.flatnonzero(left == left[left > 0].min()))
      texts = np.flatnonzero((fold_of < 0) & hot[:, label])
    else:
      label, texts = None, np.flatnonzero(fold_of < 0)
    for i in rng.permutation(texts):
      best = np.arange(len(sizes))
      if label is not None:
        wanted = desired_KxC[:, label]
        best = np.flatnonzero(wanted == wanted.max())
      best = best[desired[best] == desired[best].max()]
      fold = fold_of[i] = rng.choice(best)
      desired_KxC[fold] -= hot[i]
      desired[fold] -= 1
  return [np.flatnonzero(fold_of == fold) for fold in range(len(sizes))]


@pytest.mark.parametrize('seed', range(3))
def test_many_labels_are_spread_as_well_as_by_the_published_algorithm(seed):
  labels = _long_tail(400, seed)
  train = _table(range(400), labels)
  hot = label_array(train['label'], 200)
  rng = np.random.default_rng(seed)
  published = [
    _distance(hot, part) for part in _by_definition(hot, [40] * 10, rng)
  ]
  folds = [_texts(fold['test']) for fold in _folds(train, 10, seed)]
  assert {len(fold) for fold in folds} == {40}
  ours = [_distance(hot, np.array(fold)) for fold in folds]
  assert np.mean(ours) <= np.mean(published)
  # By chance it is far worse.
  parts = rng.permutation(400).reshape(10, 40)
  assert np.mean(ours) < 0.8 * np.mean([_distance(hot, x) for x in parts])
  held_out, _ = hold_out({'train': train}, seed)
  for name in ('test', 'validation'):
    part = np.array(_texts(held_out[name]))
    assert _distance(hot, part) < np.quantile(published, 0.9)


def test_the_spread_is_a_function_of_the_texts_and_not_of_their_rows():
  labels = _long_tail(300, 0)
  order = np.random.default_rng(0).permutation(300)
  names: dict[int, int] = {}  # Labels are numbered in the order of the rows.
  for i in order:
    for label in labels[i]:
      names.setdefault(label, len(names))
  renamed = [[names[label] for label in labels[i]] for i in order]
  splits, _ = hold_out({'train': _table(range(300), labels)}, 0)
  others, _ = hold_out({'train': _table(order, renamed)}, 0)
  for name, split in splits.items():
    assert sorted(_texts(split)) == sorted(_texts(others[name]))


def test_a_label_for_each_text_leaves_the_others_stratified():
  labels = [[i % 2, 2 + i] for i in range(400)]
  splits, _ = hold_out({'train': _table(range(400), labels)}, 0)
  for name in ('validation', 'test'):
    _, ids = label_pairs(splits[name]['label'])
    assert np.bincount(ids)[:2].tolist() == [20, 20]
  assert 'occur in one split only, and 80 do' in describe_rare_labels(splits)[0]
