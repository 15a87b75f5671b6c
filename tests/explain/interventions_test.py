"""The model's output with other attention weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance
from small_models import make_batch, make_model, outputs_of

from bigru_jax.explain import interventions

KEY = jax.random.key(0)
search = jax.jit(
  functools.partial(interventions.adversarial_weights, iterations=60)
)


@pytest.mark.parametrize(
  'pooling', ['additive', 'multi_head', 'structured', 'entity']
)
def test_replaced_weights_give_the_models_output_with_them(pooling):
  trained = make_model(3, pooling=pooling, num_heads=2)
  batch = make_batch()

  @jax.jit
  def answers(trained):
    weights, probabilities_of = interventions.with_weights(trained, batch)
    uniform = interventions.uniform_weights(batch, weights.shape[1])
    changed = jnp.stack([weights, uniform, weights[..., ::-1]])
    return changed, probabilities_of(changed)

  for weights, probabilities in zip(*answers(trained)):
    outputs = outputs_of(trained, batch, {'attention': {'words': weights}})
    expected = jax.nn.softmax(outputs.logits)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_permuted_weights_are_the_same_values_in_another_order():
  batch = make_batch()
  weights = np.where(
    np.arange(6) < batch['lengths'][:, None], np.arange(1, 7), 0
  )[:, None]
  found = interventions.permuted_weights(weights, batch, KEY)
  assert not np.array_equal(found, weights)
  for i, length in enumerate(batch['lengths']):
    assert sorted(found[i, 0, :length].tolist()) == list(range(1, length + 1))
    np.testing.assert_array_equal(found[i, 0, length:], 0)


def test_permuting_uniform_weights_changes_nothing():
  trained = make_model(pooling='mean')
  permute = functools.partial(interventions.permutation_change, permutations=5)
  changes = jax.jit(permute)(trained, make_batch(), KEY)
  np.testing.assert_allclose(changes, 0, atol=1e-6)
  uniform_change = jax.jit(interventions.uniform_change)
  distances, flipped = uniform_change(trained, make_batch())
  np.testing.assert_allclose(distances, 0, atol=1e-6)
  assert not flipped.any()


def test_the_divergence_equals_scipys():
  p, q = np.random.default_rng(0).dirichlet([0.3] * 5, (2, 4, 1))
  p[0, 0] = [1, 0, 0, 0, 0]
  expected = [distance.jensenshannon(a[0], b[0]) ** 2 for a, b in zip(p, q)]
  found = interventions.jensen_shannon(jnp.array(p), jnp.array(q))
  np.testing.assert_allclose(found, expected, atol=1e-6)


def test_adversarial_weights_keep_the_output():
  trained = make_model()
  batch = make_batch()
  found = search(trained, batch, KEY)
  own = outputs_of(trained, batch, {})
  outputs = outputs_of(trained, batch, {'attention': {'words': found.weights}})
  p, q = (np.asarray(jax.nn.softmax(x.logits)) for x in (own, outputs))
  change = np.abs(p - q).sum(-1) / 2
  np.testing.assert_allclose(found.change, change, atol=1e-5)
  assert change.max() <= interventions.EPSILON + 1e-6
  np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-5)
  expected = interventions.jensen_shannon(found.weights, own.attention['words'])
  np.testing.assert_allclose(found.divergence, expected, atol=1e-5)


def test_any_weights_do_if_the_output_ignores_the_states():
  trained = make_model()
  output = trained.params['output']
  output = {**output, 'kernel': output['kernel'] * 0}
  blind = trained.replace(params={**trained.params, 'output': output})
  found = search(blind, make_batch(), KEY)
  # For two tokens with equal weights it is at most 0.216.
  assert found.divergence.min() > 0.2
  assert found.divergence.max() <= np.log(2) + 1e-6
