"""A classifier that is also trained as a language model, from a pretraining."""

import dataclasses
import logging

import jax
import numpy as np
import pytest

import bigru_jax
from bigru_jax import parallel
from bigru_jax.data.prepare import prepare
from bigru_jax.models.build import make_language_model
from bigru_jax.ops.dropout import example_keys
from bigru_jax.rundir.source import open_source, prepare_from
from bigru_jax.runtime.preemption import Preempted
from bigru_jax.training.program import build_program
from bigru_jax.training.trainer import Trainer

SIZES = {'embedding_size': 8, 'hidden_size': 8, 'batch_size': 8}
CONFIG = bigru_jax.Config(
  **SIZES, language_model_weight=0.5, sampled_words=6, epochs=2, explain=False,
)  # fmt: skip
TEXTS = [f'the {x} was {y} .' for x in ('film', 'plot') for y in ('so', 'very')]
OPINIONS = [f'{x} and {x}' for x in ('good', 'bad')]
CORPUS = {
  'train': (OPINIONS * 12, ['yes', 'no'] * 12),
  'validation': (OPINIONS, ['yes', 'no']),
  'test': (OPINIONS, ['yes', 'no']),
  'unlabelled': TEXTS * 6,
}


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
  config = bigru_jax.Config(**SIZES, epochs=1, sampled_words=6)
  corpus = {'train': TEXTS * 4, 'validation': [*TEXTS, *OPINIONS]}
  workdir = tmp_path_factory.mktemp('pretrained') / 'run'
  return bigru_jax.pretrain(config, workdir, corpus)


def _first_step(config):
  """Returns the losses without dropout, and the program, batch and data."""
  rates = 'dropout', 'embedding_dropout'
  config = dataclasses.replace(config, **dict.fromkeys(rates, 0.0))
  data = prepare(config, CORPUS)
  program = build_program(config, data)
  batch = data.splits['train'].batch(np.arange(8), 4, 8)
  tokens = data.unlabelled.tokens[:8].flat().reshape(8, 5)[:, :4]
  lengths = np.full(8, 4, np.int32)
  texts = {'tokens': tokens, 'lengths': lengths, 'weights': np.ones(8)}
  keys_B = example_keys(0, 0, 8)
  batch |= {'unlabelled': texts, 'step_keys': keys_B}
  loss_fn = program.make_train_loss(config, program.task, program.model)
  losses, _ = jax.jit(loss_fn)(program.params, batch, keys_B)
  return losses, program, batch, data


def test_the_loss_is_the_mean_over_the_words_of_each_text():
  config = dataclasses.replace(CONFIG, sampled_words=0)
  losses, program, batch, data = _first_step(config)
  plain = dataclasses.replace(
    config, language_model_weight=0.0, entropy_weight=1e-9
  )
  other_losses, *_ = _first_step(plain)
  model = make_language_model(config, data.tokenizer.size)
  params = {'params': program.params}
  for i, texts in enumerate((batch, batch['unlabelled'])):
    added = (losses - other_losses)[8 * i : 8 * (i + 1)]
    log_likelihoods = model.apply(params, texts).logits.sum(-1)
    num_words = 2 * (texts['lengths'] - 1)
    np.testing.assert_allclose(
      added, -0.5 * log_likelihoods / num_words, rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize('size', [8, 6])
def test_the_number_of_devices_does_not_matter(size):
  """The table is sharded if the devices divide its columns, 8 but not 6."""
  config = dataclasses.replace(CONFIG, embedding_size=size)
  data = prepare(config, CORPUS)
  params = []
  for count in (1, 4):
    mesh = parallel.mesh_of(jax.devices()[:count])
    program = build_program(config, data)
    trainer = Trainer(config, program, data.splits, mesh, data.unlabelled)
    for _ in trainer.train_epoch(1):
      pass
    params.append(jax.device_get(trainer.state.params))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-5), *params
  )


def test_the_parts_of_a_language_model_are_copied(pretrained, caplog):
  config = dataclasses.replace(CONFIG, init_from=str(pretrained.workdir))
  data, source = prepare_from(
    config, lambda *args, **kw: prepare(*args, CORPUS, **kw)
  )
  with caplog.at_level(logging.INFO, 'bigru_jax'):
    program = build_program(config, data, source)
  assert (
    'copied embedding, encoder, output_bias, projection; not' in caplog.text
  )
  params, of_source = program.params, pretrained.params
  np.testing.assert_array_equal(params['projection'], of_source['projection'])
  ids = pretrained.tokenizer.token_ids
  for word, bias in zip(data.tokenizer.vocabulary, params['output_bias']):
    # The pretraining has no `good`, which starts as its unknown word.
    assert bias == of_source['output_bias'][ids.get(word, 1)]
  assert 'good' in data.tokenizer.vocabulary and 'good' not in ids


@pytest.mark.slow
def test_a_run_trains_all_parts_and_resumes_to_the_same_bits(
  pretrained, tmp_path
):
  config = dataclasses.replace(CONFIG, init_from=str(pretrained.workdir))
  whole = bigru_jax.train(config, tmp_path / 'whole', CORPUS)
  stops = iter([False] * 4 + [True])
  with pytest.raises(Preempted):
    bigru_jax.train(config, tmp_path / 'a', CORPUS, stop=lambda: next(stops))
  resumed = bigru_jax.train(config, tmp_path / 'a', CORPUS)
  jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)
  # The classifier alone is loaded; another run can start from all of it.
  loaded = bigru_jax.load(tmp_path / 'a')
  assert loaded.params.keys() == whole.params.keys()
  assert loaded.params.keys() == {'embedding', 'encoder', 'attention', 'output'}
  assert loaded.predict(OPINIONS) == whole.predict(OPINIONS)
  source = open_source(str(tmp_path / 'a'))
  assert not np.array_equal(
    source.params['projection'], pretrained.params['projection']
  )


@pytest.mark.parametrize(
  'options, message',
  [
    ({'model': 'hierarchical'}, 'language_model_weight=0.5 needs model=flat'),
    ({'encoder': 'average'}, 'language_model_weight=0.5 needs encoder=bigru'),
    ({'num_layers': 2}, 'language_model_weight=0.5 needs num_layers=1'),
    ({'char_embeddings': True}, 'needs char_embeddings=False'),
    ({'embeddings_join': 'meta'}, 'needs embeddings_join=concat'),
    ({'optimizer': 'lazy_adamw'}, 'and optimizer=lazy_adamw exclude'),
  ],
)
def test_what_has_no_such_loss_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(CONFIG, **options)
