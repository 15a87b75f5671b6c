"""Reads the rows of files of word vectors: GloVe, word2vec and fastText.

A row of text is a word and its numbers, separated by blanks or tabs; a
byte-order mark, blanks at the end of a row and blank rows are skipped. A word
may contain blanks, as `. . .` and `at name@domain.com` of GloVe 840B do: it is
the text before the row's last `embedding_size` fields. But it cannot end in a
blank and a number (`1 2/3` is a word, `iphone 5` is not), because a row with
one number too many, which is an error, looks the same. If a tab separates the
word from its numbers, the word is the text before the tab. White space outside
of ASCII, such as U+00A0, is part of the word.
"""

from __future__ import annotations

import codecs
import collections
from collections.abc import Iterable, Iterator
import itertools
import logging
import os
from typing import BinaryIO, NamedTuple

import numpy as np
import regex

from bigru_jax.data.open_files import PathName, open_binary

_FASTTEXT = b'\xba\x16\x4f\x2f'  # The first bytes of fastText's binary format.
# Numbers as programs write them; `infinity` and `1_000` are words.
_NUMBER = regex.compile(
  rb'[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf)', regex.IGNORECASE
)
_FIRST_ROWS = 100  # The number of rows that show the size of the vectors.
_log = logging.getLogger(__name__)


class Row(NamedTuple):
  """A row of a file of vectors.

  Attributes:
    row: the number of the row from 1, or 0 if it is unknown.
    position: the position of the row in bytes, in the decompressed file.
    word: the word, as in the file.
    numbers: the vector's bytes, text or binary.
  """

  row: int
  position: int
  word: bytes
  numbers: bytes


def is_binary(path: PathName) -> bool:
  """Returns whether a file's name is that of word2vec's binary format."""
  return os.fspath(path).removesuffix('.gz').endswith('.bin')


def size_of(path: PathName, size: int = 0) -> int:
  """Returns the size of a file's vectors, from its first rows.

  Args:
    path: the file.
    size: the size that is chosen if the rows leave it open.

  Raises:
    FileNotFoundError, ValueError: see `rows`.
  """
  with open_binary(path, 'embeddings') as file:
    if is_binary(path):
      return _binary_header(file, path)[1]
    lines = list(itertools.islice(file, _FIRST_ROWS))
    if lines:
      lines[0] = lines[0][_byte_order_mark(lines[0], path) :]
      del lines[: bool(_header(lines[0]))]
    width = _width(lines, path, size)
  if not width:
    raise ValueError(f'embeddings={path} is empty')
  return width


def rows(
  file: BinaryIO, path: PathName, size: int, at_row: bool = False
) -> Iterator[Row]:
  """Yields the rows of a file of vectors.

  Args:
    file: the decompressed file.
    path: its name, for messages.
    size: the number of numbers of a vector.
    at_row: whether the file is at the position of a row, not at its start.

  Raises:
    ValueError: the file or a row is malformed or has another size.
  """
  read = _binary_rows if is_binary(path) else _text_rows
  return read(file, path, size, at_row)


def parse(row: Row, path: PathName) -> np.ndarray:
  """Returns the vector of a row.

  Raises:
    ValueError: it contains anything but finite numbers.
  """
  where = f'embeddings={path}' + (f', row {row.row}' if row.row else '')
  if is_binary(path):
    vector = np.frombuffer(row.numbers, '<f4').astype(np.float32)
  else:
    fields = row.numbers.split(b' ')
    try:
      vector = np.array(fields, np.float32)
    except ValueError as error:
      bad = next(x for x in fields if not _NUMBER.fullmatch(x))
      text = bad.decode('utf-8', 'replace')
      raise ValueError(f'{where}: {text!r} is not a number') from error
  if not np.isfinite(vector).all():
    word = row.word.decode('utf-8', 'replace')
    raise ValueError(f'{where}: the vector of {word!r} is not finite')
  return vector


def _wrong_size(path: PathName, width: int, size: int) -> ValueError:
  return ValueError(
    f'embeddings={path} has vectors of {width} numbers, '
    f'but embedding_size={size}'
  )


def _text_rows(
  file: BinaryIO, path: PathName, size: int, at_row: bool
) -> Iterator[Row]:
  lines: Iterable[bytes] = file
  header, position, row, num_blank = None, 0, 0, 0
  if not at_row:
    first = list(itertools.islice(file, _FIRST_ROWS))
    if first:
      position = _byte_order_mark(first[0], path)
      first[0] = first[0][position:]
      header = _header(first[0])
    if header:
      position += len(first.pop(0))
    width = _width(first, path, size)
    if width and width != size:
      raise _wrong_size(path, width, size)
    lines = itertools.chain(first, file)
  for row, line in enumerate(lines, 0 if at_row else 1 + bool(header)):
    text = line.rstrip().replace(b'\t', b' ')
    if text.count(b' ') == size:
      word, numbers = text.split(b' ', 1)
      yield Row(row, position, word, numbers)
    elif text:
      yield Row(row, position, *_split_row(line, path, row, size))
    else:
      num_blank += 1
    position += len(line)
  count = row - bool(header) - num_blank
  if count <= 0 and not at_row:
    raise ValueError(f'embeddings={path} is empty')
  if header and header != (count, size):
    _log.warning(
      'embeddings=%s has %d vectors of %d numbers, but its header says '
      '%d of %d',
      path, count, size, *header,
    )  # fmt: skip


def _byte_order_mark(line: bytes, path: PathName) -> int:
  """Returns the length of the byte-order mark at the start of a file.

  Raises:
    ValueError: the mark is that of UTF-16.
  """
  if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    raise ValueError(f'embeddings={path} is in UTF-16; save it as UTF-8')
  return len(codecs.BOM_UTF8) if line.startswith(codecs.BOM_UTF8) else 0


def _header(line: bytes) -> tuple[int, int] | None:
  """Returns the number and size of vectors in a header, or None."""
  fields = line.split()
  if len(fields) == 2 and all(field.isdigit() for field in fields):
    return int(fields[0]), int(fields[1])
  return None


def _numbers(fields: list[bytes]) -> int:
  """Counts the numbers at the end of a row's fields, after its word."""
  last = fields[:0:-1]
  return sum(1 for _ in itertools.takewhile(_NUMBER.fullmatch, last))


def _width(lines: list[bytes], path: PathName, size: int) -> int:
  """Returns the size of a file's vectors, which is that of most first rows.

  A row that ends in anything but a number does not count.

  Args:
    lines: the first rows.
    path: the file's name, for messages.
    size: the size that is chosen among those of equally many rows.

  Returns:
    The size; 0 if all rows are blank.

  Raises:
    ValueError: no row has numbers.
  """
  rows_fields = [line.split() for line in lines if line.strip()]
  widths = collections.Counter(filter(None, map(_numbers, rows_fields)))
  if rows_fields and not widths:
    raise ValueError(
      f'embeddings={path} has no numbers in its first rows; a row is a word '
      'and its vector'
    )
  return max(
    widths, key=lambda width: (widths[width], width == size, width), default=0
  )


def _split_row(
  line: bytes, path: PathName, row: int, size: int
) -> tuple[bytes, bytes]:
  """Splits a row whose word or separators contain more than single blanks.

  Raises:
    ValueError: it has another number of numbers.
  """
  word, _, rest = line.partition(b'\t')
  numbers = rest.split()
  if len(numbers) == size:
    return word, b' '.join(numbers)
  fields = line.split()
  count = len(fields) - size  # The word's fields; a blank word has none.
  too_many = count > 1 and _NUMBER.fullmatch(fields[count - 1])
  if count < 0 or not (count or line[:1].isspace()) or too_many:
    raise ValueError(
      f'embeddings={path}, row {row}: {_numbers(fields)} numbers '
      f'instead of {size}'
    )
  word = line.rsplit(None, size)[0].strip() if count else b''
  return word, b' '.join(fields[count:])


def _binary_header(file: BinaryIO, path: PathName) -> tuple[int, int]:
  """Reads the number and size of the vectors of word2vec's binary format."""
  line = file.readline(64)
  if line.startswith(_FASTTEXT):
    raise ValueError(
      f"embeddings={path} is of fastText's own format; give its .vec file"
    )
  header = _header(line)
  if not header:
    raise ValueError(f'embeddings={path}: no word2vec header in row 1')
  return header


def _binary_rows(
  file: BinaryIO, path: PathName, size: int, at_row: bool
) -> Iterator[Row]:
  count, position = 1, 0
  if not at_row:
    count, width = _binary_header(file, path)
    if width != size:
      raise _wrong_size(path, width, size)
    position = file.tell()
  for row in range(1, count + 1):
    name = bytearray()
    while (char := file.read(1)) not in (b' ', b''):
      name += char
    numbers = file.read(4 * size)
    if len(numbers) < 4 * size:
      raise ValueError(f'embeddings={path} ends in vector {row} of {count}')
    # Some writers end each vector with a newline.
    yield Row(
      0 if at_row else row, position, bytes(name.lstrip(b'\n')), numbers
    )
    position += len(name) + 1 + len(numbers)
