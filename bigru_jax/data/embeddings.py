"""The vectors of a file: GloVe, word2vec (text and binary), fastText text.

Tokens are in NFC. If the file does not have a word in NFC, the word gets the
vector of the first canonically equivalent word in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
import itertools
import logging
import os
import types
import unicodedata

import numpy as np

from bigru_jax.data.open_files import open_binary
from bigru_jax.data.vector_rows import is_binary, parse, rows

_log = logging.getLogger(__name__)


def load_vectors(
  path: str | os.PathLike,
  wanted: Collection[str],
  size: int,
  forms: Mapping[str, str] = types.MappingProxyType({}),
) -> dict[str, np.ndarray]:
  """Reads the vectors of the wanted words, front to back.

  GloVe is text without a header; word2vec and fastText begin with a line
  `<words> <size>`; a file named `.bin` or `.bin.gz` is in word2vec's binary
  format.

  Args:
    path: the file, plain or compressed, see `open_binary`.
    wanted: the words to keep.
    size: the size of the vectors.
    forms: other words to keep, each with the wanted word that it would replace,
      see `word_forms.candidates`. Those of wanted words that the file already
      had are left out.

  Returns:
    word -> float32 vector, for the words that the file has, in NFC or not. If a
    word has several vectors, the first is kept.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: a row is malformed or has another size; the message names it.
  """
  path = os.fspath(path)
  vectors: dict[str, np.ndarray] = {}
  equivalent: dict[str, np.ndarray] = {}
  with open_binary(path, 'embeddings') as file:
    for row in rows(file, path, size):
      word, same_word = row.word.decode('utf-8', 'replace'), vectors
      if not word.isascii() and not unicodedata.is_normalized('NFC', word):
        word, same_word = unicodedata.normalize('NFC', word), equivalent
      owner = forms.get(word)
      is_form = owner is not None and owner not in vectors
      if (is_form or word in wanted) and word not in same_word:
        same_word[word] = parse(row, path)
  return equivalent | vectors


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

  def missing(self, words: Collection[str]) -> list[str]:
    """Returns the words that the file does not have, without reading it."""
    _, known = self._entries(
      [word.encode('utf-8', 'replace') for word in words]
    )
    return [word for word, is_known in zip(words, known) if not is_known]

  def lookup(self, words: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns the float32 vectors of the words that the file has."""
    names = [word.encode('utf-8', 'replace') for word in words]
    entries, is_known = self._entries(names)
    known = np.flatnonzero(is_known)
    vectors = {}
    with open_binary(self._path, 'embeddings') as file:
      # In the order of the file, because a compressed file is read through.
      for i in known[np.argsort(self._positions[entries[known]])]:
        file.seek(self._positions[entries[i]])
        row = next(rows(file, self._path, self._size, at_row=True))
        if _composed(row.word) == names[i]:
          vectors[names[i].decode()] = parse(row, self._path)
    return vectors

  def _entries(self, names: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the entry of each word, and whether its hash is there."""
    hashes = np.array([hash(name) for name in names], np.int64)
    entries = np.searchsorted(self._hashes, hashes)
    entries[entries == len(self._hashes)] = 0
    return entries, self._hashes[entries] == hashes


def _composed(word: bytes) -> bytes:
  """Returns a word of a file in NFC."""
  if word.isascii():
    return word
  return unicodedata.normalize('NFC', word.decode('utf-8', 'replace')).encode()


def _key(word: bytes) -> tuple[int, bool]:
  """Returns the hash of a word in NFC, and whether its own form differs."""
  composed = _composed(word)
  return hash(composed), composed != word


def warn_of_no_overlap(path: str, wanted: Collection[str]) -> None:
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
