"""The columns of a table that are read, and the examples that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
import json
from typing import Any, NamedTuple

from bigru_jax.data.labels import (
  Label,
  is_missing,
  label_columns,
  plain,
  read_label,
)
from bigru_jax.data.splits import Example

# The number of each row in its file, and the values of its columns.
Rows = Iterable[tuple[int, Sequence[Any]]]


class Columns(NamedTuple):
  """The columns of the text and the label.

  Attributes:
    text: the column of the texts.
    label: the column of the labels, or the columns of each label, separated by
      commas, see `labels.label_columns`; '' to read only texts.
    separator: the separator between several labels in a string; None if each
      text has one label.
  """

  text: str = 'text'
  label: str = 'label'
  separator: str | None = None

  def among(self, names: Iterable[str]) -> list[str]:
    """Returns the column of the text and that of the label, or of each label.

    Args:
      names: the names of all columns of the table.

    Raises:
      ValueError: a label is named twice.
    """
    labels = label_columns(self.label, names) if self.label else []
    if len(set(labels)) < len(labels):
      raise ValueError(f'label_column={self.label} names a column twice')
    return [self.text, *labels]

  def check(self, names: Sequence[str], where: str) -> list[str]:
    """Returns the same as `among`, and checks that the columns exist.

    Raises:
      ValueError: no column or two columns have such a name.
    """
    columns = self.among(names)
    for column in columns:
      if names.count(column) != 1:
        raise ValueError(
          f'{where} has {"two columns" if column in names else "no column"} '
          f'{column!r}; its columns are {", ".join(map(repr, names))}; see '
          'text_column and label_column'
        )
    return columns

  def examples(self, rows: Rows, where: str) -> Iterator[Example]:
    """Makes examples of rows with the values of these columns.

    Raises:
      ValueError: a text is not a string, or a label is wrong; the message names
        the row.
    """
    label: Label = ''
    for row, (text, *values) in rows:
      try:
        if not isinstance(text, str):
          text = _as_text(text, self.text)
        if values:
          label = read_label(values, self.label, self.separator)
      except ValueError as error:
        raise ValueError(f'{where}, row {row}: {error}') from None
      yield Example(text, label, where, row)


TEXT_AND_LABEL = Columns()


def arrow_rows(
  batches: Iterable[Any], schema: Any, where: str, columns: list[str]
) -> Rows:
  """Returns the values of the columns in batches of Arrow.

  Class names from the schema's metadata replace indices.
  """
  names = class_names(schema.metadata, columns[1]) if len(columns) == 2 else []
  first = 1
  for batch in batches:
    values = [batch.column(column).to_pylist() for column in columns]
    lists: list[Iterable[Any]] = list(values)
    if names:
      lists[1] = named(values[1], names, where, first, columns[1])
    yield from enumerate(zip(*lists), first)
    first += len(values[0])


def class_names(
  metadata: Mapping[bytes, bytes] | None, column: str
) -> list[str]:
  """Returns the names of a column's classes in an Arrow schema's metadata.

  Hugging Face's `datasets` writes them for a `ClassLabel` and for lists of it;
  the column then holds indices. Without such names, the result is empty.
  """
  try:
    info = json.loads((metadata or {})[b'huggingface'])
    feature = info['info']['features'][column]
    while 'names' not in feature:
      feature = feature[0] if isinstance(feature, list) else feature['feature']
    return list(map(str, feature['names']))
  except (KeyError, TypeError, ValueError, IndexError):
    return []


def named(
  values: Iterable[Any],
  names: Sequence[str],
  where: str,
  first: int,
  column: str,
) -> Iterator[Any]:
  """Replaces indices of classes by their names; see `class_names`.

  Args:
    values: indices, or lists of them.
    names: the names of the classes.
    where: the field and the file, for messages.
    first: the row of the first value.
    column: the column of the values.

  Raises:
    ValueError: an index is missing (-1 or null) or out of range.
  """

  def name_of(value: Any, row: int) -> Any:
    if isinstance(value, list):
      return [name_of(x, row) for x in value]
    if value is None or value == -1:
      raise ValueError(
        f'{where}, row {row}: {column!r} is not a label: {value}'
      )
    if not isinstance(value, int):
      return value
    if not 0 <= value < len(names):
      raise ValueError(
        f'{where}, row {row}: {column!r} is {value}, but there are '
        f'{len(names)} classes'
      )
    return names[value]

  for row, value in enumerate(values, first):
    yield name_of(value, row)


def _as_text(value: Any, column: str) -> str:
  """Returns the text of a value that is not a str; a missing text is empty."""
  value = plain(value)
  if isinstance(value, str):
    return value
  if is_missing(value):
    return ''
  raise ValueError(f'{column!r} is not a text: {value!r:.60}')
