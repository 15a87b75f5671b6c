"""Splits: examples, holding out what is missing, and checking them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import hashlib
import math
from typing import Any, NamedTuple

import numpy as np

from bigru_jax.data.labels import Label
from bigru_jax.data.text import Encoded, consecutive

NAMES = ('train', 'validation', 'test')
HELD_OUT = 10  # One example in so many.


class Example(NamedTuple):
  """A text with its label and its place, for messages.

  Attributes:
    text: the text.
    label: the label's name; or the names of all of its labels.
    source: the file or data set it comes from.
    row: its place there, from 1.
  """

  text: str
  label: Label
  source: str
  row: int


@dataclasses.dataclass
class Split:
  """The examples of one split of a small corpus, in memory.

  Attributes:
    texts: strings.
    labels: of each text the label's name, or the names of all of its labels.
    rows: the place of each example in its source, from 1.
    name: the source, for messages.
  """

  texts: list[str]
  labels: list[Any]
  rows: list[int]
  name: str

  def __len__(self) -> int:
    return len(self.texts)

  def __iter__(self) -> Iterator[Example]:
    for text, label, row in zip(self.texts, self.labels, self.rows):
      yield Example(text, label, self.name, row)

  def add(self, text: str, label: Any, row: int) -> None:
    """Appends one example."""
    self.texts.append(text)
    self.labels.append(label)
    self.rows.append(row)


def empty_split(name: object) -> Split:
  """A split without examples, to be added to."""
  return Split([], [], [], str(name))


@dataclasses.dataclass(frozen=True)
class LabelSets:
  """The labels of texts that have any number of them.

  It is indexed as an array of single labels is.

  Attributes:
    ids: of each text the indices of its labels.
  """

  ids: Encoded

  def __len__(self) -> int:
    return len(self.ids.lengths)

  def __getitem__(self, rows: np.ndarray) -> LabelSets:
    return LabelSets(self.ids.take(rows))

  def pairs(self) -> tuple[np.ndarray, np.ndarray]:
    """All (row, label) pairs, as two arrays in the order of the rows."""
    rows = np.repeat(np.arange(len(self)), self.ids.lengths)
    return rows, self.ids.tokens[self.ids.positions()]

  def translated(self, places: np.ndarray) -> LabelSets:
    """The same labels with other indices, places[i] in place of i."""
    rows, labels = self.pairs()
    lengths = np.bincount(rows, minlength=len(self)).astype(np.int32)
    return LabelSets(consecutive(places[labels], lengths))

  def multi_hot(self, num_labels: int) -> np.ndarray:
    """Whether each text has each label, bool [N, num_labels]."""
    found = np.zeros((len(self), num_labels), bool)
    found[self.pairs()] = True
    return found


# The index of each text's one label, int32, or those of all of its labels.
Labels = np.ndarray | LabelSets


def label_pairs(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
  """All (row, label) pairs, as two arrays in the order of the rows."""
  if isinstance(labels, LabelSets):
    return labels.pairs()
  return np.arange(len(labels)), labels


def strata(labels: Labels) -> np.ndarray:
  """The class by which each text is stratified.

  Of several labels it is the rarest, with which iterative stratification begins
  (Sechidis et al., 2011, https://doi.org/10.1007/978-3-642-23808-6_10); texts
  without any are a class of their own.
  """
  if not isinstance(labels, LabelSets):
    return labels
  rows, ids = labels.pairs()
  counts = np.bincount(ids)
  order = np.lexsort((ids, counts[ids], rows))
  with_labels, first = np.unique(rows[order], return_index=True)
  classes = np.full(len(labels), len(counts))
  classes[with_labels] = ids[order][first]
  return classes


@dataclasses.dataclass(frozen=True)
class Table:
  """The examples of one split as arrays; see `read.read_splits`.

  Attributes:
    encoded: the texts as ids.
    labels: the indices of the labels' names in the order of occurrence.
    rows: int64, the place of each example in its source, from 1.
    sources: the source of each example, an array of strings.
    digests: uint64, of each text: equal where the texts are.
    truncated: bool, whether a text was longer than the limit.
    blank: bool, whether a text is missing or blank.
    sentences: the lengths of each text's sentences, or None where texts are
      not split into sentences.
  """

  encoded: Encoded
  labels: Labels
  rows: np.ndarray
  sources: np.ndarray
  digests: np.ndarray
  truncated: np.ndarray
  blank: np.ndarray
  sentences: Encoded | None = None

  def __len__(self) -> int:
    return len(self.labels)

  def place(self, i: int) -> str:
    """Where an example comes from, for a message."""
    return f'{self.sources[i]}, row {self.rows[i]}'

  def take(self, rows: np.ndarray) -> Table:
    """Some of the examples; no token is copied."""
    return Table(
      self.encoded.take(rows),
      self.labels[rows],
      self.rows[rows],
      self.sources[rows],
      self.digests[rows],
      self.truncated[rows],
      self.blank[rows],
      None if self.sentences is None else self.sentences.take(rows),
    )


def hold_out(
  splits: Mapping[str, Table], split_seed: int
) -> tuple[dict[str, Table], list[str]]:
  """Holds a tenth of train out for a missing test, and for validation.

  The tenth is exact and stratified: each class gives a tenth of its examples,
  to the nearest, and at least one where there are enough. Equal texts stay on
  one side. Which ones are drawn is a function of the texts and the seed.

  Returns:
    The splits in the order of `NAMES`, and a sentence for each that was held
    out.
  """
  splits, notes = dict(splits), []
  read = len(splits['train'])
  for name in ('test', 'validation'):
    if name in splits:
      continue
    train = splits['train']
    out = _draw(train, max(1, round(read / HELD_OUT)), f'{split_seed}/{name}/')
    splits[name] = train.take(np.flatnonzero(out))
    splits['train'] = train.take(np.flatnonzero(~out))
    notes.append(
      f'there is no {name} split: {len(splits[name])} of {read} training '
      'examples are held out for it'
    )
  return {name: splits[name] for name in NAMES}, notes


def take_fold(
  splits: Mapping[str, Table], folds: int, fold: int, split_seed: int
) -> tuple[dict[str, Table], list[str]]:
  """Makes one of several folds of train the test split.

  The folds are disjoint, stratified, and cover train; equal texts share one.
  They are a function of the texts and the seed.

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
  fold_of = _folds(train, folds, split_seed)
  if not np.isin(np.arange(folds), fold_of).all():
    raise ValueError(f'folds={folds}: there are too few texts in train')
  test = train.take(np.flatnonzero(fold_of == fold))
  rest = train.take(np.flatnonzero(fold_of != fold))
  note = f'test is fold {fold} of {folds}: {len(test)} of {len(train)} examples'
  return {**splits, 'train': rest, 'test': test}, [note]


def _folds(train: Table, folds: int, split_seed: int) -> np.ndarray:
  """The fold of each example."""
  first, groups, sizes = _groups(train)
  classes = strata(train.labels)[first]
  num_classes = int(classes.max()) + 1
  in_class = np.zeros((num_classes, folds), int)
  in_all = np.zeros(folds, int)
  fold_of = np.zeros(len(first), int)
  for group in _shuffled(train.digests[first], f'{split_seed}/folds/'):
    label = classes[group]
    # The fold with the fewest of this class, then the fewest of all.
    fold = np.lexsort((in_all, in_class[label]))[0]
    fold_of[group] = fold
    in_class[label, fold] += sizes[group]
    in_all[fold] += sizes[group]
  return fold_of[groups]


def _groups(train: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Groups of equal texts: their first examples, which each is in, sizes."""
  _, first, groups, sizes = np.unique(
    train.digests, return_index=True, return_inverse=True, return_counts=True
  )
  return first, groups, sizes


def _shuffled(digests: np.ndarray, salt: str) -> np.ndarray:
  """An order that is a function of the salt and of each digest."""
  return np.argsort([_hash(salt, digest) for digest in digests])


def _draw(train: Table, count: int, salt: str) -> np.ndarray:
  """Whether each example is drawn: `count` in all, by class, texts together."""
  # The class of a group is that of its first example.
  first, groups, sizes = _groups(train)
  all_classes = strata(train.labels)
  classes = all_classes[first]
  # Distinct (group, label) pairs, for a text can occur with several labels.
  rows, ids = label_pairs(train.labels)
  num_labels = int(ids.max(initial=0)) + 1
  pairs = np.unique(groups[rows].astype(np.int64) * num_labels + ids)
  counts = np.bincount(pairs // num_labels, minlength=len(first))
  labels_of = np.split(pairs % num_labels, np.cumsum(counts)[:-1])
  remaining = np.bincount(pairs % num_labels, minlength=num_labels)
  sizes_C = np.bincount(all_classes)
  texts_C = np.bincount(classes, minlength=len(sizes_C))
  quotas = _quotas(sizes_C, texts_C, count)
  order = _shuffled(train.digests[first], salt)
  drawn = np.zeros(len(first), bool)

  def draw(by_class: bool) -> None:
    nonlocal count
    for group in order:
      label, size = classes[group], sizes[group]
      fits = size <= (min(count, quotas[label]) if by_class else count)
      # The last text of a class is kept in train.
      if fits and not drawn[group] and (remaining[labels_of[group]] > 1).all():
        drawn[group] = True
        remaining[labels_of[group]] -= 1
        quotas[label] -= size
        count -= size
      if not count:
        return

  draw(by_class=True)
  draw(by_class=False)  # Where groups did not fit a quota.
  if not drawn.any():  # Every text occurs more often than that.
    count = sizes.min()
    draw(by_class=False)
  return drawn[groups]


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
  while quotas.sum() != count:
    missing = np.sign(count - quotas.sum())
    possible = quotas < most if missing > 0 else quotas > 0
    if not possible.any():
      break
    # One more of the class furthest below its share, or less of the one above.
    distance = np.where(possible, missing * (share - quotas), -np.inf)
    quotas[np.argmax(distance)] += missing
  return quotas.astype(int)


def _hash(salt: str, digest: np.uint64) -> bytes:
  return hashlib.sha256(salt.encode() + digest.tobytes()).digest()


def sort_labels(labels: Iterable[str]) -> list[str]:
  """Numbers by value where all labels are finite ones, else alphabetically."""
  labels = sorted(labels)
  try:
    values = {label: float(label) for label in labels}
  except ValueError:
    return labels
  if not all(map(math.isfinite, values.values())):
    return labels
  return sorted(labels, key=lambda label: values[label])
