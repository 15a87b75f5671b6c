"""Shared folders of models: they are written, loaded and found on the hub."""

import dataclasses
import json
import os
import sys

import jax
import numpy as np
import pytest

import bigru_jax
from bigru_jax.interop.safetensors import save
from bigru_jax.rundir import files as run_files, published

numpy = pytest.importorskip('safetensors.numpy')
TEXTS = ['a b c', '', 'e a strange d']


@pytest.fixture
def shared(make_run, tmp_path):
  """A folder of a small model."""
  save(make_run({'loss': 'sigmoid'}, ['no', 'yes']), tmp_path / 'shared')
  return tmp_path / 'shared'


def test_a_model_is_loaded_bit_for_bit(run, tmp_path):
  save(run, tmp_path / 'shared')
  loaded = bigru_jax.load(tmp_path / 'shared')
  jax.tree.map(np.testing.assert_array_equal, loaded.params, run.params)
  assert loaded.config == run.config and loaded.labels == run.labels
  assert loaded.calibration == run.calibration
  assert loaded.tokenizer.vocabulary == run.tokenizer.vocabulary
  assert loaded.model == run.model
  written = json.loads((tmp_path / 'shared' / 'config.json').read_text())
  assert written['version'] == bigru_jax.__version__
  # They are on the devices, not to be carried there with every batch.
  for array in jax.tree.leaves(loaded.params):
    assert isinstance(array, jax.Array) and array.committed


@pytest.mark.parametrize('fields', [{'loss': 'sigmoid'}, {'dtype': 'bfloat16'}])
def test_a_shared_model_predicts_as_the_run_does(make_run, tmp_path, fields):
  run = make_run(fields, ['no', 'yes'])
  save(run, tmp_path / 'shared')
  loaded = bigru_jax.load(tmp_path / 'shared')
  assert loaded.predict(TEXTS) == run.predict(TEXTS)


def test_a_tokenizer_json_is_shared(make_run, tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  run = make_run({}, ['no', 'yes'])
  tokens = ['[UNK]', *'abcdefghijklm']
  model = tokenizers.models.WordLevel(
    {token: i for i, token in enumerate(tokens)}, '[UNK]'
  )
  file = tokenizers.Tokenizer(model)
  file.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  file.save(str(run.workdir / 'tokenizer.json'))
  config = dataclasses.replace(run.config, tokenizer='mine.json')
  run_files.write_config(run.workdir, config)
  run = bigru_jax.load(run.workdir)
  save(run, tmp_path / 'shared')
  (run.workdir / 'tokenizer.json').unlink()
  loaded = bigru_jax.load(tmp_path / 'shared')
  assert loaded.predict(TEXTS) == run.predict(TEXTS)


def test_other_users_can_read_the_shared_files(shared):
  modes = {path.stat().st_mode for path in shared.iterdir()}
  assert len(modes) == 1


def test_no_local_path_is_shared(make_run, tmp_path):
  sets = {
    'embeddings': '/home/me/v.txt,/home/me/w.txt',
    'embedding_sizes': '2,3',
    'freeze_embeddings': '/home/me/w.txt',
  }
  run = make_run(sets, ['no', 'yes'])
  paths = {'train': '/home/me/a.csv,/home/me/b.csv', 'data_dir': '/data/x/'}
  run.config = dataclasses.replace(run.config, **paths)
  save(run, tmp_path / 'shared', 'mit')
  for path in (tmp_path / 'shared').glob('*.*'):
    assert b'/home' not in path.read_bytes(), path
  config = bigru_jax.load(tmp_path / 'shared').config
  assert (config.train, config.data_dir) == ('a.csv,b.csv', 'x')
  assert config.frozen_columns == ((2, 5),)


def test_the_card_describes_the_model(make_run, tmp_path):
  hub = pytest.importorskip('huggingface_hub')
  run = make_run({}, ['no', 'yes'])
  tested = {'accuracy': 0.75, 'macro_f1': 0.5, 'examples': 8}
  run_files.write_json(
    run.workdir / 'result.json', {'dataset': 'rotten_tomatoes', 'test': tested}
  )
  save(run, tmp_path / 'shared', 'apache-2.0')
  card = hub.ModelCard.load(tmp_path / 'shared' / 'README.md')
  assert card.data.license == 'apache-2.0'
  assert card.data.pipeline_tag == 'text-classification'
  scores = {x.metric_name: x.metric_value for x in card.data.eval_results}
  assert scores == {'test accuracy': 0.75, 'test macro_f1': 0.5}
  assert card.data.eval_results[0].dataset_name == 'rotten_tomatoes'
  for said in (
    '`no`, `yes`',
    'Accuracy 0.7500 and macro F1 0.5000 on 8 test texts.',
    'bigru_jax.load',
  ):
    assert said in card.text


def test_the_card_names_only_the_data_of_the_run(make_run, tmp_path):
  run = make_run({}, ['no', 'yes'])
  assert run.config.dataset == 'rotten_tomatoes'  # The default.

  def card(name):
    save(run, tmp_path / name)
    return (tmp_path / name / 'README.md').read_text()

  text = card('unfinished')
  assert '**Data**: not recorded.' in text and 'No metrics' in text
  tested = {'accuracy': 0.75, 'macro_f1': 0.5, 'examples': 8}
  result = {'dataset': 'corpus', 'test': tested}
  run_files.write_json(run.workdir / 'result.json', result)
  text = card('in_memory')
  assert '**Data**: a data set in memory.' in text and '0.7500' in text
  assert 'rotten_tomatoes' not in text
  (run.workdir / 'result.json').unlink()
  run.config = dataclasses.replace(run.config, dataset='')
  text = card('converted')
  assert '**Data**: unknown; the model was converted' in text
  assert 'No metrics are recorded.' in text
  run = bigru_jax.load(tmp_path / 'in_memory')
  assert 'rotten_tomatoes' not in card('again')


def test_only_a_published_model_is_overwritten(make_run, tmp_path, monkeypatch):
  run = make_run({}, ['no', 'yes'])
  save(run, tmp_path / 'shared')
  with pytest.raises(ValueError, match='a published model; .* by overwrite'):
    save(run, tmp_path / 'shared', 'mit')
  assert 'mit' not in (tmp_path / 'shared' / 'README.md').read_text()
  save(run, tmp_path / 'shared', 'mit', overwrite=True)
  assert 'mit' in (tmp_path / 'shared' / 'README.md').read_text()
  (tmp_path / 'shared' / 'checkpoints').mkdir()
  with pytest.raises(ValueError, match='is a run directory'):
    save(run, tmp_path / 'shared')
  (tmp_path / 'project').mkdir()
  (tmp_path / 'project' / 'README.md').write_text('mine')
  with pytest.raises(ValueError, match='project contains other files'):
    save(run, tmp_path / 'project', overwrite=True)
  assert (tmp_path / 'project' / 'README.md').read_text() == 'mine'
  # As other programs name the files of their models.
  (tmp_path / 'project' / published.PARAMS).write_bytes(b'theirs')
  (tmp_path / 'project' / 'config.json').write_text('{"vocab_size": 9}')
  with pytest.raises(ValueError, match='project contains other files'):
    save(run, tmp_path / 'project', overwrite=True)
  assert (tmp_path / 'project' / published.PARAMS).read_bytes() == b'theirs'
  monkeypatch.setitem(sys.modules, 'safetensors.numpy', None)
  with pytest.raises(ValueError, match=r'pip install "bigru_jax\[export\]"'):
    save(run, tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda x: x.pop('encoder.input_bias_0'), 'no tensor encoder.input_bias_0'),
    (lambda x: x.update(more=np.zeros(2)), 'the model has no parameter more'),
    (
      lambda x: x.update(embedding=np.zeros((3, 5), np.float32)),
      r'embedding is float32 \(3, 5\); the model needs float32 \(16, 5\)',
    ),
    (
      lambda x: x.update(embedding=x['embedding'].astype(np.float16)),
      r'embedding is float16 \(16, 5\); the model needs float32',
    ),
  ],
)
def test_a_tensor_that_does_not_match_is_named(shared, change, message):
  path = shared / published.PARAMS
  tensors = numpy.load_file(path)
  change(tensors)
  numpy.save_file(tensors, path)
  with pytest.raises(ValueError, match=f'model.safetensors.* {message}') as e:
    bigru_jax.load(shared)
  assert '\n' not in str(e.value)


def test_a_corrupt_file_is_reported_in_one_line(shared):
  path = shared / published.PARAMS
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(ValueError, match='shared: model.safetensors: ') as e:
    bigru_jax.load(shared)
  assert '\n' not in str(e.value)


def test_a_missing_package_is_named(shared, monkeypatch):
  monkeypatch.setitem(sys.modules, 'safetensors.numpy', None)
  with pytest.raises(ValueError, match=r'pip install "bigru_jax\[export\]"'):
    bigru_jax.load(shared)


def _fake_cache(cache, shared, name, commit='c' * 40):
  """A repository as `huggingface_hub` keeps it once it is downloaded."""
  folder = cache / f'models--{name.replace("/", "--")}'
  (folder / 'refs').mkdir(parents=True)
  (folder / 'refs' / 'main').write_text(commit)
  (folder / 'snapshots').mkdir()
  os.rename(shared, folder / 'snapshots' / commit)


def test_a_repository_is_loaded_by_its_name(
  shared, tmp_path, monkeypatch, make_run
):
  constants = pytest.importorskip('huggingface_hub.constants')
  monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
  monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
  monkeypatch.chdir(tmp_path)
  _fake_cache(tmp_path / 'hub', shared, 'someone/some-model')
  run = make_run({'loss': 'sigmoid'}, ['no', 'yes'])
  loaded = bigru_jax.load('hf://someone/some-model')
  jax.tree.map(np.testing.assert_array_equal, loaded.params, run.params)
  missing = 'workdir=hf://someone/other is not available from the Hugging Face'
  with pytest.raises(FileNotFoundError, match=missing) as e:
    bigru_jax.load('hf://someone/other')
  assert '\n' not in str(e.value)
  # A path, such as that of a run not yet trained, is not looked up there.
  with pytest.raises(
    FileNotFoundError, match='is not a run: it does not exist'
  ):
    bigru_jax.load('someone/some-model')


def test_a_missing_huggingface_hub_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(ValueError, match=r'pip install "bigru_jax\[export\]"'):
    bigru_jax.load('hf://someone/some-model')
