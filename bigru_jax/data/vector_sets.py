"""The vectors of words in one file or several, joined to one for each word.

Files of vectors differ in their words, so joining several finds more of a
text's words: by concatenation, or as their mean (Coates & Bollegala, 2018,
https://aclanthology.org/N18-2031).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
import logging
import threading
from typing import NamedTuple

import numpy as np

from bigru_jax.data import word_forms
from bigru_jax.data.embeddings import (
  VectorIndex,
  load_vectors,
  warn_of_no_overlap,
)
from bigru_jax.data.glove import fetch
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.vector_rows import size_of

Vectors = dict[str, np.ndarray]
Lookup = Callable[[Collection[str]], Vectors]
_log = logging.getLogger(__name__)


class VectorSets(NamedTuple):
  """Files of vectors, and how they are used.

  Attributes:
    names: their paths, or names of `glove.NAMED_VECTORS`.
    sizes: the size of the vectors of each.
    join: an entry of `JOINS`.
    word_forms: whether words without a vector are looked up in other forms.
  """

  names: tuple[str, ...]
  sizes: tuple[int, ...]
  join: str
  word_forms: bool

  def sha256(self) -> str:
    """Returns the comma-separated digests of the files.

    Raises:
      FileNotFoundError, ValueError: a file is missing or cannot be fetched, or
        two are the same.
    """
    digests = [file_sha256(fetch(name), 'embeddings') for name in self.names]
    if len(set(digests)) < len(digests):
      raise ValueError(
        f'embeddings={",".join(self.names)}: two of the files are the same'
      )
    return ','.join(digests)

  def check_sha256(self, expected: str) -> None:
    """Checks that the files are those that a run was trained with.

    Args:
      expected: their digests, as `sha256` returned them.

    Raises:
      FileNotFoundError, ValueError: a file is missing or has changed, or there
        are more files or fewer.
    """
    digests = expected.split(',')
    if len(digests) != len(self.names):
      raise ValueError(
        f'embeddings={",".join(self.names)}: the run was trained with '
        f'{len(digests)} of such files'
      )
    for name, digest in zip(self.names, digests):
      if file_sha256(path := fetch(name), 'embeddings') != digest:
        raise ValueError(
          f'embeddings={path} is not the file that the run was trained with'
        )

  def load(self, words: Collection[str]) -> tuple[Vectors, list[str]]:
    """Reads the vectors of the words, and each file once.

    Returns:
      The float32 vectors of the words that a file has, which are NaN where the
      other files have nothing; and for each file, a sentence for the log.

    Raises:
      FileNotFoundError, ValueError: see `load_vectors`; or a file's vectors do
        not have its size.
    """
    forms = word_forms.candidates(words) if self.word_forms else {}
    by_file, notes = [], []
    for name, size in zip(self.names, self.sizes):
      path = fetch(name)
      if len(self.names) > 1 and (width := size_of(path, size)) != size:
        raise ValueError(
          f'embedding_sizes={",".join(map(str, self.sizes))}: {name} has '
          f'vectors of {width} numbers'
        )
      vectors = load_vectors(path, words, size, forms)
      missing = [word for word in words if word not in vectors]
      of_forms, counts = word_forms.lookup(missing, vectors if forms else {})
      vectors = {x: vectors[x] for x in words if x in vectors} | of_forms
      if not vectors:
        warn_of_no_overlap(str(path), words)
      share = 100 * len(vectors) / max(len(words), 1)
      note = f'embeddings={name}: {share:.1f} % of the words have a vector'
      if counts:
        note += f', of which {word_forms.describe(counts)}'
      by_file.append(vectors)
      notes.append(note)
    return self.joined(by_file), notes

  def open(self, expected: str) -> Lookup:
    """Returns a function that looks up any words, which has read the files.

    Args:
      expected: see `check_sha256`.

    Raises:
      FileNotFoundError, ValueError: see `check_sha256`.
    """
    self.check_sha256(expected)
    indices = [
      VectorIndex(fetch(name), size)
      for name, size in zip(self.names, self.sizes)
    ]
    return lambda words: without_gaps(
      self.joined([self._of_file(index, words) for index in indices])
    )

  def _of_file(self, index: VectorIndex, words: Collection[str]) -> Vectors:
    missing = index.missing(words) if self.word_forms else []
    if not missing:
      return index.lookup(words)
    # Together, because a compressed file is read through.
    vectors = index.lookup({*words, *word_forms.candidates(missing)})
    of_forms, _ = word_forms.lookup(missing, vectors)
    return {x: vectors[x] for x in words if x in vectors} | of_forms

  def joined(self, by_file: Sequence[Vectors]) -> Vectors:
    """Joins the vectors of each word in the files."""
    if len(by_file) == 1:
      return by_file[0]
    join = JOINS[self.join].join
    words = sorted(set().union(*by_file))
    return {
      word: join([vectors.get(word) for vectors in by_file], self.sizes)
      for word in words
    }


def concatenate(
  vectors: Sequence[np.ndarray | None], sizes: Sequence[int]
) -> np.ndarray:
  """Concatenates a word's vectors, with NaN in place of missing ones."""
  parts = [
    np.full(size, np.nan, np.float32) if vector is None else vector
    for vector, size in zip(vectors, sizes)
  ]
  return np.concatenate(parts)


def mean(
  vectors: Sequence[np.ndarray | None], sizes: Sequence[int]
) -> np.ndarray:
  """Returns the mean of a word's vectors, after padding them with zeros."""
  width = max(sizes)
  padded = [np.pad(x, (0, width - len(x))) for x in vectors if x is not None]
  return np.mean(padded, axis=0)


class Join(NamedTuple):
  """An entry of `JOINS`.

  Attributes:
    join: (a word's vectors by file, or None; the sizes) -> the joined vector.
    size: the size of the joined vectors, from those of the files.
    has_columns: whether each file has columns of its own.
    is_learned: whether the model joins these columns, see `JoinedSets`.
  """

  join: Callable[[Sequence[np.ndarray | None], Sequence[int]], np.ndarray]
  size: Callable[[Iterable[int]], int]
  has_columns: bool = True
  is_learned: bool = False


JOINS = {
  'concat': Join(join=concatenate, size=sum),
  'mean': Join(join=mean, size=max, has_columns=False),
  'meta': Join(join=concatenate, size=sum, is_learned=True),
}


class UnseenWords:
  """The vectors of words that are not in a run's training data.

  At the first unseen word, the vectors that the run started from are opened. If
  they are missing or have changed, a warning is logged once, and every such
  word stays <unk>.
  """

  def __init__(self, open_vectors: Callable[[], Lookup]) -> None:
    """Keeps the function that opens the vectors, such as `VectorSets.open`."""
    self._open_vectors = open_vectors
    self._vectors_of: Lookup | None = None
    self._opened, self._lock = False, threading.Lock()

  def lookup(self, words: Collection[str]) -> Vectors | None:
    """Returns the float32 vectors of the words that have one.

    They are zero where one of several files has nothing. Returns None if the
    vectors cannot be read or are not the run's.
    """
    if not words:
      return {}
    with self._lock:  # Threads may share a run.
      if not self._opened:
        self._opened = True
        self._open()
    return self._vectors_of(words) if self._vectors_of else None

  def _open(self) -> None:
    try:
      self._vectors_of = self._open_vectors()
    except (ValueError, OSError) as error:
      _log.warning('%s: words unseen in training become <unk>', error)


def without_gaps(vectors: Mapping[str, np.ndarray]) -> Vectors:
  """Returns the vectors with zeros where files have nothing.

  It is the mean of what words of train have there at first, and words unseen in
  train never learn anything else.
  """
  return {word: np.nan_to_num(vector) for word, vector in vectors.items()}


def embedding_table(
  table_VxE: np.ndarray,
  vocabulary: list[str],
  vectors: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, float]:
  """Copies the initial table and sets the rows of words with vectors.

  A row keeps its initial numbers where the vector is NaN.

  Returns:
    The table, and the share of the vocabulary that has a vector.
  """
  table_VxE = np.array(table_VxE)
  known = 0
  for i, word in enumerate(vocabulary):
    if word in vectors:
      vector = vectors[word]
      table_VxE[i] = np.where(np.isnan(vector), table_VxE[i], vector)
      known += 1
  return table_VxE, known / max(len(vocabulary) - 2, 1)
