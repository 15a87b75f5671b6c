"""Reads the cells of a text, a weight and an id, of any library's type.

`labels` reads those of labels. A wrong value raises a ValueError, to which the
caller adds the file and the row.
"""

from __future__ import annotations

import math
from typing import Any

from bigru_jax.data.labels import is_missing, plain
from bigru_jax.data.soft_labels import as_float32


def as_text(value: Any, column: str) -> str:
  """Returns the text of a value that is not a str; a missing text is empty."""
  value = plain(value)
  if isinstance(value, str):
    return value
  if is_missing(value):
    return ''
  raise ValueError(f'{column!r} is not a text: {value!r:.60}')


def as_weight(value: Any, column: str) -> float:
  """Returns the weight of an example: a float32 that is at least 0."""
  value = plain(value)
  try:
    if isinstance(value, bool) or is_missing(value):
      raise ValueError
    weight = as_float32(float(value))
    if not 0 <= weight < math.inf:
      raise ValueError
  except (TypeError, ValueError):
    raise ValueError(
      f'{column!r} is not a weight: {value!r:.60}; a weight is a finite number '
      'that is at least 0'
    ) from None
  return weight


def as_id(value: Any, column: str) -> str:
  """Returns the id of an example as a string; a missing one is empty."""
  value = plain(value)
  if isinstance(value, str):
    return value
  if isinstance(value, list | tuple | dict):
    raise ValueError(f'{column!r} is not an id: {value!r:.60}')
  return '' if is_missing(value) else str(value)
