"""A run in a bucket: which objects are its files, and copies of them on a disk.

The files of a run are objects that are never changed. A manifest, which is one
small object, lists them with their digests. It is written last, so that what it
names is complete; a run without it, or with an older one, is what it was
before.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import pathlib
import re
import shutil
from typing import Any

import filelock

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.buckets.retries import run_all
from bigru_jax.runtime.cache import cache_dir

_log = logging.getLogger(__name__)

# The content of a manifest: for each file of the run, by its path, `object`,
# `size` and `sha256`.
Files = dict[str, dict[str, Any]]


class CorruptError(ValueError):
  """The bytes of an object do not match the digest of the manifest."""


def encode(files: Files) -> bytes:
  """Returns the content of the object of a manifest."""
  content = {'files': files, 'sha256': _sha256(files)}
  return json.dumps(content, indent=1).encode()


def keys(bucket: Bucket) -> list[str]:
  """Returns the manifests of a run, the newest first."""
  return bucket.keys('manifests')[::-1]


def read(bucket: Bucket, key: str) -> Files:
  """Reads a manifest.

  Raises:
    CorruptError: it does not match its digest, or names a file outside of the
      run.
    FileNotFoundError, OSError: it is missing or cannot be read.
  """
  try:
    content = json.loads(bucket.read(key))
    files = content['files']
    if _sha256(files) == content['sha256'] and all(map(_is_inside, files)):
      return files
  except (ValueError, KeyError, TypeError, RecursionError):
    pass
  raise CorruptError(f'workdir={bucket.name}/{key} is corrupt')


def _is_inside(path: str) -> bool:
  """Returns whether a path cannot lead out of the folder of a run."""
  parts = pathlib.PurePosixPath(path).parts
  return not {'/', '..'} & {*parts} and '\\' not in path


def restore_newest(bucket: Bucket, folder: pathlib.Path) -> Files:
  """Makes a folder equal to the newest intact manifest of a run.

  A manifest that is corrupt, or has a corrupt object, is reported and left out.

  Returns:
    The files of the manifest; none if the run has no manifest yet.

  Raises:
    ValueError: all manifests are corrupt.
    OSError: the bucket cannot be read, or the folder cannot be written.
  """
  names = keys(bucket)
  for name in names:
    try:
      files = read(bucket, name)
      restore(bucket, files, folder)
      return files
    except (CorruptError, FileNotFoundError) as error:
      _log.warning('%s; the manifest before it is used', error)
  if names:
    raise ValueError(
      f'workdir={bucket.name}: no manifest is intact; every object stays where '
      'it is'
    )
  restore(bucket, {}, folder)
  return {}


def restore(bucket: Bucket, files: Files, folder: pathlib.Path) -> None:
  """Makes a folder equal to a manifest; files that are there already stay.

  Args:
    bucket: the run.
    files: the content of the manifest.
    folder: it is created if it is missing. Other files in it are removed.

  Raises:
    CorruptError, FileNotFoundError, OSError: see `fetch`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  fetch(bucket, files, folder)
  for parent, folders, names in os.walk(folder, topdown=False):
    for name in names:
      path = pathlib.Path(parent, name)
      if path.relative_to(folder).as_posix() not in files:
        path.unlink()
    for name in folders:
      with contextlib.suppress(OSError):  # It has files.
        os.rmdir(os.path.join(parent, name))


def fetch(bucket: Bucket, files: Files, folder: pathlib.Path) -> None:
  """Copies the files of a manifest that are missing in a folder, or differ.

  Raises:
    CorruptError: an object does not match its digest.
    FileNotFoundError, OSError: an object is missing or cannot be read, or the
      folder cannot be written.
  """
  run_all(
    functools.partial(_copy, bucket, entry, folder / path)
    for path, entry in files.items()
  )


def _copy(bucket: Bucket, entry: dict[str, Any], path: pathlib.Path) -> None:
  if path.exists() and file_sha256(path) == entry['sha256']:
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f'{path.name}.download')
  for _ in range(2):  # An answer may have been damaged on its way.
    partial.unlink(missing_ok=True)
    if bucket.info(entry['object'])[0] != entry['size']:
      break
    bucket.download(entry['object'], partial, entry['size'])
    if file_sha256(partial) == entry['sha256']:
      os.replace(partial, path)
      return
  partial.unlink(missing_ok=True)
  raise CorruptError(f'workdir={bucket.name}/{entry["object"]} is corrupt')


def file_sha256(path: pathlib.Path) -> str:
  """Returns the SHA-256 digest of a file."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def local_folder(name: str) -> pathlib.Path:
  """Returns the folder in the cache for the copies of a run in a bucket."""
  name = name.rstrip('/')
  digest = hashlib.sha256(name.encode()).hexdigest()[:12]
  readable = re.sub(r'[^\w.=,-]+', '_', name)[-100:]
  return cache_dir() / 'runs' / f'{readable}-{digest}'


def copy_to_read(name: str) -> pathlib.Path:
  """Copies a run in a bucket to the cache, without what only training needs.

  Of the checkpoints, it has the best one and the metadata of the others.

  Args:
    name: the name of the run, such as `gs://bucket/runs/mine`.

  Raises:
    FileNotFoundError: there is no run of this name.
    ValueError, OSError: it is corrupt or cannot be read.
  """
  bucket = Bucket(name, 'workdir')
  copies = local_folder(name) / 'read'
  copies.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(copies.with_suffix('.lock')):
    for _ in range(5):  # A run in training may replace its objects meanwhile.
      names = keys(bucket)
      if not names:
        raise FileNotFoundError(
          f'workdir={name} is not a run: it has no manifest'
        )
      with contextlib.suppress(FileNotFoundError):
        return _copy_of(bucket, names[0], copies)
  raise OSError(f'workdir={name} changes while it is read; try again')


def _copy_of(bucket: Bucket, name: str, copies: pathlib.Path) -> pathlib.Path:
  """Returns the copy of a manifest's files; of older ones, one is kept.

  A process may still read it.
  """
  files = read(bucket, name)
  # A run that is made anew has the names of manifests of the one before.
  folder = copies / f'{pathlib.PurePath(name).stem}-{_sha256(files)[:12]}'
  fetch(bucket, {x: files[x] for x in files if '/state/' not in x}, folder)
  best = f'checkpoints/{_best_step(folder)}/'
  fetch(bucket, {x: files[x] for x in files if x.startswith(best)}, folder)
  os.utime(folder)
  by_age = sorted(copies.iterdir(), key=lambda path: path.stat().st_mtime)
  for older in by_age[:-2]:
    shutil.rmtree(older, ignore_errors=True)
  return folder


def _best_step(folder: pathlib.Path) -> int | None:
  """Returns the best step, by the metadata of the newest checkpoint."""
  paths = (folder / 'checkpoints').glob('*/metadata/metadata')
  steps = sorted((int(path.parts[-3]), path) for path in paths)
  if not steps:
    return None
  content = json.loads(steps[-1][1].read_bytes())['content']
  best = content['progress']['best']
  return best and best['step']


def _sha256(files: Files) -> str:
  return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
