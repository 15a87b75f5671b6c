"""The classifier, which padding, position and batch do not change."""

import functools

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.models.classifier import Classifier
from bigru_jax.models.pooling import POOLINGS
from bigru_jax.ops.dropout import Site, fold_keys, spatial_dropout

VOCABULARY = 30


def _batch(sequences, width):
  tokens = np.zeros((len(sequences), width), np.int32)
  for row, sequence in zip(tokens, sequences):
    row[: len(sequence)] = sequence
  lengths = np.array([len(s) for s in sequences], np.int32)
  # The first token is one entity, the last another.
  entities = np.zeros_like(tokens)
  entities[:, 0] = 1
  entities[np.arange(len(lengths)), lengths - 1] = 2
  return {'tokens': tokens, 'lengths': lengths, 'entities': entities}


def _init(model, batch=None, seed=0):
  init = jax.jit(model.init)
  return init(jax.random.key(seed), batch or _batch([[1, 2]], 2))


@functools.partial(jax.jit, static_argnums=0)
def _apply(model, *arguments, **options):
  return model.apply(*arguments, **options)


@pytest.fixture(scope='module', params=[*POOLINGS, 'entity+max'])
def classify(request):
  model = Classifier(VOCABULARY, 3, 8, 6, num_layers=2, pooling=request.param)
  # Parameters as large as a trained model's.
  params = jax.tree.map(lambda p: p * 2, _init(model))
  return jax.jit(lambda batch: model.apply(params, batch))


def test_padding_position_and_batch_do_not_matter(classify):
  sequences = [4, 5, 6, 7, 8, 9], [3], [2, 29]
  _check_padding_place_and_neighbors(classify, sequences, [7, 1, 1, 5], 3)


_SEQUENCE = st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=6)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(
  first=st.tuples(_SEQUENCE, _SEQUENCE, _SEQUENCE),
  other=_SEQUENCE,
  garbage=st.integers(0, VOCABULARY - 1),
)
def test_padding_position_and_batch_do_not_matter_on_random_inputs(
  classify, first, other, garbage
):
  _check_padding_place_and_neighbors(classify, first, other, garbage)


def _check_padding_place_and_neighbors(classify, first, other, garbage):
  batch = _batch(first, 6)
  outputs = classify(batch)
  # Another place, other neighbors, more padding with any token in it.
  moved = _batch([other, first[0], first[1]], 9)
  padding = np.arange(9) >= moved['lengths'][:, None]
  moved['tokens'][padding] = garbage
  again = classify(moved)
  np.testing.assert_allclose(again.logits[1:], outputs.logits[:2], atol=1e-5)
  for name, weights in outputs.attention.items():
    np.testing.assert_allclose(
      again.attention[name][1:, :, :6], weights[:2], atol=1e-5
    )
    np.testing.assert_array_equal(
      np.where(padding[:, None], again.attention[name], 0), 0
    )


def test_a_padding_example_is_finite_in_value_and_gradient():
  model = Classifier(VOCABULARY, 3, 8, 6)
  batch = _batch([[4, 5], []], 3)
  params = _init(model)
  grads = jax.jit(jax.grad(lambda p: model.apply(p, batch).logits.sum()))(
    params
  )
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_padding_has_no_embedding_and_no_gradient():
  model = Classifier(VOCABULARY, 3, 8, 6)
  batch = _batch([[4, 5], [3]], 3)
  params = _init(model)
  grads = jax.jit(jax.grad(lambda p: model.apply(p, batch).logits.sum()))(
    params
  )
  np.testing.assert_array_equal(params['params']['embedding'][0], 0)
  np.testing.assert_array_equal(grads['params']['embedding'][0], 0)


def test_given_attention_weights_reach_the_pooling():
  model = Classifier(VOCABULARY, 3, 8, 6)
  batch = _batch([[4, 5, 6]], 3)
  params = _init(model)
  own = _apply(model, params, batch)
  same = _apply(model, params, batch, attention=own.attention)
  weights = jnp.array([[[0.0, 0.0, 1.0]]])
  other = _apply(model, params, batch, attention={'words': weights})
  np.testing.assert_allclose(same.logits, own.logits, atol=1e-6)
  np.testing.assert_array_equal(other.attention['words'], weights)
  assert not np.allclose(other.logits, own.logits)


def test_dropout_follows_keys_or_rngs():
  model = Classifier(VOCABULARY, 3, 8, 6)
  batch = _batch([[4, 5, 6], [2]], 3)
  params = _init(model)
  keys = jax.random.split(jax.random.key(0), 2)
  quiet = _apply(model, params, batch).logits
  keyed = _apply(model, params, batch, keys).logits
  with_rngs = _apply(model, params, batch, rngs={'dropout': jax.random.key(0)})
  assert not np.allclose(quiet, keyed)
  # The stream's key is split into one per example.
  assert not np.allclose(quiet, with_rngs.logits)
  alone = _apply(model, params, _batch([[2]], 3), keys[1:]).logits
  np.testing.assert_allclose(alone, keyed[1:], atol=1e-6)


def test_dropout_after_pooling_has_a_rate_of_its_own():
  batch = _batch([[4, 5, 6], [2]], 3)
  keys = jax.random.split(jax.random.key(0), 2)
  rates = {'dropout': 0.4, 'embedding_dropout': 0.0}
  outputs = {}
  for rate in (-1.0, 0.0, 0.4, 0.2):
    model = Classifier(VOCABULARY, 3, 8, 6, dropout_after_pooling=rate, **rates)
    params = _init(model)
    outputs[rate] = np.asarray(_apply(model, params, batch, keys).logits)
  np.testing.assert_array_equal(outputs[-1.0], outputs[0.4])
  quiet = _apply(model, params, batch).logits
  np.testing.assert_array_equal(outputs[0.0], quiet)
  assert not np.allclose(outputs[0.2], outputs[0.4])
  assert not np.allclose(outputs[0.2], quiet)


def test_spatial_dropout_drops_the_same_features_of_every_word():
  model = Classifier(
    VOCABULARY, 3, 50, 6, encoder='average', dropout=0.0,
    embedding_dropout=0.0, spatial_dropout=0.5,
  )  # fmt: skip
  batch = _batch([[4, 5, 6], [2, 7, 8]], 3)
  params, keys_B = _init(model), jax.random.split(jax.random.key(0), 2)
  outputs = _apply(model, params, batch, keys_B)
  ones = jnp.ones((2, 3, 50))
  masks = spatial_dropout(ones, 0.5, fold_keys(keys_B, Site.FEATURES))
  assert np.unique(masks).tolist() == [0, 2]
  np.testing.assert_array_equal(masks, masks[:, :1] * ones)
  assert not np.array_equal(masks[0], masks[1])
  for i in range(2):
    table = params['params']['embedding'] * masks[i, 0]
    masked = {'params': {**params['params'], 'embedding': table}}
    expected = _apply(model, masked, batch).logits[i]
    np.testing.assert_allclose(outputs.logits[i], expected, atol=1e-5)


def test_bfloat16_keeps_float32_parameters_and_logits():
  model = Classifier(VOCABULARY, 3, 8, 6, dtype=jnp.bfloat16)
  batch = _batch([[4, 5], [3]], 3)
  params = _init(model)
  outputs = _apply(model, params, batch)
  reference = _apply(Classifier(VOCABULARY, 3, 8, 6), params, batch)
  assert outputs.logits.dtype == jnp.float32
  assert outputs.attention['words'].dtype == jnp.float32
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
  np.testing.assert_allclose(outputs.logits, reference.logits, atol=0.05)


def test_label_wise_heads_are_the_most_probable_labels():
  model = Classifier(VOCABULARY, 20, 8, 6, pooling='label_wise')
  batch = _batch([[4, 5, 6], [3]], 3)
  params = _init(model)
  outputs = _apply(model, params, batch)
  assert outputs.attention['words'].shape == (2, 16, 3)
  order = np.argsort(-np.asarray(outputs.logits), axis=1, kind='stable')
  np.testing.assert_array_equal(outputs.head_labels, order[:, :16])
  # Given weights take the place of all labels' own.
  first = np.zeros((2, 20, 3), np.float32)
  first[:, :, 0] = 1
  replaced = _apply(model, params, batch, attention={'words': first})
  np.testing.assert_allclose(replaced.logits[1], outputs.logits[1], atol=1e-5)
  assert not np.allclose(replaced.logits[0], outputs.logits[0], atol=1e-3)
  np.testing.assert_array_equal(replaced.attention['words'][0, :, 0], 1)
  with pytest.raises(ValueError, match='16 heads for 20 labels'):
    _apply(model, params, batch, attention=outputs.attention)


def test_passing_label_wise_weights_back_changes_nothing():
  model = Classifier(VOCABULARY, 3, 8, 6, pooling='label_wise')
  batch = _batch([[4, 5, 6], [3]], 3)
  params = _init(model)
  outputs = _apply(model, params, batch)
  again = _apply(model, params, batch, attention=outputs.attention)
  np.testing.assert_allclose(again.logits, outputs.logits, atol=1e-5)


def test_the_average_encoder_sees_each_token_alone():
  model = Classifier(VOCABULARY, 3, 8, 6, encoder='average')
  params = _init(model)
  kernel = params['params']['encoder']['kernel']
  assert kernel.shape == (8, 12)  # As many features as both directions have.
  middle = {'words': jnp.array([[[0.0, 1.0, 0.0]]])}
  first = _apply(model, params, _batch([[4, 5, 6]], 3), attention=middle)
  second = _apply(model, params, _batch([[7, 5, 8]], 3), attention=middle)
  np.testing.assert_allclose(first.logits, second.logits, atol=1e-6)
  # c = tanh(W x + b) of the middle token, then the dense layer.
  x = params['params']['embedding'][5]
  output = params['params']['output']
  expected = np.tanh(x @ kernel) @ output['kernel']
  np.testing.assert_allclose(first.logits[0], expected, atol=1e-5)
