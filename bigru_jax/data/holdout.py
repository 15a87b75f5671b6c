"""Holding out what is missing: a tenth of train, or one of several folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import hashlib
import heapq
import itertools
from typing import NamedTuple

import numpy as np

from bigru_jax.data.splits import (
  NAMES,
  Labels,
  LabelSets,
  Table,
  label_pairs,
)

HELD_OUT = 10  # One example in so many.
_ONE = 2**40  # The share of a label in a fold that has all of it.


class _Texts(NamedTuple):
  """The distinct texts of a split, in an order drawn from the seed.

  Attributes:
    first: of each text its first example.
    text_of: of each example its text.
    sizes: of each text the number of its examples.
    keys: uint64, of each text a number drawn from the seed; they ascend.
  """

  first: np.ndarray
  text_of: np.ndarray
  sizes: np.ndarray
  keys: np.ndarray


class _Pairs(NamedTuple):
  """Distinct pairs of a text and a label, in the order of the texts.

  Attributes:
    texts, labels: of each pair.
    amounts: of each pair the number of examples.
  """

  texts: np.ndarray
  labels: np.ndarray
  amounts: np.ndarray


def hold_out(
  splits: Mapping[str, Table], split_seed: int
) -> tuple[dict[str, Table], list[str]]:
  """Holds a tenth of train out for a missing test, and for validation.

  The tenth is exact and stratified. With one label a text each class gives a
  tenth of its examples, to the nearest, and at least one where there are
  enough; with several labels the tenth is drawn by iterative stratification,
  see `_stratify`. Equal texts stay on one side. Which ones are drawn is a
  function of the texts and the seed.

  Returns:
    The splits in the order of `NAMES`, and a sentence for each that was held
    out.

  Raises:
    ValueError: there are too few different texts.
  """
  splits, notes = dict(splits), []
  missing = [name for name in ('test', 'validation') if name not in splits]
  read = len(splits['train'])
  _check_texts(splits['train'], missing)
  tenth = max(1, round(read / HELD_OUT))
  for i, name in enumerate(missing):
    train = splits['train']
    texts = _distinct(train, f'{split_seed}/{name}/')
    if isinstance(train.labels, LabelSets):
      drawn = _draw_iteratively(train.labels, texts, tenth)
    else:
      drawn = _draw_by_class(train.labels, texts, tenth)
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
  return {name: splits[name] for name in NAMES}, notes


def take_fold(
  splits: Mapping[str, Table], folds: int, fold: int, split_seed: int
) -> tuple[dict[str, Table], list[str]]:
  """Makes one of several folds of train the test split.

  The folds are disjoint, stratified, and cover train; equal texts share one.
  They are a function of the texts and the seed. With several labels a text they
  are those of iterative stratification, see `_stratify`.

  Args:
    splits: without a test split.
    folds: how many there are.
    fold: which one, from 0.
    split_seed: draws them.

  Returns:
    The splits, and a sentence on what was done.

  Raises:
    ValueError: there are fewer texts than folds, or a test split.
  """
  if 'test' in splits:
    raise ValueError(f'folds={folds}: the data have a test split of their own')
  train = splits['train']
  texts = _distinct(train, f'{split_seed}/folds/')
  if len(texts.sizes) < folds:
    raise ValueError(f'folds={folds}: there are too few texts in train')
  if isinstance(train.labels, LabelSets):
    rooms = _even(len(train), folds)
    fold_of_text = _stratify(
      train.labels, texts, rooms, range(folds), texts.sizes > 0
    )
  else:
    fold_of_text = _folds_by_class(train.labels, texts, folds)
  fold_of = fold_of_text[texts.text_of]
  test = train.take(np.flatnonzero(fold_of == fold))
  rest = train.take(np.flatnonzero(fold_of != fold))
  note = f'test is fold {fold} of {folds}: {len(test)} of {len(train)} examples'
  return {**splits, 'train': rest, 'test': test}, [note]


def describe_rare_labels(splits: Mapping[str, Table]) -> list[str]:
  """A sentence on labels that not every split has; none where all is well.

  Args:
    splits: all three, after some of train was held out.
  """
  ids = {name: label_pairs(splits[name].labels)[1] for name in NAMES}
  size = 1 + max(int(x.max(initial=-1)) for x in ids.values())
  occurs = np.array([np.bincount(ids[x], minlength=size) > 0 for x in NAMES])
  total = int(occurs.any(0).sum())
  alone = int((occurs.sum(0) == 1).sum())
  unseen = total - int(occurs[NAMES.index('train')].sum())
  if not alone and not unseen:
    return []
  return [
    f'{alone} of {total} labels occur in one split only; {unseen} of {total} '
    'do not occur in train, so that the model cannot learn them'
  ]


def _check_texts(train: Table, missing: Sequence[str]) -> None:
  """Raises where train cannot give a text to each missing split."""
  num_texts = len(np.unique(train.digests))
  if num_texts > len(missing):
    return
  texts = (
    '1 different text' if num_texts == 1 else f'{num_texts} different texts'
  )
  raise ValueError(
    f'{train.sources[0]}: {len(train)} examples with {texts} are too few to '
    f'hold out {" and ".join(missing)}; give '
    + ' and '.join(f'--{name}' for name in missing)
  )


def _distinct(train: Table, salt: str) -> _Texts:
  """The distinct texts, in an order that is a function of salt and texts."""
  digests, first, groups, sizes = np.unique(
    train.digests, return_index=True, return_inverse=True, return_counts=True
  )
  prefix = salt.encode()
  hashes = b''.join(
    hashlib.sha256(prefix + digest.tobytes()).digest()[:8] for digest in digests
  )
  keys = np.frombuffer(hashes, '>u8').astype(np.uint64)
  order = np.argsort(keys)
  places = np.empty_like(order)
  places[order] = np.arange(len(order))
  return _Texts(first[order], places[groups], sizes[order], keys[order])


def _complete(
  drawn: np.ndarray, sizes: np.ndarray, count: int, keep: int
) -> None:
  """Draws further texts, of any label, until `count` examples are drawn.

  Args:
    drawn: bool, whether each text is drawn; it is changed.
    sizes: of each text the number of its examples.
    count: examples to draw; where every text has more, one text.
    keep: the number of texts that are left at least.
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


def _folds_by_class(
  labels: np.ndarray, texts: _Texts, folds: int
) -> np.ndarray:
  """The fold of each text, for one label an example."""
  classes = labels[texts.first].tolist()
  in_class = [[0] * folds for _ in range(max(classes) + 1)]
  in_all = [0] * folds
  fold_of = np.zeros(len(classes), int)
  for text, (label, size) in enumerate(zip(classes, texts.sizes.tolist())):
    counts = in_class[label]
    # The fold with the fewest of this class, then the fewest of all.
    _, _, fold = min(zip(counts, in_all, range(folds)))
    fold_of[text] = fold
    counts[fold] += size
    in_all[fold] += size
  return fold_of


def _draw_by_class(labels: np.ndarray, texts: _Texts, count: int) -> np.ndarray:
  """Whether each text is drawn: `count` examples in all, of each class a share.

  The last text of a class is not drawn.
  """
  # The class of a text is that of its first example.
  classes = labels[texts.first]
  sizes_C = np.bincount(labels)
  texts_C = np.bincount(classes, minlength=len(sizes_C))
  quotas = _quotas(sizes_C, texts_C, count).tolist()
  # All of its labels, for a text can occur with several.
  pairs = _pairs(labels, texts)
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
  draw(by_class=False)  # Where texts did not fit a quota.
  if not drawn.any():  # Every text occurs more often than that.
    count = min(sizes)
    draw(by_class=False)
  return drawn


def _quotas(sizes: np.ndarray, texts: np.ndarray, count: int) -> np.ndarray:
  """How many examples each class gives, `count` in all where possible.

  Args:
    sizes: examples of each class.
    texts: distinct texts of each class; one is kept.
    count: examples to draw.
  """
  share = sizes * count / sizes.sum()
  most = np.where(texts > 1, sizes - 1, 0)
  quotas = np.minimum(np.maximum(np.floor(share), 1), most)
  missing = int(count - quotas.sum())
  step = 1 if missing > 0 else -1

  def is_possible(label: int) -> bool:
    return quotas[label] < most[label] if step > 0 else quotas[label] > 0

  # One more of the class furthest below its share, or less of the one above.
  heap = [
    (-step * (share[label] - quotas[label]), label)
    for label in range(len(sizes))
    if is_possible(label)
  ]
  heapq.heapify(heap)
  for _ in range(abs(missing)):
    if not heap:
      break
    _, label = heapq.heappop(heap)
    quotas[label] += step
    if is_possible(label):
      heapq.heappush(heap, (-step * (share[label] - quotas[label]), label))
  return quotas.astype(int)


def _even(total: int, parts: int) -> list[int]:
  """A number as a sum of whole numbers that differ by at most 1."""
  return [total // parts + (i < total % parts) for i in range(parts)]


def _pairs(labels: Labels, texts: _Texts) -> _Pairs:
  """All pairs of a text and one of its labels."""
  rows, ids = label_pairs(labels)
  num_labels = int(ids.max(initial=0)) + 1
  codes, amounts = np.unique(
    texts.text_of[rows] * num_labels + ids, return_counts=True
  )
  return _Pairs(codes // num_labels, codes % num_labels, amounts)


def _draw_iteratively(
  labels: LabelSets, texts: _Texts, count: int
) -> np.ndarray:
  """Whether each text is drawn: one of several folds of `count` examples.

  Texts that occur more often than that are in none of the folds.
  """
  count = max(count, int(texts.sizes.min()))
  small = texts.sizes <= count
  total = int(texts.sizes[small].sum())
  rest = max(1, round(total / count) - 1)
  rooms = [count, *_even(max(0, total - count), rest)]
  fold_of = _stratify(labels, texts, rooms, range(1, 1 + rest), small)
  return fold_of == 0


def _stratify(
  labels: LabelSets,
  texts: _Texts,
  rooms: Sequence[int],
  overflow: Sequence[int],
  chosen: np.ndarray,
) -> np.ndarray:
  """The fold of each text by iterative stratification.

  Sechidis, Tsoumakas and Vlahavas, 2011, algorithm 1, for folds of equal
  shares, https://doi.org/10.1007/978-3-642-23808-6_10: the label with the
  fewest texts left gives its texts, one after another, to the fold with the
  fewest examples of it. Here, of several such folds a text goes to the one with
  the smallest share of the text's labels, and of several such to the one with
  the fewest examples. A full fold takes no more, so that the sizes are exact.

  Args:
    labels: of each example.
    texts: the distinct ones.
    rooms: how many examples each fold takes.
    overflow: the folds of which one takes a text that has room in none.
    chosen: bool, whether each text takes part.

  Returns:
    The fold of each text, -1 for those that take no part.
  """
  pairs = _stratified_pairs(labels, texts, chosen)
  num_texts = np.bincount(pairs.labels)
  num_labels = len(num_texts)
  ends = np.searchsorted(pairs.texts, np.arange(len(chosen) + 1)).tolist()
  by_label = np.argsort(pairs.labels, kind='stable')
  members = np.split(pairs.texts[by_label], np.cumsum(num_texts)[:-1])
  # Shares are whole numbers, so that sums are the same on every machine.
  ones = _ONE // np.bincount(pairs.labels, pairs.amounts).astype(int)
  shares = (pairs.amounts * ones[pairs.labels]).tolist()
  label_ids, sizes = pairs.labels.tolist(), texts.sizes.tolist()
  num_folds = len(rooms)
  turns = (texts.keys % np.uint64(num_folds)).tolist()
  orders = [
    [(f + i) % num_folds for f in range(num_folds)] for i in range(num_folds)
  ]
  share_of_label = [[0] * num_folds for _ in members]
  in_fold = [0] * num_folds
  fold_of = [-1] * len(chosen)

  def choose(text: int, label: int, text_labels: list[int]) -> int:
    size, turn = sizes[text], turns[text]
    has_room = [n + size <= room for n, room in zip(in_fold, rooms)]
    ranks = zip(
      share_of_label[label],
      map(sum, zip(*[share_of_label[x] for x in text_labels])),
      in_fold,
      orders[turn],
    )
    best = min(itertools.compress(ranks, has_room), default=None)
    if best is None:
      return min(overflow, key=in_fold.__getitem__)
    return (best[-1] - turn) % num_folds

  remaining = num_texts.tolist()
  # Entries are `left * num_labels + label`.
  heap = [left * num_labels + label for label, left in enumerate(remaining)]
  heapq.heapify(heap)
  while heap:
    left, label = divmod(heapq.heappop(heap), num_labels)
    if left != remaining[label]:
      continue  # The label has a later entry.
    touched: set[int] = set()
    for text in members[label].tolist():
      if fold_of[text] >= 0:
        continue
      text_pairs = slice(ends[text], ends[text + 1])
      text_labels = label_ids[text_pairs]
      fold = choose(text, label, text_labels)
      fold_of[text] = fold
      in_fold[fold] += sizes[text]
      for other, share in zip(text_labels, shares[text_pairs]):
        share_of_label[other][fold] += share
        remaining[other] -= 1
      touched.update(text_labels)
    for other in touched:
      if remaining[other]:
        heapq.heappush(heap, remaining[other] * num_labels + other)
  return np.array(fold_of)


def _stratified_pairs(
  labels: LabelSets, texts: _Texts, chosen: np.ndarray
) -> _Pairs:
  """The pairs for `_stratify`, whose labels do not depend on the rows' order.

  The labels of a single text, which no rule can spread, are one label, so that
  each fold has its share of them; so are the texts without any label.
  """
  pairs = _pairs(labels, texts)
  pairs = _Pairs(*(x[chosen[pairs.texts]] for x in pairs))
  num_labels = int(pairs.labels.max(initial=-1)) + 1
  # A label is known by its texts: labels with the same ones are alike.
  sums = np.zeros(num_labels, np.uint64)
  np.add.at(sums, pairs.labels, texts.keys[pairs.texts])
  ranks = np.empty(num_labels, int)
  ranks[np.argsort(sums)] = np.arange(num_labels)
  is_rare = np.bincount(pairs.labels, minlength=num_labels) == 1
  ranks[is_rare] = num_labels
  has_label = np.zeros(len(chosen), bool)
  has_label[pairs.texts] = True
  without = np.flatnonzero(chosen & ~has_label)
  owners = np.append(pairs.texts, without)
  ids = np.append(ranks[pairs.labels], np.full(len(without), num_labels + 1))
  amounts = np.append(pairs.amounts, texts.sizes[without])
  codes, places = np.unique(
    owners * (num_labels + 2) + ids, return_inverse=True
  )
  # Labels that are left are numbered from 0.
  _, ids = np.unique(codes % (num_labels + 2), return_inverse=True)
  return _Pairs(
    texts=codes // (num_labels + 2),
    labels=ids,
    amounts=np.bincount(places, amounts).astype(int),
  )
