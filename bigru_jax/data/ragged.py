"""Arrays whose rows differ in length, such as the tokens of texts."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ragged:
  """Rows of different lengths in one flat array.

  Attributes:
    values: an array that contains the values of the rows.
    starts: int64, where each row begins in `values`.
    lengths: int32, the number of values of each row.
  """

  values: np.ndarray
  starts: np.ndarray
  lengths: np.ndarray

  def __len__(self) -> int:
    return len(self.lengths)

  def __getitem__(self, indices: np.ndarray | slice) -> Ragged:
    """Returns some of the rows, without copying their values."""
    return Ragged(self.values, self.starts[indices], self.lengths[indices])

  def flat(self) -> np.ndarray:
    """Returns a copy of the values of these rows, one row after another."""
    ends = np.cumsum(self.lengths, dtype=np.int64)
    shifts = self.starts - (ends - self.lengths)
    positions = np.repeat(shifts, self.lengths) + np.arange(self.lengths.sum())
    return self.values[positions]

  def row_ids(self) -> np.ndarray:
    """Returns the row of each value of `flat`."""
    return np.repeat(np.arange(len(self)), self.lengths)

  def padded(self, lengths_N: np.ndarray, length: int) -> np.ndarray:
    """Arranges all values, in order, as N sequences padded with zeros.

    Args:
      lengths_N: the number of values of each sequence.
      length: T, at least the largest of these numbers.
    """
    values_NxT = np.zeros((len(lengths_N), length), self.values.dtype)
    values_NxT[np.arange(length) < lengths_N[:, None]] = self.flat()
    return values_NxT


def consecutive(values: np.ndarray, lengths: np.ndarray) -> Ragged:
  """Returns rows of these lengths, which follow each other in an array."""
  return Ragged(values, np.cumsum(lengths, dtype=np.int64) - lengths, lengths)


def pack(rows: Sequence[Sequence[int] | np.ndarray]) -> Ragged:
  """Packs rows of integers into one array of int32."""
  lengths = np.array([len(row) for row in rows], np.int32)
  values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
  return consecutive(values, lengths)
