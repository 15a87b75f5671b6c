"""Splits: examples, their labels, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from bigru_jax.data.labels import Label
from bigru_jax.data.text import Encoded, consecutive

NAMES = ('train', 'validation', 'test')


class Example(NamedTuple):
  """A text with its label and where it comes from, for messages.

  Attributes:
    text: the text.
    label: the label's name; or the names of all of its labels.
    source: the file or data set it comes from.
    row: the number of the line at which its record begins in the file, from 1.
      The header and blank lines count; a record of CSV can take several lines.
      Of Parquet, of a JSON array and of data in memory, which have no lines,
      it is the number of the record.
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
    rows: of each text the line number, see `Example`.
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


@dataclasses.dataclass(frozen=True)
class Table:
  """The examples of one split as arrays; see `read.read_splits`.

  Attributes:
    encoded: the texts as ids.
    labels: the indices of the labels' names in the order of occurrence.
    rows: int64, the line number of each example, see `Example`.
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
