"""Fields of a configuration, with their help, bounds and checks.

`data`, `models` and `config` each add a group of fields, a frozen dataclass, to
the group below.
"""

from __future__ import annotations

from collections.abc import Collection
import dataclasses
import math
import numbers
import os
from typing import Any

import numpy as np

_TYPES: dict[str, Any] = {
  'str': str, 'bool': bool, 'int': int, 'float': float, 'bool | str': bool,
}  # fmt: skip


def field(default: Any, help_text: str, **options: Any) -> Any:
  """Defines a field with its help and the bounds of its value.

  Args:
    default: the default value.
    help_text: sentences for `--help`.
    **options: `lower` (at least), `below` (less than), `choices` (names, or a
      function that returns them, which is called each time), `separator` (which
      joins several choices), `heading` (of the fields from this one on),
      `mutable` (it may change when a run resumes), `path` (each ~ is expanded)
      and `former_name` (the name in older run directories, flags and
      arguments).
  """
  return dataclasses.field(
    default=default, metadata={'help': help_text, **options}
  )


class _WithFormerNames(type):
  """The metaclass of dataclasses that accept former names of fields."""

  def __call__(cls: type, **values: Any) -> Any:
    for former, name in former_names(cls).items():
      if former in values:
        if name in values:
          raise ValueError(
            f'{former} is the former name of {name}: give {name}'
          )
        values[name] = values.pop(former)
    return type.__call__(cls, **values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group(metaclass=_WithFormerNames):
  """A group of fields, whose values are checked on creation.

  Raises:
    ValueError: a value has the wrong type or is out of bounds; the message
      names the field.
  """

  def __post_init__(self) -> None:
    for group_field in dataclasses.fields(self):
      value = _checked(group_field, getattr(self, group_field.name))
      object.__setattr__(self, group_field.name, value)


def former_names(group: type) -> dict[str, str]:
  """Returns the current name of each field by its former name."""
  fields = dataclasses.fields(group)
  names = {x.metadata.get('former_name'): x.name for x in fields}
  return {former: name for former, name in names.items() if former}


def choices_of(group_field: dataclasses.Field) -> Collection[str]:
  """Returns the values that a field may have; empty where it has no list."""
  choices = group_field.metadata.get('choices', ())
  return choices() if callable(choices) else choices


def _checked(group_field: dataclasses.Field, value: Any) -> Any:
  """Returns the value in the type of its field.

  Raises:
    ValueError: it has the wrong type or is out of bounds.
  """
  name, limits = group_field.name, group_field.metadata
  kind = _TYPES[str(group_field.type)]
  if isinstance(value, str) and group_field.type == 'bool | str':
    kind = str
  value = _plain(value, kind, limits.get('path', False))
  if type(value) is not kind:
    hint = ''
    if value is None:
      hint = f': leave it out or give {group_field.default!r}'
    elif isinstance(value, list | tuple) and kind is str:
      hint = f': give {",".join(map(str, value))!r}'
    raise ValueError(f'{name}={value!r} is not of type {kind.__name__}{hint}')
  if kind is float and not math.isfinite(value):
    raise ValueError(f'{name}={value} is not a finite number')
  if 'lower' in limits and value < limits['lower']:
    raise ValueError(f'{name}={value} is below {limits["lower"]}')
  if kind is int and value >= 2**31:
    raise ValueError(f'{name}={value} is above {2**31 - 1}')
  if 'below' in limits and value >= limits['below']:
    raise ValueError(f'{name}={value} is not below {limits["below"]}')
  choices = choices_of(group_field)
  separator = limits.get('separator')
  names = value.split(separator) if separator else [value]
  if choices and any(name not in choices for name in names):
    raise ValueError(f'{name}={value!r}: choose {", ".join(choices)}')
  is_path = limits.get('path') and kind is str
  return expand_users(value) if is_path else value


def check_count(name: str, value: Any) -> int:
  """Returns an argument that counts something, at least 1.

  Raises:
    ValueError: it is not an integer, or is below 1; the message names it.
  """
  count = _plain(value, int, is_path=False)
  if type(count) is not int:
    raise ValueError(f'{name}={value!r} is not of type int')
  if count < 1:
    raise ValueError(f'{name}={count} is below 1')
  return count


def expand_users(paths: str) -> str:
  """Expands the ~ of each of several paths, which commas separate."""
  expanded = []
  for part in paths.split(','):
    path = part.lstrip()
    blanks = part[: len(part) - len(path)]
    expanded.append(blanks + os.path.expanduser(path))
  return ','.join(expanded)


def _plain(value: Any, kind: type, is_path: bool) -> Any:
  """Converts a number, boolean, string or path to Python's own type."""
  if kind is bool and isinstance(value, np.bool_):
    return bool(value)
  if isinstance(value, bool):
    return value
  if kind is int and isinstance(value, numbers.Integral):
    return int(value)
  if kind is float and isinstance(value, numbers.Real):
    return float(value)
  if is_path and isinstance(value, os.PathLike):
    return os.fspath(value)
  if kind is str and isinstance(value, str):
    return str.__str__(value)
  return value
