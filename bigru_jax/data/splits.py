"""Splits: examples, holding out what is missing, and checking them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import hashlib
import math
from typing import NamedTuple

import numpy as np

from bigru_jax.data.text import Encoded

NAMES = ('train', 'validation', 'test')
HELD_OUT = 10  # One example in so many.


class Example(NamedTuple):
  """A text with its label and its place, for messages.

  Attributes:
    text: the text.
    label: the label's name.
    source: the file or data set it comes from.
    row: its place there, from 1.
  """

  text: str
  label: str
  source: str
  row: int


@dataclasses.dataclass
class Split:
  """The examples of one split of a small corpus, in memory.

  Attributes:
    texts: strings.
    labels: the labels' names, as strings.
    rows: the place of each example in its source, from 1.
    name: the source, for messages.
  """

  texts: list[str]
  labels: list[str]
  rows: list[int]
  name: str

  def __len__(self) -> int:
    return len(self.texts)

  def __iter__(self) -> Iterator[Example]:
    for text, label, row in zip(self.texts, self.labels, self.rows):
      yield Example(text, label, self.name, row)

  def add(self, text: str, label: str, row: int) -> None:
    """Appends one example."""
    self.texts.append(text)
    self.labels.append(label)
    self.rows.append(row)


def empty_split(name: object) -> Split:
  """A split without examples, to be added to."""
  return Split([], [], [], str(name))


@dataclasses.dataclass(frozen=True)
class Table:
  """The examples of one split as arrays; see `read.read_splits`.

  Attributes:
    encoded: the texts as ids.
    labels: int32, the index of each label's name in the order of occurrence.
    digests: uint64, of each text: equal where the texts are.
    truncated: bool, whether a text was longer than the limit.
    blank: bool, whether a text is missing or blank.
  """

  encoded: Encoded
  labels: np.ndarray
  digests: np.ndarray
  truncated: np.ndarray
  blank: np.ndarray

  def __len__(self) -> int:
    return len(self.labels)

  def take(self, rows: np.ndarray) -> Table:
    """Some of the examples; no token is copied."""
    return Table(
      self.encoded.take(rows),
      self.labels[rows],
      self.digests[rows],
      self.truncated[rows],
      self.blank[rows],
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


def _draw(train: Table, count: int, salt: str) -> np.ndarray:
  """Whether each example is drawn: `count` in all, by class, texts together."""
  # A group is the examples of one text; its class is that of its first one.
  _, first, groups, sizes = np.unique(
    train.digests, return_index=True, return_inverse=True, return_counts=True
  )
  classes = train.labels[first]
  num_classes = int(train.labels.max()) + 1
  # Distinct (group, label) pairs, for a text can occur with several labels.
  pairs = np.unique(groups.astype(np.int64) * num_classes + train.labels)
  labels_of = np.split(
    pairs % num_classes, np.cumsum(np.bincount(pairs // num_classes))[:-1]
  )
  remaining = np.bincount(pairs % num_classes, minlength=num_classes)
  quotas = _quotas(np.bincount(train.labels), remaining, count)
  order = np.argsort([_hash(salt, digest) for digest in train.digests[first]])
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
