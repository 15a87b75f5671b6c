"""Predictions as the columns of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
import functools
import json
from typing import Any

# The function from the columns of predictions to the cells of a column.
Cells = Callable[[Mapping[str, Any]], Iterable[Any]]
Columns = dict[str, Cells]
PREFIX = 'probability_'  # Of the column of a label's probability.
# The fields of a prediction that a CSV file may have, and its default fields.
CSV_FIELDS = 'label', 'probabilities', 'truncated', 'empty'
DEFAULT_CSV_FIELDS = 'label', 'probabilities', 'empty'


def prediction_columns(
  labels: Sequence[str], separator: str | None, fields: Sequence[str]
) -> Columns:
  """Returns for each column the function from predictions to its cells.

  It takes the columns of `predictions.Predictions`.

  Args:
    labels: the classes' names, by index; each has a column
      `probability_<label>`.
    separator: the string between the labels of a text; None for single_label.
    fields: the names of `CSV_FIELDS` to include; the column of `label` is named
      `prediction`.

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
    columns['prediction'] = lambda values: map(write_label, values['label'])
  if 'probabilities' in fields:
    columns |= {
      f'{PREFIX}{label}': functools.partial(_probabilities, i)
      for i, label in enumerate(labels)
    }
  columns |= {
    name: functools.partial(_flags, name)
    for name in ('truncated', 'empty')
    if name in fields
  }
  return columns


def label_writer(
  labels: Sequence[str], separator: str | None
) -> Callable[[Any], str]:
  """Returns a function that writes a text's labels so that they read back.

  It joins them by the separator. If a label of the run contains the separator
  or begins with a bracket, it writes a JSON list for every text instead.

  Args:
    labels: all labels of a run.
    separator: see `prediction_columns`; with None the function takes a label,
      otherwise a list of labels.
  """
  if separator is None:
    return str
  # A label may also end with the beginning of the separator.
  splits = all((x + separator).find(separator) == len(x) for x in labels)
  if splits and not any(label.startswith('[') for label in labels):
    return separator.join
  return functools.partial(json.dumps, ensure_ascii=False)


def check_names(
  names: Sequence[str], columns: Iterable[str], where: str
) -> None:
  """Raises ValueError where an input has a column of the predictions."""
  for name in columns:
    if name in names:
      raise ValueError(
        f'{where} has a column {name!r} already, which the output adds; '
        'rename it, or leave it out by fields'
      )


def choose_columns(
  wanted: Sequence[str],
  names: Sequence[str],
  columns: Columns,
  positive_label: str,
) -> dict[str, int | Cells]:
  """Returns the columns of an output that has only those that are named.

  Args:
    wanted: the columns, in their order. Each is a column of the input; a label,
      for its probability; a column of the predictions; or `probability`, for
      that of the positive label. `target=prediction` is the column `prediction`
      under the name `target`.
    names: the columns of the input.
    columns: those of the predictions, see `prediction_columns`.
    positive_label: the positive one of two classes; '' if there is none.

  Returns:
    For each name, the index of a column of the input, or the function from
    predictions to its cells.

  Raises:
    ValueError: a name is unknown, occurs twice, or means two columns.
  """
  cells = dict(columns)
  if positive_label:
    cells['probability'] = columns[PREFIX + positive_label]
  known_names = [name for name in cells if not name.startswith(PREFIX)]
  labels = [x.removeprefix(PREFIX) for x in columns if x.startswith(PREFIX)]
  for label in labels:
    cells.setdefault(label, columns[PREFIX + label])
  chosen: dict[str, int | Cells] = {}
  for entry in wanted:
    new_name, name = entry, entry
    if entry not in names and entry not in cells:
      new_name, _, name = entry.partition('=')
    if name not in names and name not in cells:
      raise ValueError(
        f'columns={entry}: choose columns of the input ({", ".join(names)}), '
        f'labels for their probabilities ({", ".join(labels[:20])}), '
        f'{", ".join(known_names)}; target={known_names[0]} gives another name'
      )
    if names.count(name) + (name in cells) > 1:
      raise ValueError(
        f'columns={entry}: {name!r} means two columns of the input or of the '
        'predictions; a label is also called probability_<label>'
      )
    if new_name in chosen:
      raise ValueError(f'columns={",".join(wanted)} has {new_name!r} twice')
    chosen[new_name] = cells[name] if name in cells else names.index(name)
  return chosen


def _probabilities(index: int, columns: Mapping[str, Any]) -> list[float]:
  return columns['probabilities'][:, index].tolist()


def _flags(name: str, columns: Mapping[str, Any]) -> Iterable[str]:
  return map(json.dumps, columns[name])
