"""Predicts the texts of a PyArrow table, and adds columns to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from bigru_jax.data.labels import named_columns
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
  predictor: TablePredictor, table: pa.Table, text_column: str
) -> pa.Table:
  """Returns a table with the predictions of its texts in further columns.

  Args:
    predictor: predicts the texts.
    table: the table.
    text_column: the column of texts, or several, see `Config.text_column`.

  Raises:
    ValueError: the table lacks a column of texts, has a column of the
      predictions, or has a text that is not a string.
  """
  names = table.column_names
  text_names = named_columns('text_column', text_column, names)
  missing = [name for name in text_names if name not in names]
  if missing:
    raise ValueError(
      f'text_column={text_column}: the table has no column {missing[0]!r}; '
      f'it has {", ".join(map(repr, names))}'
    )
  texts = map(_text, _rows(table.select(text_names)))
  tables = map(to_arrow, predictor.chunks(texts))
  first = next(tables, None)
  if first is None:
    first = to_arrow(predictor.no_predictions())
  check_names(names, first.column_names, 'table')  # Before the other chunks.
  added = pa.concat_tables([first, *tables])
  for field, column in zip(added.schema, added.columns):
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


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
  for batch in table.to_batches(_ROWS):
    yield from zip(*(column.to_pylist() for column in batch.columns))


def _text(row: tuple[Any, ...]) -> Any:
  """Returns the text of a row; a missing one is empty."""
  texts = ['' if value is None else value for value in row]
  return texts[0] if len(texts) == 1 else texts
