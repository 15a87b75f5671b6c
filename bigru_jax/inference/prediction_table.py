"""Predictions as the columns of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import functools
import json
from typing import Any

Columns = dict[str, Callable[[Mapping[str, Any]], str]]
# What of an answer a CSV file can hold, and what it holds by default.
CSV_FIELDS = 'label', 'probabilities', 'truncated', 'empty'
DEFAULT_CSV_FIELDS = 'label', 'probabilities', 'empty'


def prediction_columns(
  labels: Sequence[str], separator: str | None, fields: Sequence[str]
) -> Columns:
  """Returns, for each column, the function from an answer to its cell.

  Args:
    labels: the classes' names, by index; each has its column
      `probability_<label>`, however many there are.
    separator: what stands between the labels of a text; None where it has one.
    fields: which of `CSV_FIELDS` have columns; `label` is named `prediction`.

  Raises:
    ValueError: a field is not one of `CSV_FIELDS`.
  """
  unknown = [name for name in fields if name not in CSV_FIELDS]
  if unknown:
    raise ValueError(
      f'fields={",".join(unknown)}: a .csv output has {", ".join(CSV_FIELDS)}'
    )
  write_label = label_writer(labels, separator)
  columns: Columns = {}
  if 'label' in fields:
    columns['prediction'] = lambda answer: write_label(answer['label'])
  if 'probabilities' in fields:
    columns |= {
      f'probability_{label}': functools.partial(_probability, label)
      for label in labels
    }
  columns |= {
    name: functools.partial(_flag, name)
    for name in ('truncated', 'empty')
    if name in fields
  }
  return columns


def label_writer(
  labels: Sequence[str], separator: str | None
) -> Callable[[Any], str]:
  """Returns a function that writes a text's labels so that they read back.

  They are joined by the separator. Where a label of the run holds it, or is
  like the beginning of a list, every text has a JSON list instead.

  Args:
    labels: all labels of a run.
    separator: see `prediction_columns`.

  Returns:
    A function of a label, or with a separator of a list of labels.
  """
  if separator is None:
    return str
  # A label may also end with how the separator begins.
  splits = all((x + separator).find(separator) == len(x) for x in labels)
  if splits and not any(label.startswith('[') for label in labels):
    return separator.join
  return functools.partial(json.dumps, ensure_ascii=False)


def check_names(names: Sequence[str], columns: Columns, where: str) -> None:
  """Raises ValueError where an input has a column of the predictions."""
  for name in columns:
    if name in names:
      raise ValueError(
        f'{where} has a column {name!r} already, which the output adds; '
        'rename it, or leave it out by fields'
      )


def _probability(label: str, answer: Mapping[str, Any]) -> str:
  return str(answer['probabilities'][label])


def _flag(name: str, answer: Mapping[str, Any]) -> str:
  return json.dumps(answer[name])
