"""Attributions against finite differences, texts changed by hand, Captum."""

import golden
import jax
import numpy as np
import pytest
from small_models import (
  TEXTS,
  log_odds,
  make_batch,
  make_model,
  outputs_of,
  probabilities_of,
)

from bigru_jax.data.encode import make_split
from bigru_jax.data.ragged import pack
from bigru_jax.explain import attributions, predictions
from bigru_jax.explain.attributions import (
  ATTRIBUTIONS,
  attributions_of_batch,
  integrated_gradients,
)
from bigru_jax.interop.torch import classifier_from_torch
from bigru_jax.models.classifier import Classifier
from bigru_jax.tasks import SingleLabel

CLASSES = np.array([0, 1, 1])


@pytest.fixture(scope='module')
def trained():
  return make_model()


def _differences(score, x, at, step=1e-2):
  """Central differences of scores [B] by x[at]."""
  moved = np.zeros(x.shape, np.float32)
  moved[at] = step
  return (score(x + moved) - score(x - moved)) / (2 * step)


def test_gradients_are_those_of_the_log_odds(trained):
  batch = make_batch()

  def score(perturbation):
    return log_odds(trained, batch, CLASSES, perturbation=perturbation)

  x = np.asarray(trained.params['embedding'])[batch['tokens']]
  g = np.zeros(x.shape)
  for t in range(x.shape[1]):
    for e in range(x.shape[2]):
      at = np.s_[:, t, e]
      g[at] = _differences(score, np.zeros(x.shape, np.float32), at)
  arguments = trained, batch, CLASSES
  np.testing.assert_allclose(
    jax.jit(attributions.gradient)(*arguments),
    np.linalg.norm(g, axis=-1),
    atol=2e-3,
  )
  np.testing.assert_allclose(
    jax.jit(attributions.gradient_x_input)(*arguments),
    (g * x).sum(-1),
    atol=2e-3,
  )


def test_attention_times_gradient_equals_finite_differences(trained):
  batch = make_batch()
  weights = np.asarray(outputs_of(trained, batch, {}).attention['words'])

  def score(weights):
    return log_odds(trained, batch, CLASSES, attention={'words': weights})

  arguments = trained, batch, CLASSES
  found = jax.jit(attributions.attention)(*arguments)
  np.testing.assert_allclose(found, weights[:, 0], atol=1e-6)
  found = jax.jit(attributions.attention_x_gradient)(*arguments)
  for t in range(weights.shape[-1]):
    slope = _differences(score, weights, np.s_[:, 0, t])
    np.testing.assert_allclose(found[:, t], weights[:, 0, t] * slope, atol=2e-3)


def test_leave_one_out_is_the_drop_without_the_token(trained):
  batch = make_batch()
  found = jax.jit(attributions.leave_one_out)(trained, batch, CLASSES)
  for i, text in enumerate(TEXTS):
    for t in range(len(text)):
      pair = make_batch([text, text[:t] + text[t + 1 :]])
      p = probabilities_of(trained, pair)[:, CLASSES[i]]
      np.testing.assert_allclose(found[i, t], p[0] - p[1], atol=1e-5)
    np.testing.assert_array_equal(found[i, len(text) :], 0)


def test_a_text_of_one_token_can_be_left_without_it(trained):
  batch = make_batch([[4]], 1)
  leave_one_out = jax.jit(attributions.leave_one_out)
  found = leave_one_out(trained, batch, np.array([0]))
  bias = np.asarray(trained.params['output']['bias'])
  empty = np.exp(bias[0]) / np.exp(bias).sum()
  whole = probabilities_of(trained, batch)[0, 0]
  np.testing.assert_allclose(found, [[whole - empty]], atol=1e-6)


def test_integrated_gradients_are_complete(trained):
  batch = make_batch()
  arguments = trained, batch, CLASSES
  weights, error = jax.jit(integrated_gradients)(*arguments)
  x = np.asarray(trained.params['embedding'])[batch['tokens']]
  difference = log_odds(trained, batch, CLASSES) - log_odds(
    trained, batch, CLASSES, perturbation=-x
  )
  np.testing.assert_allclose(weights.sum(1), difference, atol=1e-3)
  assert error.max() < 1e-3
  integrate = jax.jit(integrated_gradients, static_argnames='steps')
  weights, coarse = integrate(*arguments, steps=1)
  difference_of_one = np.abs(weights.sum(1) - difference)
  np.testing.assert_allclose(coarse, difference_of_one, atol=1e-3)
  assert coarse.max() > 10 * error.max()


def test_integrated_gradients_equal_captums():
  results = golden.read('additive')
  _, num_outputs = results['logits'].shape
  params = classifier_from_torch(golden.read_state('additive'))
  trained = predictions.TrainedModel(
    Classifier(7, num_outputs, 5, 4, 2), SingleLabel(num_outputs), params
  )
  weights, _ = jax.jit(integrated_gradients)(
    trained,
    {name: results[name] for name in ('tokens', 'lengths')},
    results['classes'],
  )
  np.testing.assert_allclose(
    weights, results['integrated_gradients'], atol=1e-4
  )


def test_the_texts_of_a_split_keep_their_order_and_lengths(trained):
  labels = np.zeros(len(TEXTS), np.int32)
  split = make_split(pack(TEXTS), labels, 2)
  found = attributions.attribute(
    trained.model, trained.task, trained.params, split, batch_size=2
  )
  assert set(found) == set(ATTRIBUTIONS)
  for i, text in enumerate(TEXTS):
    expected = attributions_of_batch(
      trained, make_batch([text]), tuple(ATTRIBUTIONS)
    )
    for name, of_texts in found.items():
      weights = expected[name][0, : len(text)]
      np.testing.assert_allclose(of_texts[i], weights, atol=1e-4)


@pytest.mark.parametrize('encoder', ['bigru', 'average'])
def test_padding_changes_nothing(encoder):
  trained = make_model(encoder=encoder)
  names = tuple(ATTRIBUTIONS)
  narrow = attributions_of_batch(trained, make_batch(), names)
  wide = make_batch(width=9)
  wide['tokens'][np.arange(9) >= wide['lengths'][:, None]] = 7
  again = attributions_of_batch(trained, wide, names)
  for name in names:
    found = np.asarray(again[name])
    np.testing.assert_allclose(found[:, :6], narrow[name], atol=1e-4)
    np.testing.assert_array_equal(found[:, 6:], 0)


def test_the_log_odds_of_several_classes():
  logits = np.array([[1.0, 2.0, 0.5], [60.0, 0.0, 1.0]])
  p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  classes = np.array([2, 1])
  found = predictions.log_odds(SingleLabel(3), logits, classes)
  mine = p[[0, 1], classes]
  np.testing.assert_allclose(found, np.log(mine / (1 - mine)), rtol=1e-5)


def test_a_pooling_without_weights_has_no_attention():
  trained = make_model(pooling='max')
  with pytest.raises(ValueError, match='the pooling of this model has no wei'):
    attributions.attention(trained, make_batch(), CLASSES)
