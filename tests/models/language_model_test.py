"""The language model: what it predicts from, and its parameters."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.models.build import (
  init_params,
  make_classifier,
  make_language_model,
)
from bigru_jax.ops.sampled_softmax import Candidates

CONFIG = Config(
  task='language_model', embedding_size=6, hidden_size=5,
  embedding_dropout=0.0,
)  # fmt: skip
WORDS = 4


def _batch(texts):
  """The batch of texts, at whose padding there are words as well."""
  lengths = np.array([len(text) for text in texts])
  tokens = np.full((len(texts), 4), 2)
  for row, text in zip(tokens, texts):
    row[: len(text)] = text
  return {'tokens': jnp.array(tokens), 'lengths': jnp.array(lengths)}


@pytest.fixture(scope='module')
def model():
  module = make_language_model(CONFIG, WORDS)
  params = init_params(module, 0)
  bias = jnp.array([0.5, -0.5, 0.1, 0.3])
  return module, {**params, 'output_bias': bias}


def _log_likelihoods(model, texts, **options):
  module, params = model

  @jax.jit
  def apply(params, batch):
    return module.apply({'params': params}, batch, **options).logits

  return apply(params, _batch(texts))


@pytest.mark.parametrize('length', [2, 3])
def test_the_probabilities_of_all_texts_sum_to_one(model, length):
  """No direction sees the word that it predicts, or they would not."""
  words = range(1, WORDS)
  for end in words:
    rests = list(itertools.product(words, repeat=length - 1))
    forward = _log_likelihoods(model, [(end, *rest) for rest in rests])
    backward = _log_likelihoods(model, [(*rest, end) for rest in rests])
    np.testing.assert_allclose(jnp.exp(forward[:, 0]).sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(backward[:, 1]).sum(), 1, rtol=1e-5)


def test_padding_and_other_texts_change_nothing(model):
  texts = [(1, 2, 3), (), (3, 1), (2,)]
  together = _log_likelihoods(model, texts)
  np.testing.assert_array_equal(together[jnp.array([1, 3])], 0)
  for text, log_likelihood in zip(texts[::2], together[::2]):
    alone = _log_likelihoods(model, [text])[0]
    np.testing.assert_allclose(log_likelihood, alone, rtol=1e-5)


def test_a_sample_of_all_words_gives_the_whole_softmax(model):
  texts = [(1, 2, 3), (3, 3)]
  once = Candidates(jnp.arange(1, WORDS)[::-1], jnp.zeros(WORDS - 1))
  np.testing.assert_allclose(
    _log_likelihoods(model, texts, candidates=once),
    _log_likelihoods(model, texts),
    rtol=1e-5,
  )


def test_the_embedding_and_the_encoder_are_those_of_a_classifier(model):
  shapes = jax.tree.map(jnp.shape, model[1])
  classifier = make_classifier(CONFIG, WORDS, 2)
  of_classifier = jax.tree.map(jnp.shape, init_params(classifier, 0))
  shared = 'embedding', 'encoder'
  assert [shapes[x] for x in shared] == [of_classifier[x] for x in shared]
  assert shapes.keys() - {*shared} == {'projection', 'output_bias'}


@pytest.mark.parametrize(
  'options',
  [
    {'embedding_dropout': 0.5},
    {'word_dropout': 0.5},
    {'spatial_dropout': 0.5},
    {'recurrent_dropout': 0.5},
  ],
)
def test_dropout_hides_words_only_from_the_directions(model, options):
  """The probabilities of all texts sum to one under the same dropout.

  They would not if the words to predict were dropped as well.
  """
  module, params = model
  noisy = module.clone(**options)
  rests = itertools.product(range(1, WORDS), repeat=2)
  batch = _batch([(3, *rest) for rest in rests])
  keys = jax.random.split(jax.random.key(0), 1)
  same_keys = keys[np.zeros(len(batch['lengths']), int)]
  dropped = noisy.apply({'params': params}, batch, same_keys).logits
  np.testing.assert_allclose(jnp.exp(dropped[:, 0]).sum(), 1, rtol=1e-5)
  batch = _batch([(1, 3, 2), (2, 1, 3)])
  keys = jax.random.split(jax.random.key(0), 2)
  dropped = noisy.apply({'params': params}, batch, keys).logits
  without = noisy.apply({'params': params}, batch).logits
  assert not np.allclose(dropped, without)
  np.testing.assert_array_equal(
    without, module.apply({'params': params}, batch).logits
  )


def test_bfloat16_is_near_float32(model):
  module, params = model
  batch = _batch([(1, 3, 2, 2)])
  half = module.clone(dtype=jnp.bfloat16).apply({'params': params}, batch)
  whole = module.apply({'params': params}, batch)
  assert half.logits.dtype == jnp.float32
  np.testing.assert_allclose(half.logits, whole.logits, rtol=0.02)


@pytest.mark.parametrize(
  'options, message',
  [
    ({'num_layers': 2}, 'a second bidirectional layer would read the words'),
    ({'encoder': 'average'}, 'task=language_model needs encoder=bigru'),
    ({'model': 'hierarchical'}, 'task=language_model needs encoder=bigru'),
    ({'loss': 'focal'}, 'loss=focal needs task=single_label'),
    ({'select_by': 'accuracy'}, 'select_by=accuracy needs task=single_label'),
  ],
)
def test_what_has_no_language_model_is_refused(options, message):
  with pytest.raises(ValueError, match=message):
    Config(task='language_model', **options)
