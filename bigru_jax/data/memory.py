"""Reads texts, and corpora of texts and labels, from memory.

Objects of pandas, Polars, datasets and similar libraries are recognised by
their methods; the libraries are never imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from bigru_jax.data.cells import as_text
from bigru_jax.data.labels import Flags, Label, named_columns, plain, read_label
from bigru_jax.data.soft_labels import SoftLabel
from bigru_jax.data.splits import NAMES, UNLABELLED, Example
from bigru_jax.data.table_columns import (
  Columns,
  arrow_rows,
  class_names,
  named,
)
from bigru_jax.data.text import join_texts

# For each split: (texts, labels), a DataFrame, a Dataset or an Arrow table.
Corpus = Mapping[str, Any]

_TABLES = (
  'a pandas or Polars DataFrame, a Hugging Face Dataset or a PyArrow table'
)


def read(corpus: Corpus, columns: Columns) -> dict[str, Iterable[Example]]:
  """Reads the splits of a data set in memory.

  Args:
    corpus: for each split (`train`, and optionally `validation` and `test`), a
      pair of texts and labels, or a table with columns of both: a pandas or
      Polars DataFrame, a Hugging Face Dataset, or a PyArrow table. A split
      `unlabelled` has no labels: it is a list of texts or a table.
    columns: the columns to read from tables. If there are several of texts, a
      text of a pair may also be a tuple or a list of as many strings. Without a
      column of labels, a split is a list of texts or a table.

  Raises:
    ValueError: the corpus has another type, the numbers of texts and labels
      differ, or a pair lacks the weights that a table has.
  """
  if not isinstance(corpus, Mapping):
    raise ValueError(
      f"corpus is {kind_of(corpus)}; give {{'train': X}}, where X is "
      f'{_forms(columns)}'
    )
  unknown = sorted(map(str, set(corpus) - {*NAMES, UNLABELLED}))
  if unknown or 'train' not in corpus:
    raise ValueError(
      f'corpus has the splits {", ".join(map(repr, corpus))}; it needs '
      "'train', and may have 'validation', 'test' and 'unlabelled'"
    )
  return {
    name: _examples(
      split,
      f'corpus[{name!r}]',
      Columns(columns.text, label='') if name == UNLABELLED else columns,
    )
    for name, split in corpus.items()
  }


def _examples(split: Any, where: str, columns: Columns) -> Iterator[Example]:
  """Yields the examples of a split."""
  num_columns = len(named_columns('text_column', columns.text))
  if not columns.label and not is_table(split):
    joined_texts = _joined_texts(column(split, where), num_columns, where)
    selected = Columns(label='').among(['text'])
    return selected.examples(enumerate(zip(joined_texts), 1), where)
  if isinstance(split, tuple) and len(split) == 2:
    texts, labels = (column(x, where) for x in split)
    if len(texts) != len(labels):
      raise ValueError(f'{where}: {len(texts)} texts but {len(labels)} labels')
    if columns.weight:
      raise ValueError(
        f'weight_column={columns.weight} needs a table, and {where} is a pair '
        'of texts and labels'
      )
    of_pairs = Columns()._replace(
      separator=columns.separator, soft_names=columns.soft_names
    )
    selected = of_pairs.among(['text', 'label'])
    rows = enumerate(zip(_joined_texts(texts, num_columns, where), labels), 1)
    return selected.examples(rows, where)
  if is_table(split) and hasattr(split, '__len__'):
    return _table_examples(split, where, columns)
  raise ValueError(f'{where} is {kind_of(split)}; give {_forms(columns)}')


def _forms(columns: Columns) -> str:
  """Returns the forms of a split, in words."""
  texts = '(texts, labels)' if columns.label else 'a list of texts'
  return f'{texts}, {_TABLES}'


def _joined_texts(
  texts: Sequence[Any], num_columns: int, where: str
) -> Iterable[Any]:
  """Returns the texts of an example's columns joined, if there are several."""
  if num_columns == 1:
    return texts

  def joined_texts() -> Iterator[str]:
    for row, value in enumerate(texts, 1):
      try:
        yield joined(value, num_columns)
      except ValueError as error:
        raise ValueError(f"{where}, row {row}: 'text' {error}") from None

  return joined_texts()


def read_labels(
  values: Any,
  separator: str | None,
  soft_names: tuple[str, ...] | None = None,
) -> Iterator[Label]:
  """Reads the labels of texts from a list, an array or a column.

  Args:
    values: labels in any form that training accepts, `Flags` or `SoftLabel`.
    separator, soft_names: see `table_columns.Columns`.

  Raises:
    ValueError: see `column` and `labels.read_label`; the message names the
      number of the label.
  """
  for number, value in enumerate(column(values, 'labels'), 1):
    try:
      is_read = isinstance(value, Flags | SoftLabel)
      label = (
        value
        if is_read
        else read_label([value], 'label', separator, soft_names)
      )
    except ValueError as error:
      raise ValueError(f'labels, row {number}: {error}') from None
    yield label


def column(values: Any, where: str) -> Sequence[Any]:
  """Returns texts or labels as a list, with names of classes, not indices.

  Raises:
    ValueError: the values are a table, a string, a sparse matrix or the like,
      or the index of a class is wrong.
  """
  if hasattr(values, 'toarray') and not hasattr(values, 'tolist'):
    raise ValueError(
      f'{where} has {kind_of(values)}, which is sparse; give its toarray()'
    )
  if (
    isinstance(values, str | bytes | Mapping | Set)
    or is_table(values)
    or not hasattr(values, '__len__')
  ):
    raise ValueError(
      f'{where} has {kind_of(values)}, not a list, an array or a column'
    )
  # A column of a Dataset may hold indices of classes.
  features = getattr(getattr(values, 'source', None), 'features', None)
  schema = getattr(features, 'arrow_schema', None)
  names = class_names(schema.metadata, values.column_name) if schema else []
  values = plain(values)
  if names:
    return list(named(map(plain, values), names, where, 1, 'label'))
  return values if isinstance(values, list) else list(values)


def kind_of(value: Any) -> str:
  """Returns the name of a value's type, with its article."""
  name = type(value).__name__
  return f'{"an" if name[0].lower() in "aeiou" else "a"} {name}'


def is_table(value: Any) -> bool:
  """Returns whether a value is a DataFrame, a Dataset, an Arrow table, etc."""
  kind = type(value)
  return hasattr(kind, 'columns') or hasattr(kind, 'column_names')


def _table_examples(
  table: Any, where: str, columns: Columns
) -> Iterator[Example]:
  """Returns the examples of a table."""
  kind = type(table)  # On an instance, a column could have a method's name.
  is_frame = not hasattr(kind, 'column_names')
  selected = columns.check(
    list(table.columns) if is_frame else table.column_names, where
  )
  names = selected.names
  if is_frame:
    values = zip(*(plain(table[name]) for name in names))
    return selected.examples(enumerate(values, 1), where)
  batches: Iterable[Any]
  if hasattr(kind, 'with_format'):  # A Dataset, perhaps of selected rows.
    schema = table.features.arrow_schema
    table = table.select_columns(names).with_format('arrow')
    batches = (table[i : i + 1024] for i in range(0, len(table), 1024))
  elif hasattr(kind, 'to_batches'):
    schema, batches = table.schema, table.to_batches(max_chunksize=1024)
  else:
    schema, batches = table.schema, [table]  # A record batch.
  rows = arrow_rows(batches, schema, where, selected)
  return selected.examples(rows, where)


def check_texts(texts: Any, num_columns: int = 1) -> Iterator[str]:
  """Yields the texts of a list, an array, a column or an iterator.

  Args:
    texts: strings; with several columns also tuples or lists of as many
      strings, which are joined, see `text.join_texts`; a missing one is empty.
    num_columns: the number of columns from which a text is joined.

  Raises:
    ValueError: the texts are a table, a single string or the like, or one of
      them is not a string; the message names its number.
  """
  kind = kind_of(texts)
  if isinstance(texts, str | bytes):
    raise ValueError(f'texts={texts!r:.60} is one string; give a list')
  if isinstance(texts, Mapping | Set) or is_table(texts):
    raise ValueError(
      f"texts is {kind}; give a list of strings, or one column: x['text']"
    )
  try:
    values = iter(texts)
  except TypeError:
    raise ValueError(f'texts is {kind}; give a list of strings') from None
  for number, value in enumerate(values, 1):
    if isinstance(value, str):
      yield value
      continue
    try:
      yield joined(value, num_columns)
    except ValueError as error:
      raise ValueError(f'texts: text {number} {error}') from None


def joined(value: Any, num_columns: int) -> str:
  """Returns a text that may be given as its columns; see `check_texts`.

  Raises:
    ValueError: the value is neither a string nor that many strings.
  """
  value = plain(value)
  if isinstance(value, str):
    return value
  if num_columns == 1:
    raise ValueError(f'is {value!r:.60}, not a string')
  if not isinstance(value, list | tuple) or len(value) != num_columns:
    raise ValueError(
      f'is {value!r:.60}, neither a string nor {num_columns} strings, one for '
      'each column of text_column'
    )
  return join_texts([as_text(x, 'text') for x in value])
