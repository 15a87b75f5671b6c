"""Pretraining as a notebook uses it: texts in memory, one run directory."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bigru_jax
from bigru_jax import parallel
from bigru_jax.data.texts import prepare_texts
from bigru_jax.ops.gru import GRUParams, bidirectional_gru
from bigru_jax.runtime.preemption import Preempted
from bigru_jax.training.program import build_language_model
from bigru_jax.training.trainer import Trainer

CONFIG = bigru_jax.Config(
  task='language_model', epochs=3, embedding_size=8, hidden_size=8,
  batch_size=8, learning_rate=0.03, embedding_dropout=0.1, word_dropout=0.1,
  sampled_words=6, checkpoint_every=4,
)  # fmt: skip


@pytest.fixture(scope='module')
def corpus():
  """Sentences whose words follow from the word before, but for one choice."""
  sentences = [
    f'the {noun} {verb} {adverb} {opinion} .'
    for noun, verb in [('film', 'was'), ('plot', 'is'), ('cast', 'seems')]
    for adverb in ('very', 'so', 'rather')
    for opinion in ('good', 'bad')
  ]
  return {'train': sentences * 8, 'validation': sentences}


@pytest.fixture(scope='module')
def pretrained(corpus, tmp_path_factory):
  workdir = tmp_path_factory.mktemp('pretrained') / 'run'
  return bigru_jax.pretrain(CONFIG, workdir, corpus)


def test_a_run_learns_which_words_follow(pretrained, corpus):
  scores = pretrained.result['validation']
  # A sentence is one of 18, and has five words to predict in each direction.
  assert 18 ** (1 / 5) < scores['perplexity'] < 3
  lines = (pretrained.workdir / 'metrics.jsonl').read_text().splitlines()
  perplexities = [
    line['perplexity']
    for line in map(json.loads, lines)
    if line['split'] == 'validation'
  ]
  assert len(perplexities) == 3 and perplexities[2] < perplexities[0] / 1.5
  assert pretrained.result['test'] == {}
  page = (pretrained.workdir / 'report.html').read_text('utf-8')
  assert f'its perplexity is {scores["perplexity"]:.1f}' in page
  both = scores['forward_perplexity'] * scores['backward_perplexity']
  assert scores['perplexity'] == pytest.approx(math.sqrt(both))


def test_the_perplexity_is_that_of_the_whole_softmax(pretrained, corpus):
  tokens = jnp.array([
    [pretrained.tokenizer.token_ids[word] for word in text.split()]
    for text in corpus['validation']
  ])  # fmt: skip
  params = pretrained.params
  names = 'input_kernel', 'recurrent_kernel', 'input_bias', 'recurrent_bias'
  h_BxTx2H, _ = bidirectional_gru(
    params['embedding'][tokens],
    jnp.ones(tokens.shape, bool),
    GRUParams(*(params['encoder'][f'{name}_0'] for name in names)),
    implementation='reference',
  )
  forward, backward = jnp.split(h_BxTx2H, 2, axis=-1)
  for name, states, projection, targets in (
    ('forward', forward[:, :-1], params['projection'][0], tokens[:, 1:]),
    ('backward', backward[:, 1:], params['projection'][1], tokens[:, :-1]),
  ):
    vectors_VxE, bias_V = params['embedding'][1:], params['output_bias'][1:]
    scores = states @ projection @ vectors_VxE.T + bias_V
    log_p = jnp.take_along_axis(
      jax.nn.log_softmax(scores), targets[..., None] - 1, -1
    )
    expected = float(jnp.exp(-log_p.mean()))
    value = pretrained.result['validation'][f'{name}_perplexity']
    assert value == pytest.approx(expected, rel=1e-4)


def test_a_stopped_run_resumes_to_the_same_bits(pretrained, corpus, tmp_path):
  stops = iter([False] * 13 + [True])
  with pytest.raises(Preempted):
    bigru_jax.pretrain(CONFIG, tmp_path, corpus, stop=lambda: next(stops))
  resumed = bigru_jax.pretrain(CONFIG, tmp_path, corpus)
  jax.tree.map(np.testing.assert_array_equal, resumed.params, pretrained.params)
  assert resumed.result['validation'] == pretrained.result['validation']


@pytest.mark.parametrize('size', [8, 6])
def test_the_number_of_devices_does_not_matter(corpus, size):
  """The table is sharded if the devices divide its columns, 8 but not 6."""
  config = dataclasses.replace(CONFIG, embedding_size=size)
  data = prepare_texts(config, corpus)
  results = []
  for count in (1, 4):
    mesh = parallel.mesh_of(jax.devices()[:count])
    program = build_language_model(config, data)
    trainer = Trainer(config, program, data.splits, mesh)
    for _ in trainer.train_epoch(1):
      pass
    metrics, _ = trainer.evaluate(data.splits['validation'], keep_logits=False)
    results.append((metrics, jax.device_get(trainer.state.params)))
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-5),
    *results,
  )


def test_the_test_split_is_evaluated_if_there_is_one(corpus, tmp_path):
  config = dataclasses.replace(CONFIG, epochs=1, sampled_words=0)
  corpus = corpus | {'test': ['the film was good .', 'bad']}
  run = bigru_jax.pretrain(config, tmp_path, corpus)
  assert run.result['test']['examples'] == 1  # One word predicts nothing.
  last = (tmp_path / 'metrics.jsonl').read_text().splitlines()[-1]
  assert json.loads(last)['split'] == 'test'


@pytest.mark.parametrize(
  'options, message',
  [
    ({'label_column': 'x'}, 'label_column=x has no effect in pretraining'),
    ({'dropout': 0.2}, 'dropout=0.2 has no effect in pretraining'),
    ({'init_from': 'run'}, 'init_from=run has no effect in pretraining'),
    ({'optimizer': 'lazy_adamw'}, 'optimizer=lazy_adamw needs a task with l'),
    ({'split_seed': 3}, 'split_seed=3 needs data without a validation'),
  ],
)
def test_what_pretraining_would_ignore_is_refused(
  corpus, tmp_path, options, message
):
  config = dataclasses.replace(CONFIG, **options)
  with pytest.raises(ValueError, match=message):
    bigru_jax.pretrain(config, tmp_path / 'run', corpus)
  assert not (tmp_path / 'run').exists()


def test_training_and_loading_say_what_a_language_model_is_for(
  pretrained, corpus, tmp_path
):
  with pytest.raises(ValueError, match='task=language_model has no labels: se'):
    bigru_jax.train(CONFIG, tmp_path / 'run', corpus)
  with pytest.raises(ValueError, match='is a language model, which predicts n'):
    bigru_jax.load(pretrained.workdir)
  with pytest.raises(ValueError, match='sampled_words=9 needs language_model'):
    config = bigru_jax.Config(sampled_words=9)
    bigru_jax.train(config, tmp_path / 'run', {'train': (['a', 'b'], 'xy')})
