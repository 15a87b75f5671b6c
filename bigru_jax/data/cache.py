"""Encoded data on disk: much text is tokenized once, and then mapped.

Later runs, the seeds of a sweep and the other processes of a machine map the
same arrays, so that the system holds them in memory once. An entry is named by
a digest of all that decides it, and is written completely or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import pathlib
import shutil
from typing import Any
import unicodedata

import numpy as np
import regex

from bigru_jax.data import tabular_files, text
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.config import DataConfig
from bigru_jax.data.glove import fetch
from bigru_jax.data.open_files import file_sha256
from bigru_jax.data.prepare import Dataset, prepare
from bigru_jax.data.sources import Corpus
from bigru_jax.data.splits import NAMES, Labels, LabelSets
from bigru_jax.runtime.cache import cache_dir

_log = logging.getLogger(__name__)

# Bytes of source files; fewer are encoded in about a second.
LEAST_BYTES = 2**23
# What of a configuration decides the encoded data.
FIELDS = (*(x.name for x in dataclasses.fields(DataConfig)), 'entity_attention')


def prepare_shared(config: DataConfig, corpus: Corpus | None = None) -> Dataset:
  """Like `prepare`, from the cache where the files are large.

  A corpus in memory, pipes and TFDS are not cached. A file is known by its
  path, size and time of modification.

  Args:
    config: the configuration.
    corpus: a data set in memory, in place of the configuration's.

  Raises:
    FileNotFoundError, ValueError: see `prepare`.
  """
  key = None if corpus is not None else _key(config)
  if key is None:
    return prepare(config, corpus)
  folder = cache_dir() / 'encoded' / key
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(_locked(folder))
    except OSError as error:
      _log.warning('encoded texts are not cached: %s', error)
      return prepare(config)
    try:
      with contextlib.suppress(FileNotFoundError):
        return _load_or_remove(folder, config)
    except OSError as error:
      _log.warning('the cache is not used: %s', error)
      return prepare(config)
    data = prepare(config)
    if _key(config) != key:  # A file has changed while it was read.
      return data
    try:
      _save(folder, data)
      return _load_or_remove(folder, config)
    except OSError as error:
      _log.warning('encoded texts are not cached: %s', error)
      return data


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  """Waits until no other process makes this entry."""
  folder.parent.mkdir(parents=True, exist_ok=True)
  with folder.with_suffix('.lock').open('a') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _key(config: DataConfig) -> str | None:
  """A digest of what decides the encoded data; None where it is not cached."""
  try:
    paths = _sources(config)
    sources = [_identity(path) for path in paths]
    if sum(size for _, size, _ in sources) < LEAST_BYTES:
      return None
    others = [config.tokenizer] if config.tokenizer.endswith('.json') else []
    if config.embeddings:
      others.append(fetch(config.embeddings))
    decides = {
      'fields': {name: getattr(config, name) for name in FIELDS},
      'files': sources + [_identity(path) for path in others],
      'code': [
        file_sha256(path, 'code')
        for path in sorted(pathlib.Path(__file__).parent.rglob('*.py'))
      ],
      'unicode': [unicodedata.unidata_version, regex.__version__],
    }
  except (OSError, ValueError):
    return None  # `prepare` says what is wrong, or reads a pipe.
  return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def _sources(config: DataConfig) -> list[str]:
  """The files that a configuration reads; none where they are not known."""
  if config.train:
    given = {name: getattr(config, name) for name in NAMES}
    return [
      path
      for name, value in given.items()
      if value
      for path in tabular_files.find(value, name)
    ]
  if not config.data_dir or config.dataset.startswith('tfds:'):
    return []
  return sorted(
    entry.path for entry in os.scandir(config.data_dir) if entry.is_file()
  )


def _identity(path: str) -> tuple[str, int, int]:
  if not os.path.isfile(path):
    raise ValueError(f'{path} is no file')
  found = os.stat(path)
  return os.path.abspath(path), found.st_size, found.st_mtime_ns


def _save(folder: pathlib.Path, data: Dataset) -> None:
  """Writes an entry, completely or not at all."""
  partial = folder.with_suffix('.partial')
  shutil.rmtree(partial, ignore_errors=True)
  partial.mkdir()
  saved: list[np.ndarray] = []

  def save_array(array):
    for i, other in enumerate(saved):
      if array is other:  # Splits share arrays.
        return f'{i}.npy'
    saved.append(array)
    name = f'{len(saved) - 1}.npy'
    np.save(partial / name, array, allow_pickle=False)
    return name

  def save_encoded(encoded):
    return encoded and {
      field.name: save_array(getattr(encoded, field.name))
      for field in dataclasses.fields(encoded)
    }

  def save_split(split):
    sources: dict[str, int] = {}
    places = [sources.setdefault(x, len(sources)) for x in split.sources]
    several = isinstance(split.labels, LabelSets)
    return {
      'encoded': save_encoded(split.encoded),
      'labels': None if several else save_array(split.labels),
      'label_sets': save_encoded(split.labels.ids) if several else None,
      'weights': save_array(split.weights),
      'buckets': split.buckets,
      'rows': save_array(split.rows),
      'sources': list(sources),
      'places': save_array(np.array(places, np.int32)),
      'markers': list(split.markers),
      'sentences': save_encoded(split.sentences),
      'sentence_length': split.sentence_length,
    }

  content = {
    'name': data.name,
    'splits': {name: save_split(split) for name, split in data.splits.items()},
    'labels': data.labels,
    'vocabulary': data.tokenizer.vocabulary,
    'seen': data.seen,
    'words': list(data.vectors),
    'vectors': save_array(np.array(list(data.vectors.values()), np.float32)),
    'notes': data.notes,
    'identity': data.identity,
  }
  written = {
    'content': content,
    'sha256': {
      path.name: file_sha256(path, 'cache') for path in partial.iterdir()
    },
  }
  path = partial / 'entry.json'
  path.write_text(json.dumps([_sha256(written), written]), encoding='utf-8')
  os.replace(partial, folder)


def _load_or_remove(folder: pathlib.Path, config: DataConfig) -> Dataset:
  """Maps an entry.

  Raises:
    FileNotFoundError: there is none, or it was corrupt and is removed.
    OSError: it cannot be read; it stays as it is.
  """
  names = {path.name for path in folder.iterdir()}
  try:
    return _load(folder, names, config)
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    _log.warning('%s is corrupt, and is made anew: %s', folder, error)
    shutil.rmtree(folder)
    raise FileNotFoundError(folder) from error


def _load(folder: pathlib.Path, names: set[str], config: DataConfig) -> Dataset:
  path = folder / 'entry.json'
  if path.name not in names:
    raise ValueError(f'{path.name} is missing')
  sha256, written = json.loads(path.read_text(encoding='utf-8'))
  if _sha256(written) != sha256:
    raise ValueError(f'{path.name} differs from its checksum')
  content = written['content']
  arrays = {}
  for name, checksum in written['sha256'].items():
    if name not in names:
      raise ValueError(f'{name} is missing')
    with (folder / name).open('rb') as file:
      sha256 = hashlib.file_digest(file, 'sha256').hexdigest()
    if sha256 != checksum:
      raise ValueError(f'{name} differs from its checksum')
    mapped = np.load(folder / name, mmap_mode='r', allow_pickle=False)
    arrays[name] = np.asarray(mapped)

  def load_encoded(names):
    return names and text.Encoded(**{k: arrays[x] for k, x in names.items()})

  def load_split(of_split):
    if of_split['label_sets']:
      labels: Labels = LabelSets(load_encoded(of_split['label_sets']))
    else:
      labels = arrays[of_split['labels']]
    return EncodedSplit(
      load_encoded(of_split['encoded']),
      labels,
      arrays[of_split['weights']],
      of_split['buckets'],
      len(content['labels']),
      arrays[of_split['rows']],
      np.array(of_split['sources'], object)[arrays[of_split['places']]],
      tuple(of_split['markers']),
      load_encoded(of_split['sentences']),
      of_split['sentence_length'],
    )

  vocabulary = content['vocabulary']
  tokenizer: Any
  if vocabulary is None:
    tokenizer = text.JsonTokenizer(config.tokenizer)
  else:
    tokenizer = text.VocabularyTokenizer(config.tokenizer, vocabulary)
  return Dataset(
    name=content['name'],
    splits={name: load_split(x) for name, x in content['splits'].items()},
    labels=content['labels'],
    label_weights=np.ones(len(content['labels']), np.float32),
    tokenizer=tokenizer,
    seen=content['seen'],
    vectors=dict(zip(content['words'], arrays[content['vectors']])),
    notes=content['notes'],
    identity=content['identity'],
  )


def _sha256(value: Any) -> str:
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()
