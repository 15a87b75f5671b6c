"""Soft labels: a number from 0 to 1 for each label of a text.

With one label per text, the numbers are the probabilities of the classes and
sum to one. With any number of labels, each number stands alone. Values are
rounded to float32, so that a file and an array of float32 have the same ones.

What needs a hard label (stratification, the report by class, most metrics)
takes the most probable class, or the labels of at least `LEAST_POSITIVE`.
"""

from __future__ import annotations

import array
import ast
from collections.abc import Iterable, Mapping, Sequence
import json
import math
from typing import Any

import numpy as np

# The least value of a label that a text has when labels must be hard. It is
# that of https://www.kaggle.com/c/jigsaw-unintended-bias-in-toxicity-classification
LEAST_POSITIVE = 0.5
# How far the sum of probabilities may be from one: 0.001, and what rounding
# adds to it.
_TOLERANCE = 1.001e-3
_WORDS = {'true': 1.0, 'false': 0.0}


class SoftLabel(tuple[str, ...]):
  """The names of a text's hard labels, with the value of each label.

  Attributes:
    values: the value of each label by name; others are 0.
  """

  values: Mapping[str, float]

  def __new__(
    cls, names: Iterable[str], values: Mapping[str, float]
  ) -> SoftLabel:
    """Takes the names of the hard labels and the values of all."""
    label = super().__new__(cls, names)
    label.values = values
    return label

  @property
  def is_hard(self) -> bool:
    """Whether all values are 0 or 1."""
    return {0.0, 1.0}.issuperset(self.values.values())


class Distribution(SoftLabel):
  """The name of a text's one hard label, with the probability of each class."""


def hard_label(label: Any) -> Any:
  """Returns the name or the names of a label, without its soft values."""
  if isinstance(label, Distribution):
    return label[0]
  return tuple(label) if isinstance(label, SoftLabel) else label


def as_float32(value: float) -> float:
  """Returns a number rounded to float32, infinite if it is too large."""
  with np.errstate(over='ignore'):
    return float(np.float32(value))


def number(value: Any, column: str) -> float:
  """Returns a number of 0 or more, rounded to float32.

  Args:
    value: a number, a boolean, or a string that holds one.
    column: the value's column, for messages.

  Raises:
    ValueError: the value is missing, not a number, negative or not finite.
  """
  try:
    if isinstance(value, str):
      result = _WORDS.get(value.strip().lower())
      result = float(value) if result is None else result
    else:
      result = float(value)
  except (TypeError, ValueError):
    result = math.nan
  result = as_float32(result)
  if not 0 <= result < math.inf:
    raise ValueError(f'{column!r} is not a number of 0 or more: {value!r:.60}')
  return result


def share(value: Any, column: str) -> float:
  """Returns a number from 0 to 1, rounded to float32.

  Args:
    value, column: see `number`.

  Raises:
    ValueError: see `number`; or the number is above 1.
  """
  try:
    result = number(value, column)
  except ValueError:
    result = math.nan
  if not 0 <= result <= 1:
    raise ValueError(f'{column!r} is not a number from 0 to 1: {value!r:.60}')
  return result


def independent(values: Mapping[str, float]) -> SoftLabel:
  """Returns the label of a text with a number from 0 to 1 for each name."""
  names = (name for name, x in values.items() if x >= LEAST_POSITIVE)
  return SoftLabel(names, values)


def distribution(written: Mapping[str, Any], column: str) -> Distribution:
  """Returns the label of a text with a probability for each class.

  Of equally probable classes, the hard label is the first by name.

  Example:
    >>> distribution({'a': 0.25, 'b': '0.75'}, 'label')
    ('b',)

  Args:
    written: the probability of each class, divided by their sum.
    column: the column of the values, for messages.

  Raises:
    ValueError: a probability is not a number of 0 or more, or they do not sum
      to 1 within 0.001.
  """
  values = {name: number(value, name) for name, value in written.items()}
  total = math.fsum(values.values())
  if not abs(total - 1) <= _TOLERANCE:
    raise ValueError(
      f'the probabilities in {column!r} sum to {total:.6g}, not to 1: '
      f'{dict(written)!r:.60}'
    )
  values = {
    name: float(np.float32(value / total)) for name, value in values.items()
  }
  best = min(values, key=lambda name: (-values[name], name))
  return Distribution([best], values)


def read_soft_label(
  value: Any, column: str, names: Sequence[str], is_distribution: bool
) -> SoftLabel | None:
  """Returns the label that an object or a list of numbers gives, else None.

  Args:
    value: an object by name, or a string that holds one as JSON or Python
      writes it; or for a distribution a list of probabilities, or a number
      between 0 and 1, the probability of class `1` instead of `0`.
    column: the value's column, for messages.
    names: the names of the positions of a list; other names are then wrong.
    is_distribution: whether a text has exactly one label.

  Raises:
    ValueError: a value is not a number from 0 to 1, or a name is unknown; or
      see `distribution`; or a list has another length, or no names.
  """
  if isinstance(value, str):
    written = written_object(value)
    value = value if written is None else written
  if is_distribution and isinstance(value, list | tuple):
    if not names:
      raise ValueError(
        f'{column!r} is a list, {value!r:.60}; see label_names, which names '
        'its classes'
      )
    if len(names) != len(value):
      raise ValueError(
        f'{column!r} is a list of {len(value)}, not of {len(names)} '
        f'probabilities: {value!r:.60}'
      )
    value = dict(zip(names, value))
  if is_distribution and not names and (p := _probability(value)):
    value = {'0': 1 - p, '1': p}
  if not isinstance(value, Mapping):
    return None
  values = {str(name).strip(): x for name, x in value.items() if x is not None}
  check_names(values, column, names)
  if is_distribution:
    return distribution(values, column)
  return independent({name: share(x, name) for name, x in values.items()})


def _probability(value: Any) -> float:
  """Returns a number between 0 and 1, or 0 for any other value."""
  try:
    p = float(value)
  except (TypeError, ValueError):
    return 0.0
  return p if 0 < p < 1 else 0.0


def check_names(
  used_names: Iterable[str], column: str, names: Sequence[str]
) -> None:
  """Raises ValueError where a used name is not one of `names`, if any."""
  for name in used_names:
    if names and name not in names:
      raise ValueError(
        f'{column!r} has the label {name!r}; the labels are '
        f'{", ".join(map(repr, names))}'
      )


def written_object(value: str) -> dict[str, Any] | None:
  """Returns the object in a string of JSON or Python, if it holds one."""
  text = value.strip()
  if text[:1] != '{' or text[-1:] != '}':
    return None
  for read in (json.loads, ast.literal_eval):
    try:
      values = read(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
      continue
    return values if isinstance(values, dict) else None
  return None


class Targets:
  """Collects the soft labels of a split's texts.

  Attributes:
    names: the names of all labels that have a value, in the order of
      occurrence.
  """

  def __init__(self) -> None:
    self.names: dict[str, int] = {}
    self._rows, self._ids = array.array('q'), array.array('i')
    self._values = array.array('f')

  def add(self, row: int, label: SoftLabel) -> None:
    """Adds the label of a text, which is stored if it is not hard."""
    ids = [self.names.setdefault(x, len(self.names)) for x in label.values]
    if not label.is_hard:
      self._rows.extend([row] * len(ids))
      self._ids.extend(ids)
      self._values.extend(label.values.values())

  @property
  def has_soft(self) -> bool:
    """Whether a label is not hard."""
    return bool(self._rows)

  def filled_in(
    self, labels_NxC: np.ndarray, label_ids: Mapping[str, int]
  ) -> np.ndarray:
    """Returns the values, float32 [N, C].

    Args:
      labels_NxC: the hard labels, bool [N, C].
      label_ids: the index of each label's name.
    """
    target_NxC = labels_NxC.astype(np.float32)
    rows = np.frombuffer(self._rows, np.int64)
    ids = np.array([label_ids[name] for name in self.names])
    target_NxC[rows] = 0
    target_NxC[rows, ids[np.frombuffer(self._ids, np.int32)]] = self._values
    return target_NxC


def is_soft(target_NxC: np.ndarray) -> np.ndarray:
  """Returns whether each text has a value other than 0 and 1, bool [N]."""
  return ((target_NxC != 0) & (target_NxC != 1)).any(1)
