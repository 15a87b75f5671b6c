"""Reads lists that are written as strings: JSON, Python, NumPy, PostgreSQL."""

from __future__ import annotations

import ast
import json
import re
from typing import Any
import warnings

_QUOTES_WITHOUT_COMMA = re.compile(r"""['"]\s+['"]""")
_NUMPY = re.compile(r'\[\s*((?:[\d.]+|True|False)\s+)+([\d.]+|True|False)\s*\]')
# Other values as Python and NumPy write them, and arrays of PostgreSQL.
_CALL = re.compile(
  r'(?:set|frozenset|tuple|list|deque|array|Array|tensor)'
  r'\((|[\[({].*[\])}])(?:,\s*dtype=[^()]*)?\)',
  re.DOTALL,
)
_ELEMENT = r'(?:[^\s{}"\',\\]+|"(?:[^"\\]|\\.)*")'
_POSTGRES = re.compile(rf'\{{{_ELEMENT}(?:,\s*{_ELEMENT})*\}}')
_BRACKETS = re.compile(r'\[.*\]|\(.*\)|\{.*\}', re.DOTALL)


def written_list(
  value: str, column: str = '', strict: bool = True
) -> list[Any] | None:
  """Reads the list in a string; returns None if the string may be a name.

  Only literals are evaluated.

  Args:
    value: a string from JSON, Python, NumPy or PostgreSQL.
    column: the column of the value, for messages.
    strict: whether a string in square or curly brackets must be a list.

  Raises:
    ValueError: the value must be a list but is not, or it is abbreviated.
  """
  text = value.strip()
  call = _CALL.fullmatch(text)
  inside = (call[1] or '[]') if call else text
  if not _BRACKETS.fullmatch(inside):
    return None
  items = _literal(inside)
  if items is not None and (not strict or ... not in items):
    return items
  if not strict or (items is None and text[0] == '('):
    return None
  if '...' in text or '…' in text:
    raise ValueError(
      f"{column!r} holds a list that was abbreviated with '...' when it was "
      f'written: {value!r:.60}'
    )
  raise ValueError(
    f'{column!r} is neither a JSON list nor a Python list: {value!r:.60}'
  )


def _literal(text: str) -> list[Any] | None:
  """Reads a list or set in brackets; returns None for anything else."""
  is_postgres = bool(_POSTGRES.fullmatch(text))
  try:
    if text[0] == '[' or is_postgres:
      return json.loads(f'[{text[1:-1]}]')
  except (ValueError, RecursionError):
    pass
  if is_postgres:
    return list(map(_element, re.findall(_ELEMENT, text[1:-1])))
  if _NUMPY.fullmatch(text):
    text = f'[{", ".join(text[1:-1].split())}]'
  if _QUOTES_WITHOUT_COMMA.search(text):  # Python would join the two.
    return None
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Warnings of unknown escapes.
      literal = ast.literal_eval(text)
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return None
  if isinstance(literal, set):
    return sorted(literal, key=str)
  is_list = isinstance(literal, list | tuple) or literal == {}  # No label.
  return list(literal) if is_list else None


def _element(written: str) -> str | None:
  """Reads an element of a PostgreSQL array."""
  if written[0] == '"':
    return re.sub(r'\\(.)', r'\1', written[1:-1])
  return None if written == 'NULL' else written
