"""Writes a run's word vectors to a file that other programs read."""

from __future__ import annotations

import os
import pathlib

from bigru_jax.data.text import PAD_ID
from bigru_jax.data.vector_rows import is_binary
from bigru_jax.rundir.source import open_source
from bigru_jax.runtime.atomic import replacing


def save(workdir: str | os.PathLike, path: str | os.PathLike) -> int:
  """Writes the vectors of a run's words in word2vec's format.

  Gensim's `KeyedVectors.load_word2vec_format` and spaCy's `init vectors` read
  the file, and so does the field `embeddings`. A word's vector includes those
  of its character n-grams. The words are in the order of the vocabulary: <unk>,
  those of training by their frequency, and those that only validation and test
  have.

  Args:
    workdir: a run directory or a published model, see `load`.
    path: the file; it is text unless its name ends in `.bin`.

  Returns:
    The number of words.

  Raises:
    FileNotFoundError, ValueError: the directory is not a run or is corrupt, or
      a token contains white space, which the format cannot express.
  """
  source = open_source(os.fspath(workdir))
  rows = list(zip(source.words(), source.params['embedding']))
  del rows[PAD_ID]
  for word, _ in rows:
    if word.split() != [word]:
      raise ValueError(
        f'output={path}: a file of vectors cannot have the token {word!r}, '
        'which contains white space'
      )
  size = source.params['embedding'].shape[1]
  # Nine digits are as many as float32 needs.
  numbers = b' '.join([b'%.9g'] * size) + b'\n'
  path = pathlib.Path(path)
  with replacing(path) as partial, partial.open('wb') as file:
    file.write(b'%d %d\n' % (len(rows), size))
    for word, vector in rows:
      file.write(word.encode('utf-8', 'replace') + b' ')
      if is_binary(path.name):
        file.write(vector.astype('<f4').tobytes())
      else:
        file.write(numbers % tuple(vector.tolist()))
  return len(rows)
