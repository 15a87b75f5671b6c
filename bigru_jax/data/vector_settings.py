"""What the settings of several files of vectors say, and their checks."""

from __future__ import annotations

from collections.abc import Sequence
import itertools
import os
import re

from bigru_jax.data.glove import NAMED_VECTORS, fetch, names_of
from bigru_jax.data.vector_rows import size_of
from bigru_jax.data.vector_sets import JOINS


def complete_sizes(
  embeddings: str, embedding_sizes: str, embedding_size: int, join: str
) -> tuple[str, int]:
  """Returns the sizes that the files of vectors imply.

  Args:
    embeddings: the comma-separated files.
    embedding_sizes: their comma-separated sizes; empty to read them.
    embedding_size: the size of a word's vector; 0 if it is not given.
    join: an entry of `JOINS`.

  Returns:
    embedding_sizes, which is empty for a single file, and embedding_size.

  Raises:
    FileNotFoundError, ValueError: a file is missing, or a name is empty, or a
      size is wrong.
  """
  names, vector_size = names_of(embeddings), NAMED_VECTORS.get(embeddings, 0)
  if len(names) > 1:
    if not embedding_sizes:
      sizes = [
        NAMED_VECTORS.get(name) or size_of(fetch(name)) for name in names
      ]
      embedding_sizes = ','.join(map(str, sizes))
    sizes_text = embedding_sizes.split(',')
    if len(sizes_text) != len(names) or not all(
      re.fullmatch(r'[1-9]\d*', size) for size in sizes_text
    ):
      raise ValueError(
        f'embedding_sizes={embedding_sizes}: give {len(names)} numbers, one '
        'for each file of embeddings'
      )
    vector_size = JOINS[join].size(map(int, sizes_text))
  elif embedding_sizes:
    raise ValueError(
      f'embedding_sizes={embedding_sizes} needs several files in embeddings; '
      'for one, give embedding_size'
    )
  if vector_size and embedding_size not in (0, vector_size):
    sizes_of_files = embedding_sizes.replace(',', ', ') or str(vector_size)
    joined = f', which are {vector_size} joined' if len(names) > 1 else ''
    raise ValueError(
      f'embedding_size={embedding_size}: {embeddings} has vectors of '
      f'{sizes_of_files} numbers{joined}'
    )
  return embedding_sizes, embedding_size or vector_size or 100


def check_frozen_names(frozen_names: str, embeddings: str, join: str) -> None:
  """Checks the names of the files whose vectors are not trained.

  Raises:
    ValueError: a name is not that of one file, or files have no own columns.
  """
  names = names_of(embeddings)
  for frozen in names_of(frozen_names, 'freeze_embeddings') or ['']:
    num_files = len(_files_named(frozen, names))
    if num_files != 1:
      kind = 'none' if not num_files else f'the name of {num_files}'
      raise ValueError(
        f'freeze_embeddings={frozen_names}: {frozen!r} is {kind} of the files '
        f'of embeddings={embeddings}'
      )
  if len(names) < 2 or not JOINS[join].has_columns:
    raise ValueError(
      f'freeze_embeddings={frozen_names} names some of several files, joined '
      'by concat or meta; freeze_embeddings alone freezes all'
    )


def columns_of(
  some_names: str, embeddings: str, sizes: Sequence[int]
) -> tuple[tuple[int, int], ...]:
  """Returns the start and the stop of some files' columns.

  Example:
    >>> columns_of('b.txt', 'a.txt,data/b.txt', [100, 50])
    ((100, 150),)
  """
  files, stops = names_of(embeddings), [0, *itertools.accumulate(sizes)]
  chosen = {
    x for name in names_of(some_names) for x in _files_named(name, files)
  }
  return tuple(
    (start, stop)
    for file, start, stop in zip(files, stops, stops[1:])
    if file in chosen
  )


def _files_named(name: str, files: Sequence[str]) -> list[str]:
  """Returns the file with a name, or the files that have it in some folder."""
  if name in files:
    return [name]
  return [file for file in files if os.path.basename(file) == name]
