"""Iterative stratification, compared with the published algorithm."""

from numbered_texts import make_folds, make_table, texts_of
import numpy as np
import pytest

from bigru_jax.data.holdout import describe_rare_labels, hold_out
from bigru_jax.data.splits import label_array, label_pairs


def test_multi_label_texts_are_stratified_by_the_rarest_label():
  # Label 2 is rare, 0 common; a third of the texts have no label.
  labels = [[0, 2] if i < 30 else [0, 1] if i < 200 else [] for i in range(300)]
  for fold in make_folds(make_table(range(300), labels), 10):
    rows, ids = label_pairs(fold['test']['label'])
    assert np.bincount(ids, minlength=3).tolist() == [20, 17, 3]
    assert len(fold['test']) - len(set(rows.tolist())) == 10
  splits, _ = hold_out({'train': make_table(range(300), labels)}, 0)
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
  """Algorithm 1 of Sechidis et al., 2011, written literally."""
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
  train = make_table(range(400), labels)
  hot = label_array(train['label'], 200)
  rng = np.random.default_rng(seed)
  published = [
    _distance(hot, part) for part in _by_definition(hot, [40] * 10, rng)
  ]
  folds = [texts_of(fold['test']) for fold in make_folds(train, 10, seed)]
  assert {len(fold) for fold in folds} == {40}
  ours = [_distance(hot, np.array(fold)) for fold in folds]
  assert np.mean(ours) <= np.mean(published)
  # By chance it is far worse.
  parts = rng.permutation(400).reshape(10, 40)
  assert np.mean(ours) < 0.8 * np.mean([_distance(hot, x) for x in parts])
  held_out, _ = hold_out({'train': train}, seed)
  for name in ('test', 'validation'):
    part = np.array(texts_of(held_out[name]))
    assert _distance(hot, part) < np.quantile(published, 0.9)


def test_the_spread_does_not_depend_on_the_order_of_the_texts():
  labels = _long_tail(300, 0)
  order = np.random.default_rng(0).permutation(300)
  names: dict[int, int] = {}  # Labels are numbered in the order of the rows.
  for i in order:
    for label in labels[i]:
      names.setdefault(label, len(names))
  renamed = [[names[label] for label in labels[i]] for i in order]
  splits, _ = hold_out({'train': make_table(range(300), labels)}, 0)
  others, _ = hold_out({'train': make_table(order, renamed)}, 0)
  for name, split in splits.items():
    assert sorted(texts_of(split)) == sorted(texts_of(others[name]))


def test_a_label_per_text_leaves_the_other_labels_stratified():
  labels = [[i % 2, 2 + i] for i in range(400)]
  splits, _ = hold_out({'train': make_table(range(400), labels)}, 0)
  for name in ('validation', 'test'):
    _, ids = label_pairs(splits[name]['label'])
    assert np.bincount(ids)[:2].tolist() == [20, 20]
  assert 'occur in one split only, and 80 do' in describe_rare_labels(splits)[0]
