"""Reads labels by one rule for files, memory, training and evaluation.

A label is a name. An integer is written without `.0`, a boolean as `True` or
`False`, and blanks around a name are stripped. If a text has any number of
labels, they are in one of three forms:

- Names: a list, or a string with separators between them.
- A multi-hot list, with a 0 or 1 (or a boolean) for each label.
- A column for each label, with 0 or 1.

The last two may also have numbers between 0 and 1, see `soft_labels`.
`label_forms` decides which of the first two a list of numbers is. A wrong value
raises a ValueError, to which the caller adds the file and the row.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import decimal
import re
from typing import Any

from bigru_jax.data.soft_labels import (
  SoftLabel,
  check_names,
  distribution,
  independent,
  read_soft_label,
  share,
  written_object,
)
from bigru_jax.data.written_lists import written_list

_BINARY = {'0': '0', '0.0': '0', 'false': '0',
           '1': '1', '1.0': '1', 'true': '1'}  # fmt: skip
_HARD = frozenset(('0', '1', 'False', 'True'))
_PLAIN = frozenset((str, int, float, bool, type(None), list, tuple))


class Numbers(tuple[str, ...]):
  """The names of a text's labels, from a list of numbers."""


@dataclasses.dataclass(frozen=True)
class Flags:
  """A text's labels as a 0 or 1 for each label, or a list that may be one.

  Attributes:
    values: `0` and `1`, or `False` and `True`; or numbers between 0 and 1.
    names: the names of the columns; empty for a list, whose form `ListForm`
      decides.
  """

  values: tuple[str, ...]
  names: tuple[str, ...] = ()

  @property
  def is_soft(self) -> bool:
    """Whether a number is neither 0 nor 1."""
    return not _HARD.issuperset(self.values)

  def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the names whose value is 1; a `SoftLabel` if `is_soft`."""
    if self.is_soft:
      return independent(dict(zip(names, map(float, self.values))))
    flags = zip(names, self.values)
    return tuple(name for name, flag in flags if flag in ('1', 'True'))


# The label of a text, the names of all of its labels, a soft label, or flags.
Label = str | tuple[str, ...] | SoftLabel | Flags


def read_label(
  values: Sequence[Any],
  label_column: str,
  separator: str | None,
  soft_names: Sequence[str] | None = None,
) -> Label:
  """Returns the label of a text; with a separator, all of its labels.

  Args:
    values: the values of the label's column, or of the column of each label.
    label_column: the name of the column, or the names of the columns.
    separator: see `as_labels`.
    soft_names: None, or if labels may be soft, the names for
      `soft_labels.read_soft_label`.

  Raises:
    ValueError: see `as_label`, `as_labels` and `read_soft_label`; or there is a
      column for each label without need, or a value in one of them is not a
      number from 0 to 1.
  """
  if len(values) == 1 and soft_names is not None:
    soft_label = read_soft_label(
      plain(values[0]), label_column, soft_names, separator is None
    )
    if soft_label is not None:
      return soft_label
  if len(values) == 1:
    if separator is not None:
      return as_labels(values[0], label_column, separator)
    name = as_label(values[0], label_column)
    check_names([name], label_column, soft_names or ())
    return name
  names = named_columns('label_column', label_column)
  if separator is not None:
    flags = [_flag(value, name) for value, name in zip(values, names)]
    return Flags(tuple(flags), tuple(names))
  if soft_names is None:
    raise ValueError(
      f'label_column={label_column}: a column for each label needs '
      'task=multi_label or soft_labels'
    )
  if list(soft_names) != names:
    raise ValueError(
      f'label_names={",".join(soft_names)}: leave it out, because the columns '
      'of label_column name the labels'
    )
  return distribution(dict(zip(names, map(plain, values))), label_column)


def _flag(value: Any, column: str) -> str:
  """Returns the `0`, the `1` or the number between in a label's column."""
  value = plain(value)
  flag = _BINARY.get(str(value).strip().lower())
  return flag or _written(share(value, column))


def _written(number: float) -> str:
  """Returns a number from 0 to 1 as a value of `Flags`."""
  return repr(number) if 0 < number < 1 else str(int(number))


def as_label(value: Any, column: str) -> str:
  """Returns the name of a text's one label.

  Args:
    value: a string, a number or a boolean, of Python or another library.
    column: the value's column, for messages.

  Raises:
    ValueError: the value is missing, empty, a list, or another type.
  """
  value = plain(value)
  if isinstance(value, str) and value.lstrip()[:1] in ('[', '{'):
    items: Any = written_object(value)
    if value.lstrip()[0] == '[':
      items = written_list(value, strict=False)
    value = value if items is None else items
  return _name(value, column)


def as_labels(
  value: Any, column: str, separator: str
) -> tuple[str, ...] | Flags:
  """Returns the labels of a text that may have any number of labels.

  Args:
    value: a list, a set or an array; a string with separators; or a string
      with a list or a set as JSON, Python, NumPy or PostgreSQL writes it. A
      missing or empty value means no labels.
    column: see `as_label`.
    separator: the separator between the names in a string.

  Raises:
    ValueError: the value has another type, a label is wrong or occurs twice, or
      the list mixes numbers between 0 and 1, or booleans, with others.
  """
  value = plain(value)
  if is_missing(value):
    return ()
  if isinstance(value, str) and written_object(value):
    value = written_object(value)
  items = written_list(value, column) if isinstance(value, str) else value
  if isinstance(items, list | tuple):
    values = list(map(plain, items))
    flags = _flags(values, column)
    if flags:
      return flags
  elif isinstance(value, str):
    values = [part for part in value.split(separator) if part.strip()]
  else:
    values = [value]
  names = tuple(_name(x, column) for x in values)
  if name := repeated(names):
    raise ValueError(f'{column!r} has the label {name!r} twice')
  is_numbers = all(isinstance(x, int | float) for x in values)
  return Numbers(names) if is_numbers else names


def _flags(values: Sequence[Any], column: str) -> Flags | None:
  """Returns the values of a list that is or may be multi-hot, else None.

  Raises:
    ValueError: the list mixes booleans with names; or see `as_labels`.
  """
  numbers = [x for x in values if isinstance(x, int | float)]
  is_binary = len(numbers) == len(values) > 0 and {*numbers} <= {0, 1}
  if any(isinstance(x, bool) for x in values):
    if not is_binary:
      raise ValueError(
        f'{column!r} mixes booleans and other values: {values!r:.60}'
      )
    return Flags(tuple(str(bool(x)) for x in values))
  if is_binary:
    return Flags(tuple(str(int(x)) for x in values))
  if len(numbers) < len(values) or not any(0 < x < 1 for x in numbers):
    return None
  if not all(0 <= x <= 1 for x in numbers):
    raise ValueError(
      f'{column!r} mixes numbers between 0 and 1 with others: {values!r:.60}'
    )
  return Flags(tuple(_written(share(x, column)) for x in values))


def named_columns(
  field: str, value: str, names: Iterable[str] = ()
) -> list[str]:
  """Returns the columns that a field names: one, or several.

  Args:
    field: `text_column` or `label_column`, for messages.
    value: the name of a column, or several names separated by commas, unless a
      column has this whole name.
    names: the names of all columns.

  Raises:
    ValueError: a name between the commas is empty.
  """
  if ',' not in value or value in names:
    return [value]
  columns = [part.strip() for part in value.split(',')]
  if not all(columns):
    raise ValueError(f'{field}={value!r} has an empty name')
  return columns


def plain(value: Any) -> Any:
  """Converts a value of NumPy, pandas or Arrow to Python; a set is sorted."""
  if type(value) in _PLAIN:
    return value
  for name in ('tolist', 'to_list', 'to_pylist', 'as_py'):
    if hasattr(value, name):
      return getattr(value, name)()
  if isinstance(value, set | frozenset):
    return sorted(value, key=str)
  return value


def is_missing(value: Any) -> bool:
  """Returns whether a value is None, NaN or pandas' NA; an array is not."""
  if value is None:
    return True
  try:
    return bool(value != value)
  except TypeError:  # pandas.NA is neither true nor false.
    return True
  except ValueError:  # An array is neither.
    return False


def unescaped(separator: str) -> str:
  r"""Replaces the escapes of a separator typed in a shell, such as `\t`."""
  return re.sub(
    r'\\(?:[tnrfv\\]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})',
    lambda match: ast.literal_eval(f"'{match[0]}'"),
    separator,
  )


def _name(value: Any, column: str) -> str:
  """Returns the name of one label."""
  if isinstance(value, list | tuple):
    raise ValueError(
      f'{column!r} is not a label: {value!r:.60} is a list; give the name or '
      'index of one class, or see task=multi_label'
    )
  if isinstance(value, Mapping):
    raise ValueError(
      f'{column!r} is not a label: {value!r:.60} is an object; see soft_labels'
    )
  if is_missing(value):
    raise ValueError(f'{column!r} is not a label: it is missing')
  if not isinstance(value, str | int | float | decimal.Decimal):
    raise ValueError(f'{column!r} is not a label: {value!r:.60}')
  label = str(value).strip()
  if not label:
    raise ValueError(f'column {column!r} is empty')
  return re.sub(r'^(-?\d+)\.0+$', r'\1', label)


def repeated(names: Sequence[str]) -> str:
  """Returns the most frequent name, or '' if none occurs twice."""
  if len(set(names)) == len(names):
    return ''
  return Counter(names).most_common(1)[0][0]
