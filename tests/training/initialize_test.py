"""Runs that start from another run have what is copied, and nothing else."""

import dataclasses
import logging
import shutil

import jax
import numpy as np
import pytest
import tokenizers

import bigru_jax
from bigru_jax.data.prepare import prepare
from bigru_jax.data.tokenizer import JsonTokenizer
from bigru_jax.interop import safetensors
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.source import open_source, read_source
from bigru_jax.runtime.preemption import Preempted
from bigru_jax.training.initialize import start_from
from bigru_jax.training.program import build_program, task_of

SIZES = {'embedding_size': 16, 'hidden_size': 16}  # Those of `run_directory`.
LABELS = ['positive', 'negative']
# `tale` is new, `film` and `bad` are in the test split alone.
CORPUS = {
  'train': (['a good tale', 'the tale'] * 10, LABELS * 10),
  'validation': (['a good tale', 'the tale'], LABELS),
  'test': (['a film', 'bad thing'], LABELS),
}


@pytest.fixture(scope='module')
def source(run_directory):
  return open_source(str(run_directory))


@pytest.fixture(scope='module')
def config(source):
  return bigru_jax.Config(
    **SIZES, batch_size=8, epochs=2, init_from=source.workdir, explain=False
  )


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
  """A run that started from `source`."""
  return bigru_jax.train(
    config, tmp_path_factory.mktemp('from') / 'run', CORPUS
  )


def _start(source, config, corpus=CORPUS):
  """Returns what `start_from` makes of ones, and the data."""
  data = prepare(config, corpus, source.vectors)
  num_outputs = task_of(config, data).num_outputs
  model = make_classifier(config, data.tokenizer.size, num_outputs)
  shapes = jax.eval_shape(lambda: init_params(model, 0))
  params = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
  return start_from(source, config, data, params), data


def _assert_equal(x, y):
  jax.tree.map(np.testing.assert_array_equal, x, y)


def test_words_have_the_vectors_of_the_run(source, config):
  data = prepare(config, CORPUS, source.vectors)
  program = build_program(config, data, source)
  vocabulary, ids = data.tokenizer.vocabulary, source.tokenizer.token_ids
  assert set(vocabulary[data.seen :]) == {'film', 'bad'}
  table, of_source = program.params['embedding'], source.params['embedding']
  assert not table[0].any()
  for i, word in enumerate(vocabulary[1:], 1):
    # A word that the run does not have starts as its unknown word.
    row = 1 if word == 'tale' else ids[word]
    np.testing.assert_array_equal(table[i], of_source[row])
  assert f'init_from={source.workdir}: 66.7 % of the words' in data.notes[0]
  assert program.num_trained_words == data.seen


@pytest.mark.parametrize(
  'fields, labels, copied, reason',
  [
    ({}, 'positive negative', 'attention, embedding, encoder, output', ''),
    (
      {},
      'yes no',
      'attention, embedding, encoder',
      '; not output (other labels there)',
    ),
    (
      {'pooling': 'max'},
      'positive negative',
      'embedding, encoder',
      '; not output (pooling=additive there)',
    ),
    (
      {'pooling': 'dot'},
      'positive negative',
      'embedding, encoder',
      '; not attention (pooling=additive there), output (pooling=additive '
      'there)',
    ),
    (
      {'loss': 'sigmoid'},
      'positive negative',
      'attention, embedding, encoder',
      '; not output (other sizes there)',
    ),
  ],
  ids=['all', 'labels', 'max', 'dot', 'sigmoid'],
)
def test_what_fits_is_copied(
  source, config, caplog, fields, labels, copied, reason
):
  names = dict(zip(LABELS, labels.split()))
  corpus = {
    split: (texts, [names[label] for label in of_texts])
    for split, (texts, of_texts) in CORPUS.items()
  }
  config = dataclasses.replace(config, **fields)
  with caplog.at_level(logging.INFO, 'bigru_jax'):
    (params, names_of_copied), _ = _start(source, config, corpus)
  assert caplog.messages == [
    f'init_from={source.workdir}: copied {copied}{reason}'
  ]
  assert names_of_copied == tuple(copied.split(', '))
  for name in params.keys() - {'embedding'}:
    if name in names_of_copied:
      _assert_equal(params[name], source.params[name])
    else:
      assert all((x == 1).all() for x in jax.tree.leaves(params[name]))


def test_a_published_run_is_the_same_source(source, tmp_path):
  pytest.importorskip('safetensors')
  run = bigru_jax.load(source.workdir)
  safetensors.save(run, tmp_path / 'shared')
  published = open_source(str(tmp_path / 'shared'))
  assert published.sha256 == source.sha256
  _assert_equal(published.params, source.params)
  _assert_equal(published.params, jax.device_get(run.params))
  assert (published.labels, published.words()) == (
    source.labels,
    source.words(),
  )


def test_ids_of_a_tokenizer_json_are_kept(source, config, tmp_path):
  """Its ids are those of the source, so the whole table is copied."""
  tokens = {'[UNK]': 0, 'a': 1, 'good': 2}
  model = tokenizers.models.WordLevel(tokens, '[UNK]')
  tokenizers.Tokenizer(model).save(str(tmp_path / 'tokenizer.json'))
  path = str(tmp_path / 'tokenizer.json')
  of_json = dataclasses.replace(config, tokenizer=path)
  table = np.random.default_rng(0).normal(size=(5, 16))
  json_source = dataclasses.replace(
    source, workdir=tmp_path, tokenizer=JsonTokenizer(path),
    config=dataclasses.replace(source.config, tokenizer='moved.json'),
    params={**source.params, 'embedding': table},
  )  # fmt: skip
  json_source.check_fits(of_json)
  (params, _), data = _start(json_source, of_json)
  np.testing.assert_array_equal(params['embedding'], table)
  assert data.identity['init_from'] == source.sha256
  assert json_source.words() == ['<pad>', '<unk>', *tokens]


@pytest.mark.parametrize(
  'field, value, of_source',
  [
    ('hidden_size', 5, 16),
    ('embedding_size', 5, 16),
    ('num_layers', 2, 1),
    ('model', 'hierarchical', 'flat'),
    ('encoder', 'average', 'bigru'),
    ('tokenizer', 'whitespace', 'words'),
    ('tokenizer', 'x.json', 'words'),
    ('replace_urls_and_users', True, False),
  ],
)
def test_what_does_not_fit_is_named(config, field, value, of_source, tmp_path):
  other = dataclasses.replace(config, **{field: value})
  with pytest.raises(
    ValueError,
    match=f'^{field}={value} does not fit init_from=.*, which has '
    f'{field}={of_source}$',
  ):
    bigru_jax.train(other, tmp_path / 'run', CORPUS)
  assert not (tmp_path / 'run').exists()


def test_the_size_of_a_source_is_that_of_its_joined_vectors(source, config):
  params = {**source.params, 'embedding': source.params['embedding'][:, :5]}
  joined = dataclasses.replace(source, params=params)
  joined.check_fits(dataclasses.replace(config, embedding_size=5))
  with pytest.raises(ValueError, match='embedding_size=16 does not fit .*=5$'):
    joined.check_fits(config)


def test_a_source_that_is_no_run_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='^init_from=.*is not a run: it'):
    read_source(bigru_jax.Config(init_from=tmp_path / 'none'))
  with pytest.raises(ValueError, match='^init_from=x and embeddings=y exclude'):
    bigru_jax.Config(init_from='x', embeddings='y')


def test_words_of_a_prediction_have_the_vectors_of_the_source(
  trained, source, tmp_path, caplog
):
  texts = ['awful good', 'a dull film']  # `awful` and `dull` are the source's.
  answers = trained.predict(texts)
  # As if these words had been in the vocabulary.
  words = 'awful', 'dull'
  vocabulary = [*trained.tokenizer.vocabulary, *words]
  rows = source.params['embedding'][
    [source.tokenizer.token_ids[x] for x in words]
  ]
  table = np.concatenate([trained.params['embedding'], rows])
  wider = bigru_jax.Run(
    workdir=trained.workdir, config=trained.config, labels=trained.labels,
    tokenizer=trained.tokenizer.with_vocabulary(vocabulary), task=trained.task,
    model=trained.model.clone(vocabulary_size=len(vocabulary)),
    params={**trained.params, 'embedding': table}, mesh=trained._mesh,
    calibration=trained.calibration,
  )  # fmt: skip
  for answer, expected in zip(answers, wider.predict(texts)):
    assert answer['probabilities'] == pytest.approx(expected['probabilities'])
  # The source has moved.
  workdir = shutil.copytree(trained.workdir, tmp_path / 'run')
  moved = shutil.copytree(source.workdir, tmp_path / 'moved')
  config = run_files.read_config(workdir)
  config = dataclasses.replace(config, init_from=str(tmp_path / 'nowhere'))
  run_files.write_config(workdir, config)
  with caplog.at_level(logging.WARNING, 'bigru_jax'):
    unknown = bigru_jax.load(workdir).predict(texts)
  assert 'nowhere is not a run: it does not exist: words unseen' in caplog.text
  assert unknown[0]['probabilities'] != answers[0]['probabilities']
  assert bigru_jax.load(workdir, moved).predict(texts) == answers
  with pytest.raises(ValueError, match='run changed since it was started from'):
    bigru_jax.load(workdir, trained.workdir)


def test_a_source_that_has_changed_is_refused_when_a_run_resumes(
  trained, config, tmp_path
):
  workdir = shutil.copytree(trained.workdir, tmp_path / 'run')
  identity = run_files.read_identity(workdir)
  run_files.write_json(workdir / 'data.json', {**identity, 'init_from': '0'})
  with pytest.raises(ValueError, match=r'other data: init_from \(digest 0 th'):
    bigru_jax.train(dataclasses.replace(config, epochs=3), workdir, CORPUS)


@pytest.mark.slow
@pytest.mark.parametrize('optimizer', ['adamw', 'lazy_adamw', 'sgd'])
def test_a_run_from_another_resumes_to_the_same_bits(
  config, optimizer, tmp_path
):
  config = dataclasses.replace(
    config, optimizer=optimizer, init_learning_rate_factor=0.1
  )
  expected = bigru_jax.train(config, tmp_path / 'whole', CORPUS)
  steps = iter([False, False, False, True])
  with pytest.raises(Preempted):
    bigru_jax.train(config, tmp_path / 'run', CORPUS, stop=lambda: next(steps))
  run = bigru_jax.train(config, tmp_path / 'run', CORPUS)
  _assert_equal(run.trained_params, expected.trained_params)


@pytest.mark.slow
def test_a_run_starts_from_a_published_language_model(tmp_path, caplog):
  pytest.importorskip('safetensors')
  texts = [f'a {x} film {i % 9}' for i in range(60) for x in ('good', 'bad')]
  sizes = {'embedding_size': 6, 'hidden_size': 4, 'batch_size': 8, 'epochs': 1}
  pretrained = bigru_jax.pretrain(
    bigru_jax.Config(**sizes, sampled_words=8),
    tmp_path / 'of',
    {'train': texts},
  )
  folder = tmp_path / 'shared'
  safetensors.save_language_model(pretrained.workdir, folder, 'mit')
  card = (folder / 'README.md').read_text()
  assert 'license: "mit"' in card and '`embedding_size=6`' in card
  with pytest.raises(ValueError, match='^workdir=.*shared is a language model'):
    bigru_jax.load(folder)
  config = bigru_jax.Config(
    **sizes, init_from=folder, init_learning_rate_factor=0.0, explain=False
  )
  corpus = {'train': (texts, ['x', 'y'] * 60)}
  with caplog.at_level(logging.INFO, 'bigru_jax'):
    run = bigru_jax.train(config, tmp_path / 'run', corpus)
  assert 'copied embedding, encoder; not attention (which' in caplog.text
  # A factor of 0 keeps what was copied.
  params = jax.device_get(run.trained_params)
  _assert_equal(params['encoder'], pretrained.params['encoder'])
  table = np.asarray(pretrained.params['embedding'])
  for i, word in enumerate(run.tokenizer.vocabulary[1:], 1):
    row = table[pretrained.tokenizer.token_ids[word]]
    np.testing.assert_array_equal(params['embedding'][i], row)
