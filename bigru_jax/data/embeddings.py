"""Pretrained word vectors: GloVe, word2vec (text and binary), fastText text.

Tokens are in NFC. If the file does not have a word in NFC, the word gets the
vector of the first canonically equivalent word in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
import itertools
import logging
import os
import threading
import unicodedata

import numpy as np

from bigru_jax.data.glove import fetch
from bigru_jax.data.open_files import file_sha256, open_binary
from bigru_jax.data.vector_rows import is_binary, parse, rows

_log = logging.getLogger(__name__)


def load_vectors(
  path: str | os.PathLike, wanted: Collection[str], size: int
) -> dict[str, np.ndarray]:
  """Reads the vectors of the wanted words, front to back.

  GloVe is text without a header; word2vec and fastText begin with a line
  `<words> <size>`; a file named `.bin` or `.bin.gz` is in word2vec's binary
  format.

  Args:
    path: the file, plain or compressed, see `open_binary`.
    wanted: the words to keep.
    size: the size of the vectors, `embedding_size`.

  Returns:
    word -> float32 vector, for the wanted words that the file has in any form.
    If a word has several vectors, the first is kept.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a row is malformed or has another size; the message names it.
  """
  path = os.fspath(path)
  vectors: dict[str, np.ndarray] = {}
  equivalent: dict[str, np.ndarray] = {}
  with open_binary(path, 'embeddings') as file:
    for row in rows(file, path, size):
      word = row.word.decode('utf-8', 'replace')
      if word in wanted:
        if word not in vectors:
          vectors[word] = parse(row, path)
      elif not word.isascii():
        word = unicodedata.normalize('NFC', word)
        if word in wanted and word not in equivalent:
          equivalent[word] = parse(row, path)
  vectors = equivalent | vectors
  if not vectors:
    _warn_of_no_overlap(path, wanted)
  return vectors


class VectorIndex:
  """The position of each word in a file of vectors, in 16 bytes per word."""

  def __init__(self, path: str | os.PathLike, size: int) -> None:
    """Reads the file once.

    Args:
      path: the file.
      size: the size of the vectors.

    Raises:
      FileNotFoundError, ValueError: see `load_vectors`.
    """
    self._path, self._size = os.fspath(path), size
    with open_binary(self._path, 'embeddings') as file:
      keys = ((*_key(r.word), r.position) for r in rows(file, self._path, size))
      table = np.fromiter(keys, np.dtype('i8,?,i8'))
    # Words in NFC come before all remaining ones, both in the file's order.
    table = table[np.lexsort((table['f1'], table['f0']))]
    # Contiguous arrays, with only the first vector of each word.
    self._hashes, first = np.unique(table['f0'], return_index=True)
    self._positions = table['f2'][first]

  def lookup(self, words: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns the float32 vectors of the words that the file has."""
    names = [word.encode('utf-8', 'replace') for word in words]
    hashes = np.array([hash(name) for name in names], np.int64)
    entries = np.searchsorted(self._hashes, hashes)
    entries[entries == len(self._hashes)] = 0
    known = np.flatnonzero(self._hashes[entries] == hashes)
    vectors = {}
    with open_binary(self._path, 'embeddings') as file:
      # In the order of the file, because a compressed file is read through.
      for i in known[np.argsort(self._positions[entries[known]])]:
        file.seek(self._positions[entries[i]])
        row = next(rows(file, self._path, self._size, at_row=True))
        if _composed(row.word) == names[i]:
          vectors[names[i].decode()] = parse(row, self._path)
    return vectors


def _composed(word: bytes) -> bytes:
  """Returns a word of a file in NFC."""
  if word.isascii():
    return word
  return unicodedata.normalize('NFC', word.decode('utf-8', 'replace')).encode()


def _key(word: bytes) -> tuple[int, bool]:
  """Returns the hash of a word in NFC, and whether its own form differs."""
  composed = _composed(word)
  return hash(composed), composed != word


class UnseenWords:
  """The vectors of words that are not in a run's training data.

  At the first unseen word, the file of vectors is opened and its digest is
  compared with the run's. If the file is missing or has changed, a warning is
  logged once, and no word has a vector.
  """

  def __init__(self, path: str, size: int, sha256: str) -> None:
    self._path, self._size, self._sha256 = path, size, sha256
    self._index: VectorIndex | None = None
    self._opened, self._lock = False, threading.Lock()

  def lookup(self, words: Collection[str]) -> dict[str, np.ndarray]:
    """Returns the float32 vectors of the words that the file has."""
    if not words:
      return {}
    with self._lock:  # Threads may share a run.
      if not self._opened:
        self._opened = True
        self._open()
    return self._index.lookup(words) if self._index else {}

  def _open(self) -> None:
    try:
      path = fetch(self._path)
      check_sha256(path, self._sha256)
      self._index = VectorIndex(path, self._size)
    except (ValueError, OSError) as error:
      _log.warning('%s: words unseen in training become <unk>', error)


def check_sha256(path: str, expected: str) -> None:
  """Checks that a file is the one that a run was trained with.

  Raises:
    FileNotFoundError, ValueError: it is missing, or has changed.
  """
  if file_sha256(path, 'embeddings') != expected:
    raise ValueError(
      f'embeddings={path} is not the file that the run was trained with'
    )


def embedding_table(
  table_VxE: np.ndarray, vocabulary: list[str], vectors: dict[str, np.ndarray]
) -> tuple[np.ndarray, float]:
  """Copies the initial table and sets the rows of words with vectors.

  Returns:
    The table, and the share of the vocabulary that has a vector.
  """
  table_VxE = np.array(table_VxE)
  known = 0
  for i, word in enumerate(vocabulary):
    if word in vectors:
      table_VxE[i] = vectors[word]
      known += 1
  return table_VxE, known / max(len(vocabulary) - 2, 1)


def _warn_of_no_overlap(path: str, wanted: Collection[str]) -> None:
  """Warns that no word has a vector, and says if lower-casing would help."""
  hint = ''
  if not is_binary(path):
    with open_binary(path, 'embeddings') as file:
      lines = itertools.islice(file, 10_000)
      words = {line.split(maxsplit=1)[0] for line in lines if line.strip()}
    lowered = {word.decode('utf-8', 'replace').lower() for word in words}
    if not lowered.isdisjoint(wanted):
      hint = '; its words would match in lower case'
  _log.warning(
    'embeddings=%s: 0.0 %% of the vocabulary has a vector%s', path, hint
  )
