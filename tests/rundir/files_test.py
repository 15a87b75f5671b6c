"""A run's directory: the version in its configuration."""

import dataclasses
import errno
import json
import logging
import math
import os

import pytest

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.data.tokenizer import VocabularyTokenizer
from bigru_jax.rundir import directory, files as run_files, lock, same_run

CONFIG = Config(hidden_size=16, learning_rate=0.5)


TOKENIZER = VocabularyTokenizer('words', ['<pad>', '<unk>'])


def _create_or_check(workdir, config):
  same_run.create_or_check(
    workdir, config, ['no', 'yes'], TOKENIZER, {'train': 'a digest'}
  )


def _write(workdir, **fields):
  run_files.write_json(
    workdir / 'config.json', {**dataclasses.asdict(CONFIG), **fields}
  )


def test_a_configuration_names_the_version_that_wrote_it(tmp_path):
  _create_or_check(tmp_path, CONFIG)
  values = json.loads((tmp_path / 'config.json').read_text())
  assert values.pop('version') == bigru_jax.__version__
  assert values == dataclasses.asdict(CONFIG)
  assert run_files.read_config(tmp_path) == CONFIG


@pytest.mark.parametrize(
  'before, now, message',
  [
    ({'train': 'a.csv'}, {'dataset': 'imdb'}, r"in train \('a.csv' there\);"),
    ({'train': 'a.csv'}, {}, r"in train \('a.csv' there\);"),
    ({'dataset': 'imdb'}, {'train': 'a.csv'}, r"in dataset \('imdb' there\);"),
    ({'train': 'a.csv'}, {'train': 'b'}, r"in train \('a.csv' there\);"),
  ],
)
def test_another_run_is_named_by_its_data(before, now, message, tmp_path):
  config = Config()
  _create_or_check(tmp_path, dataclasses.replace(config, **before))
  with pytest.raises(ValueError, match=message):
    same_run.check_config(tmp_path, dataclasses.replace(config, **now))


@pytest.mark.parametrize('version', [{}, {'version': '0.9.1'}])
def test_a_run_of_another_version_resumes(version, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  _create_or_check(tmp_path, CONFIG)
  _write(tmp_path, **version)
  before = (tmp_path / 'config.json').read_bytes()
  same_run.check_config(tmp_path, CONFIG)
  _create_or_check(tmp_path, CONFIG)
  # Nothing changed, so its measurements are still valid.
  assert (tmp_path / 'config.json').read_bytes() == before
  writer = version.get('version', '0.2.0')  # Its first runs do not name it.
  assert f'was written by bigru_jax {writer}; this is ' in caplog.text
  longer = dataclasses.replace(CONFIG, epochs=99)
  _create_or_check(tmp_path, longer)
  same_run.record_changes(tmp_path, longer)
  assert run_files.read_config(tmp_path) == longer
  written = json.loads((tmp_path / 'config.json').read_text())['version']
  assert written == bigru_jax.__version__


def test_what_changes_in_a_run_that_resumes_is_logged(tmp_path, caplog):
  caplog.set_level(logging.INFO)
  _create_or_check(tmp_path, CONFIG)
  longer = dataclasses.replace(CONFIG, epochs=99, patience=7)
  same_run.record_changes(tmp_path, longer)
  assert caplog.messages == [
    f'the run resumes with epochs=99 (was {CONFIG.epochs}), '
    f'patience=7 (was {CONFIG.patience})'
  ]


def test_a_file_is_not_a_run_directory(tmp_path):
  path = tmp_path / 't.txt'
  path.touch()
  message = 't.txt is a file; name a run directory$'
  with pytest.raises(ValueError, match=f'^workdir={tmp_path}/{message}'):
    run_files.read_config(path)
  message = f'^workdir={tmp_path}/{message}'
  with pytest.raises(ValueError, match=message), lock.locked(path):
    pass
  below = path / 'runs' / 'a'
  message = f'^workdir={below}: {path} is a file$'
  with pytest.raises(ValueError, match=message):
    run_files.read_config(below)
  with pytest.raises(ValueError, match=message), lock.locked(below):
    pass
  path.unlink()
  path.symlink_to('/not/mounted')
  message = f'^output={below}: {path} is a link to /not/mounted, which is'
  with (
    pytest.raises(ValueError, match=message),
    lock.locked(below, 'output'),
  ):
    pass


def test_a_directory_that_cannot_be_written_is_named(tmp_path, monkeypatch):
  def fail(path, *args, **kwargs):
    raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

  for owner, name, path in (
    (os, 'mkdir', 'run'),
    (os, 'open', 'run/lock'),
  ):
    with (
      monkeypatch.context() as patch,
      pytest.raises(PermissionError) as info,
    ):
      patch.setattr(owner, name, fail)
      with lock.locked(tmp_path / 'run'):
        pass
    assert str(info.value) == (
      f'workdir={tmp_path}/run: cannot write {tmp_path}/{path}: '
      'Permission denied'
    )


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_gives_one_line_that_names_the_run(tmp_path, number):
  reason = os.strerror(number)
  message = f'^workdir={tmp_path}: the disk is full .{reason}.; the last good'
  with (
    pytest.raises(OSError, match=message),
    directory.open_run(tmp_path, CONFIG),
  ):
    raise OSError(number, reason)  # As of writing, without a name.
  with (
    pytest.raises(OSError, match='/elsewhere'),
    directory.open_run(tmp_path, CONFIG),
  ):
    raise OSError(number, reason, '/elsewhere')


def test_a_run_of_a_newer_version_is_named_as_one(tmp_path):
  ours = bigru_jax.__version__
  origin = (
    rf'\(written by bigru_jax 9.0; this is {ours}\): use that version, or '
    'train again$'
  )
  _write(tmp_path, version='9.0', new_field=1, another=2)
  message = (
    f'config.json has fields .* unknown here: another, new_field {origin}'
  )
  with pytest.raises(ValueError, match=message):
    run_files.read_config(tmp_path)
  _write(tmp_path, version='9.0', pooling='new')
  with pytest.raises(ValueError, match=f"pooling='new'.*{origin}"):
    run_files.read_config(tmp_path)
  _write(tmp_path, new_field=1)
  with pytest.raises(ValueError, match='new_field .written by bigru_jax 0.2'):
    run_files.read_config(tmp_path)
  _write(tmp_path, max_bad_steps=1)
  with pytest.raises(
    ValueError, match=r'bad_steps \(written by bigru_jax 0.1;'
  ):
    run_files.read_config(tmp_path)
  run_files.write_json(tmp_path / 'config.json', [])
  with pytest.raises(
    ValueError, match='config.json contains no configuration$'
  ):
    run_files.read_config(tmp_path)


def test_numbers_that_are_not_finite_are_null_in_lists_as_well(tmp_path):
  path = tmp_path / 'a.json'
  run_files.write_json(path, {'bins': [[1.5, math.nan], [math.inf]]})
  # Python's own reader accepts NaN and Infinity, which are not JSON.
  assert 'NaN' not in path.read_text() and 'Infinity' not in path.read_text()
  assert json.loads(path.read_text()) == {'bins': [[1.5, None], [None]]}


def test_an_undefined_metric_is_null_and_gives_no_warning(tmp_path, caplog):
  run = directory.RunDirectory(tmp_path, CONFIG)
  line = {'step': 3, 'epoch': 1, 'split': 'test', 'loss': 0.5}
  run.log({**line, 'roc_auc': math.nan})
  run.close()
  (logged,) = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert json.loads(logged) == {**line, 'roc_auc': None}
  assert not caplog.records
