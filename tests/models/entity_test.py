"""Entity-aware attention against its formula, and what it depends on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.models.classifier import Classifier
from bigru_jax.models.pooling_layers import Entity

LENGTHS = np.array([6, 4])
MASK = np.arange(6) < LENGTHS[:, None]
ENTITIES = np.array([[0, 1, 1, 0, 2, 0], [2, 0, 1, 0, 0, 0]])


def _states(seed=0):
  return np.random.default_rng(seed).normal(size=(2, 6, 4)).astype(np.float32)


@functools.cache
def _variables():
  variables = jax.jit(Entity().init)(
    jax.random.key(1), _states(), MASK, entities_BxT=ENTITIES
  )
  params = variables['params']
  # A bias that is not zero.
  return {'params': {**params, 'bias': jnp.array([0.3, -0.2, 0.1, 0.5])}}


_entity = jax.jit(Entity().apply)


def _apply(h, mask=MASK, entities=ENTITIES, weights=None):
  return _entity(_variables(), h, mask, weights, entities_BxT=entities)


def test_entity_attention_equals_its_formula():
  h, p = _states(), _variables()['params']
  context, weights = _apply(h)
  assert weights.shape == (2, 1, 6) and weights.dtype == jnp.float32
  for i, n in enumerate(LENGTHS):
    means = [h[i, ENTITIES[i] == entity].mean(0) for entity in (1, 2)]
    of_entities = np.concatenate(means) @ p['entity_kernel']
    scores = np.tanh(h[i, :n] @ p['kernel'] + of_entities + p['bias'])
    scores = np.exp(scores @ p['query'])
    expected = scores / scores.sum()
    np.testing.assert_allclose(weights[i, 0, :n], expected, atol=1e-5)
    np.testing.assert_array_equal(weights[i, 0, n:], 0)
    expected = np.concatenate([expected @ h[i, :n], *means])
    np.testing.assert_allclose(context[i], expected, atol=1e-5)


def test_padding_and_other_examples_change_nothing():
  h = _states()
  context, weights = _apply(h)
  # Garbage at padding, in the states and in the entities, and another neighbor.
  other = np.where(MASK[..., None], h, 1e3)
  other[0] = _states(seed=5)[0]
  entities = np.where(MASK, ENTITIES, 1)
  entities[0] = ENTITIES[0][::-1]
  other = np.concatenate([other, np.full((2, 3, 4), -1e3, np.float32)], 1)
  entities = np.concatenate([entities, np.full((2, 3), 2)], 1)
  mask = np.concatenate([MASK, np.zeros((2, 3), bool)], 1)
  again, other_weights = _apply(other, mask, entities)
  np.testing.assert_allclose(again[1], context[1], atol=1e-5)
  np.testing.assert_allclose(other_weights[1, :, :6], weights[1], atol=1e-5)
  assert not np.allclose(again[0], context[0], atol=1e-3)


def test_a_padding_example_is_finite_in_value_and_gradient():
  empty = np.zeros_like(MASK), np.zeros_like(ENTITIES)
  value, grads = jax.value_and_grad(lambda h: _apply(h, *empty)[0].sum())(
    jnp.asarray(_states())
  )
  assert np.isfinite(value) and np.isfinite(grads).all()


def test_the_weights_depend_on_the_entities_and_on_their_order():
  h = _states()
  _, weights = _apply(h)
  swapped = np.where(ENTITIES, 3 - ENTITIES, 0)
  for entities in (swapped, np.roll(ENTITIES, 1, axis=1)):
    assert not np.allclose(_apply(h, entities=entities)[1], weights, atol=1e-4)


def test_the_gradient_of_the_weights_reaches_the_words_of_the_entities():
  h = _states()

  def weight(h):
    return _apply(h)[1][0, 0, 5]

  grads = np.abs(jax.grad(weight)(jnp.asarray(h))[0]).sum(-1)
  # Through V alone the words of both entities are reached.
  assert (grads[[1, 2, 4]] > 1e-6).all()
  own = jnp.asarray(_apply(h)[1])
  by_mean = jax.grad(lambda h: _apply(h, weights=own)[0][:, :4].sum())(h)
  np.testing.assert_allclose(by_mean[0], np.outer(own[0, 0], np.ones(4)))


def test_given_weights_replace_its_own():
  h = _states()
  given = np.zeros((2, 1, 6), np.float32)
  given[..., 2] = 1
  context, used = _apply(h, weights=jnp.asarray(given))
  np.testing.assert_array_equal(used, given)
  np.testing.assert_allclose(context[:, :4], h[:, 2])


def test_the_gradient_of_a_classifier_reaches_the_entities_embeddings():
  model = Classifier(12, 3, 8, 6, pooling='entity')
  batch = {
    'tokens': np.array([[4, 5, 6, 7, 8, 9]]),
    'lengths': np.array([6]),
    'entities': np.array([[0, 1, 0, 0, 2, 0]]),
  }
  params = jax.jit(model.init)(jax.random.key(0), batch)
  moved = {**batch, 'entities': np.array([[1, 0, 0, 0, 0, 2]])}

  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def classify(params, batch):
    logits = model.apply(params, batch).logits
    return logits[0, 0], logits

  (_, logits), grads = classify(params, batch)
  (_, moved_logits), _ = classify(params, moved)
  assert not np.allclose(moved_logits, logits)
  assert (np.abs(grads['params']['embedding'][4:10]).sum(1) > 0).all()
  kernel = grads['params']['attention']['entity_kernel']
  assert np.abs(kernel[:12]).sum() > 0 and np.abs(kernel[12:]).sum() > 0
