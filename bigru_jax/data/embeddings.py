"""Pretrained word vectors: GloVe, word2vec (text and binary), fastText text.

A file is read once, front to back, and only the vectors asked for are kept.
"""

from collections.abc import Collection
import itertools
import logging
import os
from typing import BinaryIO

import numpy as np

from bigru_jax.data.files import COMPRESSION_ERRORS, open_binary

_FASTTEXT = b'\xba\x16\x4f\x2f'  # The first bytes of its own binary format.
_log = logging.getLogger(__name__)


def load_vectors(
  path: str | os.PathLike, wanted: Collection[str], size: int
) -> dict[str, np.ndarray]:
  """Reads the vectors of the wanted words.

  GloVe is text without a header; word2vec and fastText begin with a line
  `<words> <size>`; a `.bin` name (`.bin.gz` too) is word2vec's binary form.

  Args:
    path: the file, plain or compressed as `open_binary` knows it.
    wanted: the words to keep.
    size: the size the model expects, `embedding_size`.

  Returns:
    word -> float32 vector, for the words of the file that are wanted.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a row is malformed or of another width; the message names it.
  """
  path = os.fspath(path)
  binary = path.removesuffix('.gz').endswith('.bin')
  try:
    with open_binary(path, 'embeddings') as file:
      read = _read_binary if binary else _read_text
      vectors = read(file, path, wanted, size)
    if not vectors:
      _warn_of_no_overlap(path, wanted, binary)
  except COMPRESSION_ERRORS as error:
    raise ValueError(f'embeddings={path} is corrupt: {error}') from error
  return vectors


def _warn_of_no_overlap(
  path: str, wanted: Collection[str], binary: bool
) -> None:
  """Logs that no word has a vector, and whether lower-casing would help."""
  hint = ''
  if not binary:
    with open_binary(path, 'embeddings') as file:
      lines = itertools.islice(file, 10_000)
      words = {line.split(maxsplit=1)[0] for line in lines if line.strip()}
    lowered = {word.decode('utf-8', 'replace').lower() for word in words}
    if not lowered.isdisjoint(wanted):
      hint = '; its words would match in lower case'
  _log.warning(
    'embeddings=%s: 0.0 %% of the vocabulary have a vector%s', path, hint
  )


def _wrong_size(path: str, width: int, size: int) -> ValueError:
  return ValueError(
    f'embeddings={path} has vectors of {width} numbers, '
    f'but embedding_size={size}'
  )


def _read_text(
  file: BinaryIO, path: str, wanted: Collection[str], size: int
) -> dict[str, np.ndarray]:
  vectors, width, promised, row = {}, None, None, 0
  for row, line in enumerate(file, 1):
    # From the right: a few GloVe 840B words contain spaces themselves.
    fields = line.rstrip().replace(b'\t', b' ').split(b' ')
    if row == 1 and len(fields) == 2 and all(f.isdigit() for f in fields):
      promised = int(fields[0])
      continue
    if width is None:
      width = len(fields) - 1
      if width != size:
        raise _wrong_size(path, width, size)
    if len(fields) < width + 1:
      raise ValueError(
        f'embeddings={path}, row {row}: {len(fields) - 1} numbers, '
        f'where the rows before have {width}'
      )
    word = b' '.join(fields[:-width]).decode('utf-8', 'replace')
    if len(fields) > width + 1 and _is_number(fields[-width - 1]):
      raise ValueError(
        f'embeddings={path}, row {row}: {len(fields) - 1} numbers, '
        f'where the rows before have {width}'
      )
    if word in wanted and word not in vectors:
      try:
        vector = np.array(fields[-width:], dtype=np.float32)
      except ValueError as error:
        raise ValueError(f'embeddings={path}, row {row}: {error}') from error
      if not np.isfinite(vector).all():
        raise ValueError(f'embeddings={path}, row {row}: not finite')
      vectors[word] = vector
  if width is None:
    raise ValueError(f'embeddings={path} is empty')
  if promised is not None and row - 1 < promised:
    _log.warning(
      'embeddings=%s has %d vectors, its header says %d',
      path,
      row - 1,
      promised,
    )
  return vectors


def _is_number(field: bytes) -> bool:
  try:
    float(field)
  except ValueError:
    return False
  return b'.' in field


def _read_binary(
  file: BinaryIO, path: str, wanted: Collection[str], size: int
) -> dict[str, np.ndarray]:
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
  vectors = {}
  for row in range(1, count + 1):
    name = bytearray()
    while (char := file.read(1)) not in (b' ', b''):
      if char != b'\n':
        name += char
    data = file.read(4 * width)
    if len(data) < 4 * width:
      raise ValueError(f'embeddings={path} ends in vector {row} of {count}')
    word = name.decode('utf-8', 'replace')
    if word in wanted:
      vectors[word] = np.frombuffer(data, '<f4').copy()
      if not np.isfinite(vectors[word]).all():
        raise ValueError(
          f'embeddings={path}: the vector of {word!r} is not finite'
        )
  return vectors


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
