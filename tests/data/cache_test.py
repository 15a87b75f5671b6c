"""The cache of encoded data, which never changes the data."""

import builtins
import dataclasses
import errno
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data import cache
from bigru_jax.data.prepare import prepare


@pytest.fixture
def config(tmp_path, monkeypatch):
  """A configuration of a file that is cached although it is small."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.setattr(cache, 'LEAST_BYTES', 1)
  rows = [
    f'film {i} is {"good" if i % 3 else "bad"},{i % 3},{i % 2},{i % 5 / 4}'
    for i in range(90)
  ]
  (tmp_path / 'x.csv').write_text('\n'.join(['text,label,even,soft', *rows]))
  return Config(train=str(tmp_path / 'x.csv'))


def _vectors(tmp_path):
  path = tmp_path / 'vectors.txt'
  path.write_text('film 1 2 3\ngood 4 5 6\n7 7 8 9\n')
  return {'embeddings': str(path), 'embedding_size': 3}


def _texts(tmp_path):
  path = tmp_path / 'texts.csv'
  path.write_text('text\na film without a label\nanother film\n')
  return {'unlabelled': str(path), 'entropy_weight': 1.0}


def _flat(value):
  """A data set as a flat list of plain values and arrays."""
  if dataclasses.is_dataclass(value):
    value = vars(value)
  if isinstance(value, dict):
    return [x for pair in value.items() for part in pair for x in _flat(part)]
  if isinstance(value, list | tuple):
    return [x for part in value for x in _flat(part)]
  if hasattr(value, 'vocabulary'):
    tokens = value.encode('@ann sees www.x.org')[0]
    return [type(value), value.vocabulary, *tokens]
  return [value]


def _assert_equal(data, expected):
  ours, others = _flat(data), _flat(expected)
  assert len(ours) == len(others)
  for x, y in zip(ours, others):
    if isinstance(y, np.ndarray):
      assert x.dtype == y.dtype
      np.testing.assert_array_equal(x, y)
    else:
      assert x == y


def _forbid(monkeypatch):
  """Makes every later reading of texts fail."""

  def fail(*args):
    raise AssertionError('the texts are read')

  monkeypatch.setattr(cache, 'prepare', fail)


@pytest.mark.parametrize(
  'fields',
  [
    {},
    {'model': 'hierarchical'},
    {'task': 'multi_label'},
    {'folds': 3},
    {
      'task': 'multi_label',
      'label_column': 'even,soft',
      'weight_column': 'label',
    },
    {'text_column': 'even,text', 'id_column': 'soft'},
    {'replace_urls_and_users': True},
    _vectors,
    _texts,
  ],
)
def test_a_cached_corpus_equals_prepares_and_is_read_once(
  config, tmp_path, monkeypatch, fields
):
  fields = fields(tmp_path) if callable(fields) else fields
  config = dataclasses.replace(config, **fields)
  expected = prepare(config)
  _assert_equal(cache.prepare_shared(config), expected)
  _forbid(monkeypatch)
  other_seed = dataclasses.replace(config, seed=7, hidden_size=3)
  data = cache.prepare_shared(other_seed)
  _assert_equal(data, expected)
  tokens = data.splits['train'].table['tokens'].values
  assert not tokens.flags.writeable  # It is mapped.
  assert tokens is data.splits['test'].table['tokens'].values


def test_another_length_or_another_file_is_encoded_anew(config, tmp_path):
  cache.prepare_shared(config)
  shorter = dataclasses.replace(config, max_length=2)
  _assert_equal(cache.prepare_shared(shorter), prepare(shorter))
  path = tmp_path / 'x.csv'
  before = path.stat()
  path.write_text(path.read_text().replace('bad', 'odd'))  # The same size.
  os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
  data = cache.prepare_shared(config)
  assert 'odd' in data.tokenizer.vocabulary
  _assert_equal(data, prepare(config))


def test_every_field_that_prepare_reads_is_in_the_key(config, tmp_path):
  """A configuration that records which of its fields are read."""

  class Recorder:
    def __getattr__(self, name):
      read.add(name)
      return getattr(given, name)

  read = set()
  for fields in (
    {},
    {'model': 'hierarchical', 'folds': 2, 'task': 'multi_label'},
    _vectors(tmp_path),
    _texts(tmp_path),
  ):
    given = dataclasses.replace(config, **fields)
    prepare(Recorder())
  # The properties that fields make.
  assert {'tokenizer', 'limits', 'num_texts', 'vector_sets'} <= read
  assert read - {'limits', 'num_texts', 'vector_sets'} <= set(cache.FIELDS)


@pytest.mark.parametrize('damage', ['byte', 'end', 'missing', 'entry', 'file'])
def test_a_corrupt_entry_is_made_anew(config, tmp_path, caplog, damage):
  expected = prepare(config)
  cache.prepare_shared(config)
  (entry,) = (tmp_path / 'cache' / 'bigru_jax' / 'encoded').glob('*[!k]')
  array = entry / '0.npy'
  data = bytearray(array.read_bytes())
  if damage == 'byte':
    data[-1] ^= 1
    array.write_bytes(data)
  elif damage == 'end':
    array.write_bytes(data[:-1])
  elif damage == 'missing':
    array.unlink()
  elif damage == 'entry':
    (entry / 'entry.json').write_text('{"content": 1}')
  else:
    array.write_bytes(b'another program wrote this')
  _assert_equal(cache.prepare_shared(config), expected)
  assert 'is corrupt and is made again' in caplog.text
  caplog.clear()
  _assert_equal(cache.prepare_shared(config), expected)
  assert not caplog.text


@pytest.mark.parametrize('number', [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize('name', ['entry.json', '0.npy'])
def test_an_entry_that_cannot_be_read_stays(
  config, tmp_path, monkeypatch, caplog, name, number
):
  expected = prepare(config)
  cache.prepare_shared(config)
  (entry,) = (tmp_path / 'cache' / 'bigru_jax' / 'encoded').glob('*[!k]')
  before = {path.name: path.read_bytes() for path in entry.iterdir()}
  open_file = io.open

  def fail(path, *args, **kwargs):
    if str(path) == str(entry / name):
      raise OSError(number, os.strerror(number), str(path))
    return open_file(path, *args, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(io, 'open', fail)
    patch.setattr(builtins, 'open', fail)
    _assert_equal(cache.prepare_shared(config), expected)
  assert 'the cache is not used' in caplog.text
  assert {path.name: path.read_bytes() for path in entry.iterdir()} == before
  _forbid(monkeypatch)
  _assert_equal(cache.prepare_shared(config), expected)


def test_without_a_cache_folder_texts_are_read_as_usual(
  config, tmp_path, monkeypatch
):
  (tmp_path / 'a file').write_text('')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'a file'))
  _assert_equal(cache.prepare_shared(config), prepare(config))


def test_small_files_and_a_corpus_in_memory_are_not_cached(
  config, tmp_path, monkeypatch
):
  texts = [f'film {i}' for i in range(40)]
  cache.prepare_shared(config, {'train': (texts, ['0', '1'] * 20)})
  monkeypatch.setattr(cache, 'LEAST_BYTES', 2**20)
  cache.prepare_shared(config)
  assert not (tmp_path / 'cache').exists()


def test_only_one_process_reads_the_texts(config, tmp_path):
  code = f"""
import sys
from bigru_jax.config import Config
from bigru_jax.data import cache
prepare = cache.prepare
def counted(config, *options):
  print('read', flush=True)
  return prepare(config, *options)
cache.prepare, cache.LEAST_BYTES = counted, 1
print(len(cache.prepare_shared(Config(train={config.train!r})).splits['train']))
"""
  started = [
    subprocess.Popen(
      [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True
    )
    for _ in range(3)
  ]
  outputs = [process.communicate()[0].split() for process in started]
  assert sorted(outputs, key=len) == [['72'], ['72'], ['read', '72']]
