"""Holds out missing splits: a tenth of train, or one of several folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bigru_jax.data.ragged import Ragged
from bigru_jax.data.splits import NAMES, Table, label_pairs
from bigru_jax.data.stratification import (
  Texts,
  distinct_texts,
  iterative_folds,
  text_label_pairs,
)

HELD_OUT = 10  # One in this many examples is held out.
# The number of texts that are tried for exchanges to fill a split exactly.
_MAX_EXCHANGED, _MAX_CANDIDATES = 8, 100


def hold_out(
  splits: Mapping[str, Table],
  split_seed: int,
  names: Sequence[str] = ('test', 'validation'),
  at_most: int | None = None,
) -> tuple[dict[str, Table], list[str]]:
  """Holds out a tenth of train for each missing split, test or validation.

  The tenth is exact and stratified. With one label per text, each class gives a
  tenth of its examples, rounded, and at least one if there are enough. With any
  number of labels, the tenth is drawn by iterative stratification, see
  `iterative_folds`. Equal texts stay in one split. The draw is a function of
  the texts and the seed.

  Args:
    splits: the splits; texts without labels are drawn like those of one class.
    split_seed: the seed of the draw.
    names: the splits that there must be.
    at_most: the number of examples that are held out even if a tenth has more.

  Returns:
    The splits in the order of `NAMES`, and a sentence for each split that was
    held out.

  Raises:
    ValueError: there are too few different texts.
  """
  splits, notes = dict(splits), []
  missing = [name for name in names if name not in splits]
  read = len(splits['train'])
  tenth = max(1, round(read / HELD_OUT))
  if at_most:
    tenth = min(tenth, at_most)
  for i, name in enumerate(missing):
    train = splits['train']
    texts = distinct_texts(train, f'{split_seed}/{name}/')
    if len(texts.sizes) <= len(missing) - i:
      flags = ' and '.join(f'--{x}' for x in missing)
      raise ValueError(
        f'{train["source"][0]}: too few different texts ({len(texts.sizes)}, '
        f'in {len(train)} rows) to hold out {" and ".join(missing)}; give '
        f'{flags}'
      )
    labels = train.columns.get('label', np.zeros(len(train), np.int32))
    if isinstance(labels, Ragged):
      drawn = _draw_iteratively(labels, texts, tenth)
    else:
      drawn = _draw_by_class(labels, texts, tenth)
    _complete(drawn, texts.sizes, tenth, len(missing) - i)
    out = drawn[texts.text_of]
    splits[name] = train.take(np.flatnonzero(out))
    splits['train'] = train.take(np.flatnonzero(~out))
    note = (
      f'there is no {name} split: {len(splits[name])} of {read} training '
      'examples are held out for it'
    )
    if len(splits[name]) != tenth:
      note += f', not {tenth}, because equal texts stay in one split'
    notes.append(note)
  return {name: splits[name] for name in NAMES if name in splits}, notes


def take_fold(
  splits: Mapping[str, Table], folds: int, fold: int, split_seed: int
) -> tuple[dict[str, Table], list[str]]:
  """Makes one of several folds of train the test split.

  The folds are disjoint, stratified, and cover train; equal texts share one.
  They are a function of the texts and the seed. With any number of labels per
  text, they are drawn by iterative stratification, see `iterative_folds`.

  Args:
    splits: the splits, without a test split.
    folds: the number of folds.
    fold: the index of the test fold, from 0.
    split_seed: the seed of the draw.

  Returns:
    The splits, and a sentence that describes the fold.

  Raises:
    ValueError: there are fewer texts than folds, or a test split.
  """
  if 'test' in splits:
    raise ValueError(f'folds={folds}: the data have a test split of their own')
  train = splits['train']
  texts = distinct_texts(train, f'{split_seed}/folds/')
  if len(texts.sizes) < folds:
    raise ValueError(f'folds={folds}: there are too few texts in train')
  if isinstance(train['label'], Ragged):
    capacities = _even(len(train), folds)
    fold_of_text = iterative_folds(
      train['label'], texts, capacities, range(folds), texts.sizes > 0
    )
  else:
    fold_of_text = _folds_by_class(train['label'], texts, folds)
  fold_of = fold_of_text[texts.text_of]
  test = train.take(np.flatnonzero(fold_of == fold))
  rest = train.take(np.flatnonzero(fold_of != fold))
  note = f'test is fold {fold} of {folds}: {len(test)} of {len(train)} examples'
  return {**splits, 'train': rest, 'test': test}, [note]


def describe_rare_labels(splits: Mapping[str, Table]) -> list[str]:
  """Returns a sentence if some splits lack labels, in a list.

  Args:
    splits: all three splits, after holding out.
  """
  ids = {name: label_pairs(splits[name]['label'])[1] for name in NAMES}
  size = 1 + max(int(x.max(initial=-1)) for x in ids.values())
  occurs = np.array([np.bincount(ids[x], minlength=size) > 0 for x in NAMES])
  total = int(occurs.any(0).sum())
  alone = int((occurs.sum(0) == 1).sum())
  unseen = total - int(occurs[NAMES.index('train')].sum())
  if not alone and not unseen:
    return []
  return [
    f'rare labels: {alone} of {total} occur in one split only, and {unseen} do '
    'not occur in train, so that the model cannot learn them'
  ]


def _complete(
  drawn: np.ndarray, sizes: np.ndarray, count: int, keep: int
) -> None:
  """Draws further texts, of any label, until `count` examples are drawn.

  Args:
    drawn: bool, whether each text is drawn; it is changed.
    sizes: the number of examples of each text.
    count: the number of examples to draw; if every text has more, one text.
    keep: the minimal number of texts that are not drawn.
  """
  possible = len(sizes) - keep
  drawn[np.flatnonzero(drawn)[possible:]] = False
  room = max(count, sizes.min()) - sizes[drawn].sum()
  possible -= drawn.sum()
  for text in np.flatnonzero(~drawn):
    if room <= 0 or not possible:
      return
    if sizes[text] <= room:
      drawn[text] = True
      room -= sizes[text]
      possible -= 1
  # The remaining room is smaller than every other text: exchange some.
  last_drawn = np.flatnonzero(drawn)[::-1]
  for i in range(1, 1 + min(_MAX_EXCHANGED, len(last_drawn))):
    exchanged = last_drawn[:i]
    total = int(room + sizes[exchanged].sum())
    candidates = np.flatnonzero(~drawn & (sizes <= total))[:_MAX_CANDIDATES]
    chosen = _with_total(sizes, candidates.tolist(), total)
    if chosen and len(chosen) - i <= possible:
      drawn[exchanged] = False
      drawn[chosen] = True
      return


def _with_total(
  sizes: np.ndarray, texts: Sequence[int], total: int
) -> list[int]:
  """Returns texts that have `total` examples together; empty if none do."""
  # By sum of sizes: the last text that was added, and the sum before it.
  reached: dict[int, tuple[int, int]] = {0: (-1, 0)}
  for text in texts:
    for before in list(reached):
      after = before + int(sizes[text])
      if after <= total and after not in reached:
        reached[after] = text, before
  chosen = []
  while total in reached and total:
    text, total = reached[total]
    chosen.append(text)
  return chosen


def _folds_by_class(labels: np.ndarray, texts: Texts, folds: int) -> np.ndarray:
  """Returns the fold of each text, for one label per example."""
  classes = labels[texts.first].tolist()
  in_class = [[0] * folds for _ in range(max(classes) + 1)]
  in_all = [0] * folds
  fold_of = np.zeros(len(classes), int)
  for text, (label, size) in enumerate(zip(classes, texts.sizes.tolist())):
    counts = in_class[label]
    # The fold with the fewest examples of this class, then the fewest in all.
    _, _, fold = min(zip(counts, in_all, range(folds)))
    fold_of[text] = fold
    counts[fold] += size
    in_all[fold] += size
  return fold_of


def _draw_by_class(labels: np.ndarray, texts: Texts, count: int) -> np.ndarray:
  """Draws texts with `count` examples, a share of each class; returns a mask.

  The last text of a class is not drawn.
  """
  # The class of a text is that of its first example.
  classes = labels[texts.first]
  sizes_C = np.bincount(labels)
  texts_C = np.bincount(classes, minlength=len(sizes_C))
  quotas = _quotas(sizes_C, texts_C, count).tolist()
  # A text can occur with several labels.
  pairs = text_label_pairs(labels, texts)
  remaining = np.bincount(pairs.labels, minlength=len(sizes_C)).tolist()
  ends = np.searchsorted(pairs.texts, np.arange(len(classes) + 1)).tolist()
  ids, sizes = pairs.labels.tolist(), texts.sizes.tolist()
  drawn = np.zeros(len(classes), bool)

  def draw(by_class: bool) -> None:
    nonlocal count
    for text, (label, size) in enumerate(zip(classes.tolist(), sizes)):
      if size > count or (by_class and size > quotas[label]) or drawn[text]:
        continue
      labels_of_text = ids[ends[text] : ends[text + 1]]
      if all(remaining[x] > 1 for x in labels_of_text):
        drawn[text] = True
        for x in labels_of_text:
          remaining[x] -= 1
        quotas[label] -= size
        count -= size
      if not count:
        return

  draw(by_class=True)
  draw(by_class=False)  # Fills up if texts did not fit a quota.
  if not drawn.any():  # Every text occurs more often than that.
    count = min(sizes)
    draw(by_class=False)
  return drawn


def _quotas(sizes: np.ndarray, texts: np.ndarray, count: int) -> np.ndarray:
  """Returns how many examples each class gives, `count` in all if possible.

  Args:
    sizes: the number of examples of each class.
    texts: the number of distinct texts of each class; one text stays.
    count: the number of examples to draw.
  """
  share = sizes * count / sizes.sum()
  largest = np.where(texts > 1, sizes - 1, 0)
  quotas = np.minimum(np.maximum(np.floor(share), 1), largest)
  missing = int(count - quotas.sum())
  step = 1 if missing > 0 else -1
  for _ in range(abs(missing)):
    is_possible = quotas < largest if step > 0 else quotas > 0
    if not is_possible.any():
      break
    # One more for the class furthest below its share, or one less for the class
    # furthest above it.
    excess = np.where(is_possible, step * (quotas - share), np.inf)
    quotas[excess.argmin()] += step
  return quotas.astype(int)


def _draw_iteratively(labels: Ragged, texts: Texts, count: int) -> np.ndarray:
  """Draws one of several folds of `count` examples; returns a mask of texts.

  Texts that occur more often than that are in none of the folds.
  """
  count = max(count, int(texts.sizes.min()))
  small = texts.sizes <= count
  total = int(texts.sizes[small].sum())
  rest = max(1, round(total / count) - 1)
  capacities = [count, *_even(max(0, total - count), rest)]
  fold_of = iterative_folds(
    labels, texts, capacities, range(1, 1 + rest), small
  )
  return fold_of == 0


def _even(total: int, parts: int) -> list[int]:
  """Splits a number into integers that differ by at most 1."""
  return [total // parts + (i < total % parts) for i in range(parts)]
