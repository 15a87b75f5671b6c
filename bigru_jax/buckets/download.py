"""Copies of data files in buckets, in the cache of this machine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib

import filelock
from tqdm import tqdm

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.buckets.retries import run_all
from bigru_jax.runtime.cache import cache_dir


@dataclasses.dataclass(frozen=True)
class LocalCopy(os.PathLike[str]):
  """The copy of an object, which opens like a path and is shown by its name.

  Attributes:
    name: the name of the object, such as `s3://bucket/reviews.csv`.
    path: the copy.
  """

  name: str
  path: pathlib.Path

  def __fspath__(self) -> str:
    return str(self.path)

  def __str__(self) -> str:
    return self.name


def fetch(name: str, field: str) -> list[LocalCopy]:
  """Returns copies of the object of a name, or of all that match a pattern.

  An object is copied once for each of its versions. A copy that was interrupted
  continues. On a terminal, a bar shows the progress if it takes long.

  Args:
    name: such as `s3://bucket/reviews.csv` or `gs://bucket/part-*.parquet`.
    field: the field of the configuration that has it, for messages.

  Raises:
    FileNotFoundError: no object has this name.
    ValueError: see `Bucket`.
    OSError: an object cannot be read, or the cache cannot be written.
  """
  scheme, _, path = name.partition('://')
  root, _, key = path.partition('/')
  bucket = Bucket(f'{scheme}://{root}', field)
  if any(character in key for character in '*?['):
    objects = bucket.matches(key)
  else:
    objects = {key: bucket.info(key)}
  if not objects:
    raise FileNotFoundError(f'{field}={name}: no such object')
  with tqdm(
    desc=os.path.basename(name),
    total=sum(size for size, _ in objects.values()),
    unit='B',
    unit_scale=True,
    delay=2,  # Seconds.
    leave=False,
    disable=None,  # Only on a terminal.
  ) as bar:
    return run_all(
      functools.partial(_copy, bucket, key, size, version, bar)
      for key, (size, version) in objects.items()
    )


def _copy(
  bucket: Bucket, key: str, size: int, version: str, bar: tqdm
) -> LocalCopy:
  name = f'{bucket.name}/{key}'
  digest = hashlib.sha256(f'{name}\n{size}\n{version}'.encode()).hexdigest()
  path = cache_dir() / 'objects' / digest[:16] / os.path.basename(key)
  path.parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(f'{path}.lock'):
    if not path.exists():
      partial = path.with_name(f'{path.name}.download')
      bucket.download(key, partial, size, progress=bar.update)
      if bucket.info(key) != (size, version):
        partial.unlink()
        raise OSError(f'{bucket.describe(key)} was changed while it was read')
      os.replace(partial, path)
  return LocalCopy(name, path)
