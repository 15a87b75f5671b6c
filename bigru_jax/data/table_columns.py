"""The columns of a table that are read, and the examples that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import json
from typing import Any, NamedTuple

from bigru_jax.data.cells import as_id, as_text, as_weight
from bigru_jax.data.labels import Label, named_columns, read_label
from bigru_jax.data.splits import Example
from bigru_jax.data.text import join_texts

# The number of each row in its file, and the values of its columns, which are
# `Selected.names`.
Rows = Iterable[tuple[int, Sequence[Any]]]


class Columns(NamedTuple):
  """The columns to read from a table.

  Attributes:
    text: the column of the texts, or several columns separated by commas, whose
      texts are joined, see `text.join_texts`.
    label: the column of the labels, or the columns of each label, separated by
      commas, see `labels.named_columns`; '' to read only texts.
    separator: the separator between several labels in a string; None if each
      text has one label.
    weight: the column of the examples' weights; '' if all are 1.
    id: the column of the examples' ids; '' for none.
    soft_names: see `labels.read_label`; None if labels are not soft.
    is_weight_optional: whether the table may lack the column of weights.
  """

  text: str = 'text'
  label: str = 'label'
  separator: str | None = None
  weight: str = ''
  id: str = ''
  soft_names: tuple[str, ...] | None = None
  is_weight_optional: bool = False

  def among(self, names: Iterable[str]) -> Selected:
    """Returns the columns of a table that these fields name.

    Args:
      names: the names of all columns of the table.

    Raises:
      ValueError: a text or a label is named twice.
    """
    names = list(names)
    texts = named_columns('text_column', self.text, names)
    labels = (
      named_columns('label_column', self.label, names) if self.label else []
    )
    for field, columns in (('text', texts), ('label', labels)):
      if len(set(columns)) < len(columns):
        raise ValueError(
          f'{field}_column={getattr(self, field)} names a column twice'
        )
    fields = self
    if self.is_weight_optional and self.weight not in names:
      fields = self._replace(weight='')
    return Selected(fields=fields, texts=texts, labels=labels)

  def check(self, names: Sequence[str], where: str) -> Selected:
    """Returns the columns like `among`, and checks that they exist.

    Raises:
      ValueError: no column or two columns have such a name.
    """
    selected = self.among(names)
    for column in selected.names:
      if names.count(column) != 1:
        field = selected.field_of(column)
        raise ValueError(
          f'{where} has {"two columns" if column in names else "no column"} '
          f'{column!r}; its columns are {", ".join(map(repr, names))}; see '
          f'{field}'
        )
    return selected


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selected:
  """The columns of one table that are read.

  Attributes:
    fields: the fields of the configuration that name them.
    texts: the columns of the texts, which are joined.
    labels: the column of the labels, or that of each label; empty to read none.
  """

  fields: Columns
  texts: list[str]
  labels: list[str]

  @property
  def names(self) -> list[str]:
    """All columns, in the order of the values of `Rows`."""
    more = [name for name in (self.fields.weight, self.fields.id) if name]
    return [*self.texts, *self.labels, *more]

  def field_of(self, column: str) -> str:
    """Returns the fields that may name a column, for messages."""
    if column in self.texts + self.labels:
      return 'text_column and label_column'
    return f'{"weight" if column == self.fields.weight else "id"}_column'

  def examples(self, rows: Rows, where: str) -> Iterator[Example]:
    """Makes examples of rows with the values of these columns.

    Raises:
      ValueError: a text is not a string, or a label or a weight is wrong; the
        message names the row.
    """
    fields, num_texts = self.fields, len(self.texts)
    end = num_texts + len(self.labels)
    has_more = num_texts > 1 or bool(fields.weight or fields.id)
    label: Label = ''
    weight, example_id = 1.0, ''
    for row, values in rows:
      try:
        text = values[0]
        if not isinstance(text, str):
          text = as_text(text, self.texts[0])
        if self.labels:
          label = read_label(
            values[num_texts:end],
            fields.label,
            fields.separator,
            fields.soft_names,
          )
        if has_more:
          text = self._join(text, values[1:num_texts])
          weight, example_id = self._weight_and_id(values[end:])
      except ValueError as error:
        raise ValueError(f'{where}, row {row}: {error}') from None
      yield Example(text, label, where, row, weight, example_id)

  def _join(self, first: str, more_texts: Sequence[Any]) -> str:
    """Returns the text of an example, given that of its first column."""
    if not more_texts:
      return first
    return join_texts([first, *map(as_text, more_texts, self.texts[1:])])

  def _weight_and_id(self, values: Sequence[Any]) -> tuple[float, str]:
    weight, example_id = 1.0, ''
    if self.fields.weight:
      weight, values = as_weight(values[0], self.fields.weight), values[1:]
    if self.fields.id:
      example_id = as_id(values[0], self.fields.id)
    return weight, example_id


TEXT_AND_LABEL = Columns()


def arrow_rows(
  batches: Iterable[Any], schema: Any, where: str, columns: Selected
) -> Rows:
  """Returns the values of the columns in batches of Arrow.

  Class names from the schema's metadata replace indices.
  """
  position, names = len(columns.texts), list[str]()
  if len(columns.labels) == 1:
    names = class_names(schema.metadata, columns.labels[0])
  first = 1
  for batch in batches:
    values = [batch.column(column).to_pylist() for column in columns.names]
    lists: list[Iterable[Any]] = list(values)
    if names:
      lists[position] = named(
        values[position], names, where, first, columns.labels[0]
      )
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
