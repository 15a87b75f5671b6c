"""Splits: their examples, labels and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from bigru_jax.data.labels import Label
from bigru_jax.data.ragged import Ragged

NAMES = ('train', 'validation', 'test')
UNLABELLED = 'unlabelled'  # The name of a split of texts without labels.


class Example(NamedTuple):
  """A text with its label and its origin.

  Attributes:
    text: the text.
    label: the label's name, or the names of all of its labels; '' in a split
      that is read without labels.
    source: the file or data set that it comes from.
    row: the number of the line at which its record begins in the file, from 1.
      The header and blank lines count; a CSV record can take several lines.
      Parquet, JSON arrays and data in memory have no lines: there, it is the
      number of the record.
    weight: its weight in the loss and the metrics, at least 0.
    id: its id in the user's data; empty if there is none.
  """

  text: str
  label: Label
  source: str
  row: int
  weight: float = 1.0
  id: str = ''


@dataclasses.dataclass
class Split:
  """The examples of one split of a small corpus, in memory.

  Attributes:
    texts: the texts.
    labels: each text's label, or the names of all of its labels.
    rows: the row of each text, see `Example`.
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
  """Returns a split to which examples can be added."""
  return Split([], [], [], str(name))


# The index of each text's one label, int32, or the indices of all its labels.
Labels = np.ndarray | Ragged


def label_pairs(labels: Labels) -> tuple[np.ndarray, np.ndarray]:
  """Returns all pairs of an example and one of its labels as two arrays."""
  if isinstance(labels, Ragged):
    return labels.row_ids(), labels.flat()
  return np.arange(len(labels)), labels


def label_array(labels: Labels, num_labels: int) -> np.ndarray:
  """Returns the labels: int32 [N], or bool [N, C] for several per text."""
  if not isinstance(labels, Ragged):
    return labels
  return one_hot(labels, num_labels)


def one_hot(labels: Labels, num_labels: int) -> np.ndarray:
  """Returns whether each text has each label, bool [N, C]."""
  labels_NxC = np.zeros((len(labels), num_labels), bool)
  labels_NxC[label_pairs(labels)] = True
  return labels_NxC


@dataclasses.dataclass(frozen=True)
class Table:
  """The examples of one split as columns by name.

  A column is an array or `Ragged`, with one row per example. Reading makes
  `tokens`, the ids of each text; `label`, see `Labels`, unless it reads no
  labels; `weight`, float32, the weight in the loss; where they are used,
  `target`, float32 [N, C], the value of each label, see `soft_labels`, and
  `example_weight`, float32, the weight in the data, without that of the class,
  and `id`; `source` and `row`, which are those of `Example`, like `id`;
  `digest`, uint64, which is equal for equal texts; `blank` and `truncated`,
  bool, whether a text is missing or blank, and whether it was longer than the
  limit; `text`, see `tabulate.read_splits`; and for the hierarchical model
  `sentences`, the lengths of each text's sentences.

  Attributes:
    columns: the columns by name.
  """

  columns: dict[str, Any]

  def __len__(self) -> int:
    return len(self.columns['tokens'])

  def __contains__(self, name: str) -> bool:
    return name in self.columns

  def __getitem__(self, name: str) -> Any:
    return self.columns[name]

  def take(self, indices: np.ndarray) -> Table:
    """Returns some of the examples, without copying tokens."""
    return Table({name: x[indices] for name, x in self.columns.items()})

  def with_columns(self, **columns: Any) -> Table:
    """Returns the table with these columns added or replaced."""
    return Table({**self.columns, **columns})

  def without(self, name: str) -> Table:
    """Returns the table without a column, which it may lack."""
    return Table({n: x for n, x in self.columns.items() if n != name})

  def place(self, i: int) -> str:
    """Returns the source and row of an example, for messages."""
    return f'{self["source"][i]}, row {self["row"][i]}'


def sort_labels(labels: Iterable[str]) -> list[str]:
  """Sorts labels by value if all are finite numbers, else alphabetically."""
  labels = sorted(labels)
  try:
    values = {label: float(label) for label in labels}
  except ValueError:
    return labels
  if not all(map(math.isfinite, values.values())):
    return labels
  return sorted(labels, key=lambda label: values[label])
