"""Caches encoded data on disk, so that large data are tokenized only once.

Later runs, the seeds of a sweep and the other processes of a machine map the
same arrays, so that the system holds them in memory once. An entry is named by
a digest of all its inputs, and is written completely or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import pathlib
import shutil
from typing import Any
import unicodedata

import filelock
import numpy as np
import regex

from bigru_jax.data import tabular_files
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.config import DataConfig
from bigru_jax.data.glove import fetch, names_of
from bigru_jax.data.open_files import PathName, file_sha256
from bigru_jax.data.prepare import Dataset, prepare
from bigru_jax.data.ragged import Ragged
from bigru_jax.data.run_vectors import RunVectors
from bigru_jax.data.sources import Corpus
from bigru_jax.data.splits import NAMES, UNLABELLED, Table
from bigru_jax.data.texts import prepare_texts
from bigru_jax.data.tokenizer import (
  JsonTokenizer,
  Tokenizer,
  VocabularyTokenizer,
)
from bigru_jax.data.unlabelled import UnlabelledTexts
from bigru_jax.runtime.atomic import replacing
from bigru_jax.runtime.cache import cache_dir

_log = logging.getLogger(__name__)

# Bytes of source files; smaller ones are encoded in about a second.
LEAST_BYTES = 2**23
# The fields of a configuration that decide the encoded data.
FIELDS = (*(x.name for x in dataclasses.fields(DataConfig)), 'entity_pooling')


def prepare_shared(
  config: DataConfig,
  corpus: Corpus | None = None,
  of_run: RunVectors | None = None,
) -> Dataset:
  """Prepares data by `prepare` or `prepare_texts`, and caches large files.

  A corpus in memory, pipes and TFDS are not cached. A file is identified by its
  path, size and modification time.

  Args:
    config, corpus, of_run: see `prepare`.

  Raises:
    FileNotFoundError, ValueError: see `prepare`.
  """
  key = None if corpus is not None else _key(config, of_run)
  if key is None:
    return _prepare(config, corpus, of_run)
  folder = cache_dir() / 'encoded' / key
  with contextlib.ExitStack() as stack:
    try:
      folder.parent.mkdir(parents=True, exist_ok=True)
      stack.enter_context(filelock.FileLock(folder.with_suffix('.lock')))
    except (OSError, NotImplementedError) as error:  # Some disks have no locks.
      _log.warning('encoded texts are not cached: %s', error)
      return _prepare(config, None, of_run)
    try:
      data = _load_or_remove(folder, config)
    except OSError as error:
      _log.warning('the cache is not used: %s', error)
      return _prepare(config, None, of_run)
    if data:
      return data
    data = _prepare(config, None, of_run)
    if _key(config, of_run) != key:  # A file was changed while it was read.
      return data
    try:
      _save(folder, data)
      return _load_or_remove(folder, config) or data
    except OSError as error:
      _log.warning('encoded texts are not cached: %s', error)
      return data


def _prepare(
  config: DataConfig, corpus: Corpus | None, of_run: RunVectors | None
) -> Dataset:
  if config.task == 'language_model':
    return prepare_texts(config, corpus)
  return prepare(config, corpus, of_run)


def _key(config: DataConfig, of_run: RunVectors | None) -> str | None:
  """Returns the digest that names an entry; None if data are not cached."""
  try:
    sources = [_identity(path) for path in _sources(config)]
    if sum(size for _, size, _ in sources) < LEAST_BYTES:
      return None
    if config.tokenizer.endswith('.json'):
      sources.append(_identity(config.tokenizer))
    for name in names_of(config.embeddings):
      sources.append(_identity(fetch(name)))
    decides = {
      'fields': {name: getattr(config, name) for name in FIELDS},
      'files': sources,
      'init_from': of_run and of_run.sha256,
      'code': [
        file_sha256(path, 'code')
        for path in sorted(pathlib.Path(__file__).parent.rglob('*.py'))
      ],
      'unicode': [unicodedata.unidata_version, regex.__version__],
    }
  except (OSError, ValueError):
    return None  # `prepare` reports the error, or reads a pipe.
  return _sha256(json.dumps(decides))


def _sources(config: DataConfig) -> list[PathName]:
  """Returns the files that a configuration reads; none if they are unknown."""
  own_files = [
    path
    for name in (*(NAMES if config.train else ()), UNLABELLED)
    if getattr(config, name)
    for path in tabular_files.expand_paths(getattr(config, name), name)
  ]
  if config.train:
    return own_files
  if not config.data_dir or config.dataset.startswith('tfds:'):
    return []
  files = [x.path for x in os.scandir(config.data_dir) if x.is_file()]
  return sorted(files) + own_files


def _identity(path: PathName) -> tuple[str, int, int]:
  if not os.path.isfile(path):
    raise ValueError(f'{path} is not a file')
  status = os.stat(path)
  return os.path.abspath(path), status.st_size, status.st_mtime_ns


def _save(folder: pathlib.Path, data: Dataset) -> None:
  """Writes an entry, completely or not at all."""
  # Splits share arrays. All stay referenced, so that their ids are unique.
  saved: dict[int, tuple[np.ndarray, dict[str, str]]] = {}

  def save(value: Any) -> dict[str, Any]:
    if not isinstance(value, np.ndarray):
      return {type(value).__name__: vars(value)}
    if value.dtype == object:
      ids: dict[str, int] = {}
      codes = [ids.setdefault(x, len(ids)) for x in value]
      return {'strings': list(ids), 'codes': np.array(codes, np.int32)}
    if id(value) not in saved:
      path = partial / f'{len(saved)}.npy'
      np.save(path, value, allow_pickle=False)
      checksum = file_sha256(path, 'cache')
      saved[id(value)] = value, {'array': path.name, 'sha256': checksum}
    return saved[id(value)][1]

  with replacing(folder) as partial:
    partial.mkdir()
    entry = vars(data) | {
      'tokenizer': data.tokenizer.vocabulary,
      'vectors': [
        list(data.vectors),
        np.array(list(data.vectors.values()), np.float32),
      ],
    }
    content = json.dumps(entry, default=save)
    text = f'{_sha256(content)}\n{content}'
    (partial / 'entry.json').write_text(text, 'utf-8')


def _load_or_remove(folder: pathlib.Path, config: DataConfig) -> Dataset | None:
  """Maps an entry; returns None if it is missing, or corrupt and removed.

  Raises:
    OSError: the entry cannot be read; it is not removed.
  """
  if not folder.exists():
    return None
  try:
    return _load(folder, config)
  except (
    FileNotFoundError,
    ValueError,
    KeyError,
    TypeError,
    RecursionError,
  ) as error:
    _log.warning('%s is corrupt and is made again: %s', folder, error)
    shutil.rmtree(folder)
    return None


def _load(folder: pathlib.Path, config: DataConfig) -> Dataset:
  checksum, _, content = (
    (folder / 'entry.json').read_text('utf-8').partition('\n')
  )
  if _sha256(content) != checksum:
    raise ValueError('entry.json differs from its checksum')

  @functools.cache
  def mapped(name: str, sha256: str) -> np.ndarray:
    if file_sha256(folder / name, 'cache') != sha256:
      raise ValueError(f'{name} differs from its checksum')
    array = np.load(folder / name, mmap_mode='r', allow_pickle=False)
    return np.asarray(array)

  def load(value: dict[str, Any]) -> Any:
    if value.keys() == {'array', 'sha256'}:
      return mapped(value['array'], value['sha256'])
    if value.keys() == {'strings', 'codes'}:
      return np.array(value['strings'], object)[value['codes']]
    for kind in (Ragged, Table, EncodedSplit, UnlabelledTexts):
      if value.keys() == {kind.__name__}:
        return kind(**value[kind.__name__])
    return value

  entry = json.loads(content, object_hook=load)
  words, vectors = entry['vectors']
  if entry['tokenizer'] is None:
    tokenizer: Tokenizer = JsonTokenizer(config.tokenizer)
  else:
    tokenizer = VocabularyTokenizer(
      config.tokenizer, entry['tokenizer'], config.replace_urls_and_users
    )
  return Dataset(
    **entry | {'tokenizer': tokenizer, 'vectors': dict(zip(words, vectors))}
  )


def _sha256(text: str) -> str:
  return hashlib.sha256(text.encode()).hexdigest()
