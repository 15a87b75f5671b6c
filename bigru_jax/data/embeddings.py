"""Pretrained word vectors: GloVe, word2vec (text and binary), fastText text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
import itertools
import logging
import os
from typing import BinaryIO, NamedTuple

import numpy as np

from bigru_jax.data.named_vectors import fetch
from bigru_jax.data.streams import file_sha256, open_binary

_FASTTEXT = b'\xba\x16\x4f\x2f'  # The first bytes of its own binary format.
_log = logging.getLogger(__name__)


class _Row(NamedTuple):
  """A row of a file of vectors.

  Attributes:
    row: from 1, or 0 where it is not known.
    position: of the row, in bytes; for a compressed file, decompressed.
    word: as in the file.
    numbers: the vector's bytes, text or binary.
  """

  row: int
  position: int
  word: bytes
  numbers: bytes


def load_vectors(
  path: str | os.PathLike, wanted: Collection[str], size: int
) -> dict[str, np.ndarray]:
  """Reads the vectors of the wanted words, front to back.

  GloVe is text without a header; word2vec and fastText begin with a line
  `<words> <size>`; a `.bin` name (`.bin.gz` too) is word2vec's binary form.

  Args:
    path: the file, plain or compressed as `open_binary` knows it.
    wanted: the words to keep.
    size: the size the model expects, `embedding_size`.

  Returns:
    word -> float32 vector, for the words of the file that are wanted. Of a
    word with several vectors, the first is kept.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a row is malformed or of another width; the message names it.
  """
  path = os.fspath(path)
  vectors: dict[str, np.ndarray] = {}
  with open_binary(path, 'embeddings') as file:
    for row in _rows(file, path, size):
      word = row.word.decode('utf-8', 'replace')
      if word in wanted and word not in vectors:
        vectors[word] = _parse(row, path)
  if not vectors:
    _warn_of_no_overlap(path, wanted)
  return vectors


class VectorIndex:
  """The places of all words in a file of vectors: 16 bytes of memory each."""

  def __init__(self, path: str | os.PathLike, size: int) -> None:
    """Reads the file once.

    Args:
      path: the file.
      size: the size the model expects.

    Raises:
      FileNotFoundError, ValueError: see `load_vectors`.
    """
    self._path, self._size = os.fspath(path), size
    with open_binary(self._path, 'embeddings') as file:
      rows = ((hash(r.word), r.position) for r in _rows(file, self._path, size))
      table = np.fromiter(rows, np.dtype('i8,i8'))
    table = table[np.argsort(table['f0'], kind='stable')]
    # Contiguous, and of a word with several vectors the first.
    self._hashes, first = np.unique(table['f0'], return_index=True)
    self._positions = table['f1'][first]

  def lookup(self, words: Iterable[str]) -> dict[str, np.ndarray]:
    """The float32 vectors of those of the words that the file has."""
    names = [word.encode('utf-8', 'replace') for word in words]
    hashes = np.array([hash(name) for name in names], np.int64)
    places = np.searchsorted(self._hashes, hashes)
    places[places == len(self._hashes)] = 0
    found = np.flatnonzero(self._hashes[places] == hashes)
    vectors = {}
    with open_binary(self._path, 'embeddings') as file:
      # In the order of the file, for a compressed one is read through.
      for i in found[np.argsort(self._positions[places[found]])]:
        file.seek(self._positions[places[i]])
        row = next(_rows(file, self._path, self._size, at_row=True))
        if row.word == names[i]:
          vectors[names[i].decode()] = _parse(row, self._path)
    return vectors


class UnseenWords:
  """The vectors of words that a run's training has not seen.

  The file of vectors is opened at the first unseen word, and its digest
  compared with that of the run. Where it is gone or has changed, a warning is
  logged once, and every word is without a vector.
  """

  def __init__(self, path: str, size: int, sha256: str) -> None:
    self._path, self._size, self._sha256 = path, size, sha256
    self._index: VectorIndex | None = None
    self._opened = False

  def lookup(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """The float32 vectors of those of the words that the file has."""
    if words and not self._opened:
      self._opened = True
      try:
        path = fetch(self._path)
        check_sha256(path, self._sha256)
        self._index = VectorIndex(path, self._size)
      except (ValueError, OSError) as error:
        _log.warning('%s: words unseen in training are <unk>', error)
    return self._index.lookup(words) if words and self._index else {}


def check_sha256(path: str, expected: str) -> None:
  """Checks that a file is the one that a run was trained with.

  Raises:
    FileNotFoundError, ValueError: it is gone, or has changed.
  """
  if file_sha256(path, 'embeddings') != expected:
    raise ValueError(
      f'embeddings={path} is not the file that the run was trained with'
    )


def embedding_table(
  table_VxE: np.ndarray, vocabulary: list[str], vectors: dict[str, np.ndarray]
) -> tuple[np.ndarray, float]:
  """A copy of the initial table with the known words' vectors in their rows.

  Returns:
    The table and the share of the vocabulary that has a vector.
  """
  table_VxE = np.array(table_VxE)
  known = 0
  for i, word in enumerate(vocabulary):
    if word in vectors:
      table_VxE[i] = vectors[word]
      known += 1
  return table_VxE, known / max(len(vocabulary) - 2, 1)


def _is_binary(path: str) -> bool:
  return path.removesuffix('.gz').endswith('.bin')


def _rows(
  file: BinaryIO, path: str, size: int, at_row: bool = False
) -> Iterator[_Row]:
  """The rows of a file, from its start or, `at_row`, from a row's position."""
  read = _binary_rows if _is_binary(path) else _text_rows
  return read(file, path, size, at_row)


def _parse(row: _Row, path: str) -> np.ndarray:
  """The vector of a row.

  Raises:
    ValueError: it holds anything but finite numbers.
  """
  where = f'embeddings={path}' + (f', row {row.row}' if row.row else '')
  try:
    if _is_binary(path):
      vector = np.frombuffer(row.numbers, '<f4').astype(np.float32)
    else:
      vector = np.array(row.numbers.split(b' '), np.float32)
  except ValueError as error:
    raise ValueError(f'{where}: {error}') from error
  if not np.isfinite(vector).all():
    word = row.word.decode('utf-8', 'replace')
    raise ValueError(f'{where}: the vector of {word!r} is not finite')
  return vector


def _wrong_size(path: str, width: int, size: int) -> ValueError:
  return ValueError(
    f'embeddings={path} has vectors of {width} numbers, '
    f'but embedding_size={size}'
  )


def _text_rows(
  file: BinaryIO, path: str, size: int, at_row: bool
) -> Iterator[_Row]:
  promised, row, position = None, 0, 0
  for row, line in enumerate(file, 0 if at_row else 1):
    text = line.rstrip().replace(b'\t', b' ')
    spaces = text.count(b' ')
    if row == 1 and spaces == 1 and text.replace(b' ', b'').isdigit():
      promised = int(text.split(b' ')[0])
      position += len(line)
      continue
    if row == 1 + (promised is not None) and spaces != size:
      # Words of the first row with spaces inside are not expected.
      raise _wrong_size(path, spaces, size)
    # From the right: a few GloVe 840B words contain spaces themselves.
    word, *numbers = (
      text.rsplit(b' ', size) if spaces != size else (text.split(b' ', 1))
    )
    if spaces < size or spaces > size and _is_number(word.split(b' ')[-1]):
      raise ValueError(
        f'embeddings={path}, row {row}: {spaces} numbers, '
        f'where the rows before have {size}'
      )
    yield _Row(row, position, word, b' '.join(numbers))
    position += len(line)
  rows = row - (promised is not None)
  if not rows and not at_row:
    raise ValueError(f'embeddings={path} is empty')
  if promised is not None and rows < promised:
    _log.warning(
      'embeddings=%s has %d vectors, its header says %d', path, rows, promised
    )


def _is_number(field: bytes) -> bool:
  try:
    float(field)
  except ValueError:
    return False
  return b'.' in field


def _binary_rows(
  file: BinaryIO, path: str, size: int, at_row: bool
) -> Iterator[_Row]:
  count, position = 1, 0
  if not at_row:
    line = file.readline(64)
    if line.startswith(_FASTTEXT):
      raise ValueError(
        f"embeddings={path} is of fastText's own format; give its .vec file"
      )
    header = line.split()
    if len(header) != 2 or not all(field.isdigit() for field in header):
      raise ValueError(f'embeddings={path}: no word2vec header in row 1')
    count, width = map(int, header)
    if width != size:
      raise _wrong_size(path, width, size)
    position = len(line)
  for row in range(1, count + 1):
    name = bytearray()
    while (char := file.read(1)) not in (b' ', b''):
      name += char
    numbers = file.read(4 * size)
    if len(numbers) < 4 * size:
      raise ValueError(f'embeddings={path} ends in vector {row} of {count}')
    # Some writers end each vector with a newline.
    yield _Row(
      0 if at_row else row, position, bytes(name.lstrip(b'\n')), numbers
    )
    position += len(name) + 1 + len(numbers)


def _warn_of_no_overlap(path: str, wanted: Collection[str]) -> None:
  """Logs that no word has a vector, and whether lower-casing would help."""
  hint = ''
  if not _is_binary(path):
    with open_binary(path, 'embeddings') as file:
      lines = itertools.islice(file, 10_000)
      words = {line.split(maxsplit=1)[0] for line in lines if line.strip()}
    lowered = {word.decode('utf-8', 'replace').lower() for word in words}
    if not lowered.isdisjoint(wanted):
      hint = '; its words would match in lower case'
  _log.warning(
    'embeddings=%s: 0.0 %% of the vocabulary have a vector%s', path, hint
  )
