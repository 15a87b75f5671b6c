"""Predicts the texts of a PyArrow table, and adds columns to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from bigru_jax.data.labels import named_columns
from bigru_jax.data.memory import kind_of
from bigru_jax.data.text import join_texts
from bigru_jax.inference.prediction_table import PREFIX, check_names
from bigru_jax.inference.predictions import Predictions

# Label and probabilities, and whether they say nothing about the text.
TABLE_FIELDS = 'label', 'probabilities', 'empty'
_ROWS = 4096  # The rows whose texts are Python's strings at the same time.


class TablePredictor(Protocol):
  """A predictor of a run or of an ensemble."""

  def chunks(self, texts: Iterable[str]) -> Iterator[Predictions]:
    """Yields the predictions of chunks of texts."""

  def no_predictions(self) -> Predictions:
    """Returns the predictions of no texts."""


def predict_table(
  predictor: TablePredictor,
  table: pa.Table | pa.RecordBatch,
  text_column: str,
) -> pa.Table | pa.RecordBatch:
  """Returns a table with the predictions of its texts in further columns.

  Args:
    predictor: predicts the texts.
    table: a table or a record batch, in which a missing text is empty; the
      result is of the same type.
    text_column: the column of texts, or several, see `Config.text_column`.

  Raises:
    ValueError: the table is of another library, lacks a column of texts or has
      two of its name, has a column of the predictions, or has a text that is
      not a string.
  """
  if not isinstance(table, pa.Table | pa.RecordBatch):
    raise ValueError(
      f'table is {kind_of(table)}; give a PyArrow table: pyarrow.table(table)'
    )
  names = table.column_names
  text_names = _text_names(text_column, names)
  tables = map(to_arrow, predictor.chunks(_texts(table, text_names)))
  first = next(tables, None)
  if first is None:
    first = to_arrow(predictor.no_predictions())
  check_names(names, first.column_names, 'table')  # Before the other chunks.
  added = pa.concat_tables([first, *tables])
  for field, column in zip(added.schema, added.columns):
    if isinstance(table, pa.RecordBatch):
      column = column.combine_chunks()
    table = table.append_column(field, column)
  return table


def to_arrow(predictions: Predictions) -> pa.Table:
  """Returns predictions as a table, whose columns do not depend on the texts.

  They are those of a CSV file: `prediction`, `probability_<label>`,
  `truncated` and `empty`. Other fields have the form of `Run.predict`:
  `tokens`, `spans`, `sentences`, `attention_labels`, `attention_heads` and
  `members` under their own names, and the weights as `attention_words`,
  `attention_sentences` and `attention_embeddings`.
  """
  columns = predictions.columns
  arrays: dict[str, pa.Array] = {}
  is_list = predictions.is_multi_label
  label_type = pa.list_(pa.string()) if is_list else pa.string()
  types = {
    'label': label_type,
    'members': pa.list_(label_type),
    'tokens': pa.list_(pa.string()),
    'spans': pa.list_(pa.list_(pa.int32())),
    'sentences': pa.list_(pa.int32()),
    'attention_labels': pa.list_(pa.string()),
    'attention_heads': pa.list_(pa.string()),
    'truncated': pa.bool_(),
    'empty': pa.bool_(),
  }
  for field, values in columns.items():
    if field == 'probabilities':
      for i, label in enumerate(predictions.labels):
        arrays[PREFIX + label] = pa.array(np.ascontiguousarray(values[:, i]))
    elif field == 'attention':
      for name, weights in values.items():
        arrays[f'attention_{name}'] = _weights(weights)
    else:
      name = 'prediction' if field == 'label' else field
      arrays[name] = pa.array(values, types[field])
  return pa.table(arrays)


def _weights(weights: list[np.ndarray]) -> pa.Array:
  """Returns arrays [K, T] as lists of K lists."""
  heads = [len(x) for x in weights]
  lengths = [x.shape[1] for x in weights for _ in x]
  values = [np.zeros(0, np.float32), *(x.ravel() for x in weights)]
  rows = pa.ListArray.from_arrays(_offsets(lengths), np.concatenate(values))
  return pa.ListArray.from_arrays(_offsets(heads), rows)


def _offsets(lengths: list[int]) -> pa.Array:
  return pa.array(np.cumsum([0, *lengths]), pa.int32())


def _text_names(text_column: str, names: Sequence[str]) -> list[str]:
  """Returns the columns of texts, given those of the table."""
  if not isinstance(text_column, str):
    is_list = isinstance(text_column, list | tuple)
    example = ','.join(map(str, text_column)) if is_list else 'title,body'
    raise ValueError(f'text_column={text_column!r}: write {example!r}')
  text_names = named_columns('text_column', text_column, names)
  for name in text_names:
    if names.count(name) > 1:
      raise ValueError(
        f'text_column={text_column}: the table has two columns {name!r}'
      )
    if name not in names:
      raise ValueError(
        f'text_column={text_column}: the table has no column {name!r}; '
        f'it has {", ".join(map(repr, names))}'
      )
  return text_names


def _texts(
  table: pa.Table | pa.RecordBatch, names: Sequence[str]
) -> Iterator[str]:
  """Yields the text of each row; a missing one is empty."""
  for start in range(0, table.num_rows, _ROWS):
    rows = table.slice(start, _ROWS)
    columns = [rows.column(name).to_pylist() for name in names]
    for row, values in enumerate(zip(*columns), start + 1):
      for name, value in zip(names, values):
        if not isinstance(value, str | None):
          raise ValueError(
            f'text_column={name}, row {row}: {value!r:.60} is not a string'
          )
      yield join_texts([value or '' for value in values])
