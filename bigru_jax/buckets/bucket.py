"""A folder in a bucket: its objects, conditional creation, and retries.

The packages of the providers (`gcsfs`, `s3fs`, `adlfs`) find the credentials.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
import contextlib
import functools
import hashlib
import os
import pathlib
from typing import Any, TypeVar

from bigru_jax.buckets.retries import retry

# The package that fsspec needs for each kind of bucket, and the extra with it.
_PACKAGES = {
  'gs': ('gcsfs', 'gcs'),
  's3': ('s3fs', 's3'),
  'az': ('adlfs', 'azure'),
}
_ANONYMOUS: dict[str, dict[str, Any]] = {
  's3': {'anon': True},
  'gs': {'token': 'anon'},
  'gcs': {'token': 'anon'},  # The other name of gs in the settings of fsspec.
  'az': {'anon': True},
}
# By itself gcsfs waits for ever. In this time it sends a part of a large file.
_OPTIONS = {'gs': {'requests_timeout': 120.0}}
_BLOCK = 2**24  # The bytes of one request for a part of an object.

_T = TypeVar('_T')


def is_bucket(name: str | os.PathLike) -> bool:
  """Returns whether a name is that of a bucket or of something in one."""
  scheme, mark, _ = str(name).partition('://')
  return bool(mark) and scheme in _PACKAGES


@contextlib.contextmanager
def anonymous_access(is_wanted: bool) -> Iterator[None]:
  """Opens buckets without credentials, by the settings of fsspec."""
  if not is_wanted:
    yield
    return
  from fsspec.config import conf

  saved_config = conf.copy()
  for scheme, options in _ANONYMOUS.items():
    conf[scheme] = {**conf.get(scheme, {}), **options}
  try:
    yield
  finally:
    conf.clear()
    conf.update(saved_config)


class Bucket:
  """The objects whose names begin with that of a folder.

  An operation that fails is tried again; see `retry`.

  Attributes:
    name: the name of the folder, such as `gs://bucket/runs/mine`.
  """

  def __init__(self, name: str, field: str) -> None:
    """Connects to a bucket.

    Args:
      name: the folder; or `gs://bucket`, the whole bucket.
      field: the field of the configuration that names it, for messages.

    Raises:
      ValueError: the name is not complete, or a package is not installed.
    """
    self.name, self._field = name.rstrip('/'), field
    scheme, _, path = self.name.partition('://')
    if not path.strip('/'):
      raise ValueError(f'{field}={name} names no bucket')
    package, extra = _PACKAGES[scheme]
    try:
      from fsspec.core import url_to_fs

      self._files, self._path = url_to_fs(
        self.name, use_listings_cache=False, **_OPTIONS.get(scheme, {})
      )
    except ImportError as error:
      raise ValueError(
        f'{field}={name} needs the {package} package: '
        f'pip install "bigru_jax[{extra}]"'
      ) from error

  def read(self, key: str) -> bytes:
    """Returns the content of an object.

    Raises:
      FileNotFoundError: there is no such object.
      OSError: it cannot be read.
    """
    return self._retry(key, lambda: self._files.cat_file(self._path_of(key)))

  def write(self, key: str, content: bytes) -> None:
    """Creates an object, or replaces it.

    Raises:
      OSError: it cannot be written.
    """
    self._retry(key, lambda: self._files.pipe_file(self._path_of(key), content))

  def create(self, key: str, content: bytes) -> bool:
    """Creates an object, unless there is one of this name.

    Of several processes that create it at once, one succeeds. The contents of
    different processes must differ, since an answer may be lost: an object with
    the same content is then one's own.

    Returns:
      Whether it was created.

    Raises:
      OSError: it cannot be written.
    """

    def write() -> bool:
      try:
        self._files.pipe_file(self._path_of(key), content, mode='create')
      except OSError as error:
        # Some servers of S3 give it no type of its own.
        is_refused = 'PreconditionFailed' in str(error)
        if not isinstance(error, FileExistsError) and not is_refused:
          raise
        return self._files.cat_file(self._path_of(key)) == content
      return True

    return self._retry(key, write)

  def upload(self, path: pathlib.Path, key: str) -> None:
    """Copies a file into an object, and compares their sizes and digests.

    Raises:
      OSError: the file cannot be read, or the object cannot be written.
    """

    def copy() -> None:
      self._files.put_file(str(path), self._path_of(key))
      info = self._files.info(self._path_of(key))
      if info['size'] != path.stat().st_size or _has_other_md5(info, path):
        raise OSError('the object differs from what was sent')

    self._retry(key, copy)

  def download(
    self,
    key: str,
    path: pathlib.Path,
    size: int,
    progress: Callable[[int], object] = lambda count: None,
  ) -> None:
    """Appends the rest of an object to a file that has its beginning.

    Args:
      key: the object.
      path: the file, which is created if it is missing.
      size: the number of bytes of the object.
      progress: called with the number of bytes of each part of it.

    Raises:
      FileNotFoundError: there is no such object.
      OSError: it cannot be read, or the file cannot be written.
    """
    with path.open('ab') as file:
      while (start := file.tell()) < size:
        stop = min(start + _BLOCK, size)
        progress(file.write(self._block(key, start, stop)))

  def _block(self, key: str, start: int, stop: int) -> bytes:
    def read() -> bytes:
      block = self._files.cat_file(self._path_of(key), start=start, end=stop)
      if len(block) != stop - start:
        raise OSError('the answer is not complete')
      return block

    return self._retry(key, read)

  def keys(self, folder: str) -> list[str]:
    """Returns the objects in a folder and in those below it, sorted.

    Raises:
      FileNotFoundError: there is no such bucket.
      OSError: they cannot be listed.
    """

    def find() -> list[str]:
      paths = self._files.find(self._path_of(folder))
      return sorted(x.removeprefix(self._path).lstrip('/') for x in paths)

    try:
      return self._retry(folder, find)
    except FileNotFoundError as error:
      raise FileNotFoundError(
        f'{self._field}={self.name}: there is no such bucket'
      ) from error

  def matches(self, pattern: str) -> dict[str, tuple[int, str]]:
    """Returns the objects that match a pattern such as `part-*.csv`, by name.

    Returns:
      For each, its size and the name of its version, as `info` does.

    Raises:
      OSError: they cannot be listed.
    """

    def glob() -> dict[str, Any]:
      return self._files.glob(self._path_of(pattern), detail=True)

    infos = self._retry(pattern, glob)
    return {
      path.removeprefix(self._path).lstrip('/'): _size_and_version(info)
      for path, info in sorted(infos.items())
      if info['type'] == 'file'
    }

  def info(self, key: str) -> tuple[int, str]:
    """Returns the size of an object, and the name of its present version.

    Raises:
      FileNotFoundError: there is no such object.
      OSError: it cannot be read.
    """
    info = self._retry(key, lambda: self._files.info(self._path_of(key)))
    if info['type'] != 'file':
      raise FileNotFoundError(f'{self.describe(key)}: no such object')
    return _size_and_version(info)

  def remove(self, keys: Iterable[str]) -> None:
    """Removes objects; those that are missing do not matter.

    Raises:
      OSError: one cannot be removed.
    """

    def remove(key: str) -> None:
      try:
        self._files.rm_file(self._path_of(key))
      except FileNotFoundError:
        return

    for key in keys:
      self._retry(key, functools.partial(remove, key))

  def _path_of(self, key: str) -> str:
    return f'{self._path}/{key}' if key else self._path

  def describe(self, key: str) -> str:
    """Returns the field and the name of an object, for messages."""
    name = f'{self.name}/{key}' if key else self.name
    return f'{self._field}={name}'

  def _retry(self, key: str, action: Callable[[], _T]) -> _T:
    return retry(self.describe(key), action)


def _has_other_md5(info: dict[str, Any], path: pathlib.Path) -> bool:
  """Returns whether the bucket knows the digest of an object, and it differs.

  Google's is in base 64. The ETag of S3 is the digest only of an object that
  was sent in one part and is not encrypted, so it is not compared.
  """
  if 'md5Hash' not in info:
    return False
  with path.open('rb') as file:
    md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
  return info['md5Hash'] != base64.b64encode(md5.digest()).decode()


def _size_and_version(info: dict[str, Any]) -> tuple[int, str]:
  names = ('generation', 'ETag', 'etag')
  version = next((info[name] for name in names if info.get(name)), '')
  return info['size'], str(version)
