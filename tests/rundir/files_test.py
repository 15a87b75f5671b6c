"""A run's directory: the version in its configuration."""

import dataclasses
import json
import logging

import numpy as np
import pytest

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.text import VocabularyTokenizer
from bigru_jax.rundir import files as run_files

CONFIG = Config(hidden_size=16, learning_rate=0.5)


@pytest.fixture
def data():
  return Dataset(
    splits={},
    labels=['no', 'yes'],
    label_weights=np.ones(2, np.float32),
    tokenizer=VocabularyTokenizer('words', ['<pad>', '<unk>']),
    seen=2,
    vectors={},
    notes=[],
    identity={'train': 'a digest'},
  )


def _write(workdir, **fields):
  run_files.write_json(
    workdir / 'config.json', {**dataclasses.asdict(CONFIG), **fields}
  )


def test_a_configuration_names_the_version_that_wrote_it(data, tmp_path):
  run_files.create_or_check(tmp_path, CONFIG, data)
  values = json.loads((tmp_path / 'config.json').read_text())
  assert values.pop('version') == bigru_jax.__version__
  assert values == dataclasses.asdict(CONFIG)
  assert run_files.read_config(tmp_path) == CONFIG


@pytest.mark.parametrize('version', [{}, {'version': '0.9.1'}])
def test_a_run_of_another_version_resumes(version, data, tmp_path, caplog):
  caplog.set_level(logging.INFO)
  run_files.create_or_check(tmp_path, CONFIG, data)
  _write(tmp_path, **version)
  before = (tmp_path / 'config.json').read_bytes()
  run_files.check_config(tmp_path, CONFIG)
  run_files.create_or_check(tmp_path, CONFIG, data)
  # Nothing changed, so what it measured stands.
  assert (tmp_path / 'config.json').read_bytes() == before
  assert not caplog.text
  longer = dataclasses.replace(CONFIG, epochs=99)
  run_files.create_or_check(tmp_path, longer, data)
  assert run_files.read_config(tmp_path) == longer
  written = json.loads((tmp_path / 'config.json').read_text())['version']
  assert written == bigru_jax.__version__


def test_a_run_of_a_newer_version_is_named_as_one(tmp_path):
  ours = bigru_jax.__version__
  origin = rf'\(written by bigru_jax 9.0; this is {ours}\)$'
  _write(tmp_path, version='9.0', new_field=1, another=2)
  message = f'config.json holds .* known here: another, new_field {origin}'
  with pytest.raises(ValueError, match=message):
    run_files.read_config(tmp_path)
  _write(tmp_path, version='9.0', attention='new')
  with pytest.raises(ValueError, match=f"attention='new'.*{origin}"):
    run_files.read_config(tmp_path)
  _write(tmp_path, new_field=1)
  with pytest.raises(ValueError, match='known here: new_field$'):
    run_files.read_config(tmp_path)
  run_files.write_json(tmp_path / 'config.json', [])
  with pytest.raises(ValueError, match='config.json holds no configuration$'):
    run_files.read_config(tmp_path)
