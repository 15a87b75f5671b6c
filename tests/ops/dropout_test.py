"""Dropout's rate, its scale, and its independence of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.ops.dropout import (
  dropout,
  fold_keys,
  weight_drop,
  word_dropout,
)


def _keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


@pytest.mark.parametrize('rate', [0.1, 0.5, 0.8])
def test_values_are_dropped_at_the_rate_and_scaled(rate):
  x = jnp.ones((40, 50, 20))
  dropped = np.asarray(dropout(x, rate, _keys(40)))
  # Every value is 0 or 1 / (1 - rate); 40,000 draws put the share within 1.3 %
  # of its expectation (five standard deviations at the most).
  kept = dropped != 0
  np.testing.assert_allclose(dropped[kept], 1 / (1 - rate), rtol=1e-6)
  assert abs(kept.mean() - (1 - rate)) < 0.013
  # Each example has a mask of its own.
  assert not (kept[0] == kept[1]).all()


def test_a_rate_of_zero_is_the_identity():
  x = jnp.arange(6.0).reshape(2, 3)
  assert dropout(x, 0.0, _keys(2)) is x


def test_a_tiny_rate_keeps_all_values_with_any_kind_of_key():
  keys = jax.random.split(jax.random.key(0, impl='rbg'), 3)
  x = jnp.ones((3, 500))
  np.testing.assert_array_equal(dropout(x, 1e-17, fold_keys(keys, 1)), x)
  assert 0.3 < (dropout(x, 0.5, keys) == 0).mean() < 0.7


def test_the_mask_of_an_example_does_not_depend_on_the_batch():
  keys = _keys(5)
  x = jnp.ones((5, 30))
  together = dropout(x, 0.5, keys)
  alone = dropout(x[3:4], 0.5, keys[3:4])
  np.testing.assert_array_equal(together[3:4], alone)


def test_folded_keys_differ_by_number_and_example():
  keys = _keys(2)
  folded = [np.asarray(jax.random.key_data(fold_keys(keys, n))) for n in (0, 1)]
  rows = {tuple(row) for array in folded for row in array}
  assert len(rows) == 4


def test_words_are_replaced_at_the_rate_by_each_examples_key():
  tokens = jnp.full((40, 500), 7)
  dropped = np.asarray(word_dropout(tokens, 0.2, _keys(40), 1))
  assert set(np.unique(dropped)) == {1, 7}
  assert abs((dropped == 1).mean() - 0.2) < 0.015
  alone = word_dropout(tokens[3:4, :20], 0.2, _keys(40)[3:4], 1)
  np.testing.assert_array_equal(alone, dropped[3:4, :20])


def test_weight_drop_changes_only_recurrent_kernels():
  params = {
    'encoder': {
      'input_kernel_0': jnp.ones((2, 9, 4)),
      'recurrent_kernel_0': jnp.ones((2, 60, 20)),
      'recurrent_kernel_1': jnp.ones((2, 60, 20)),
      'recurrent_bias_0': jnp.ones((2, 3)),
    },
    'embedding': jnp.ones((5, 3)),
  }
  first, second = (weight_drop(params, 0.4, key) for key in _keys(2))
  for path, array in jax.tree.leaves_with_path(first):
    if 'recurrent_kernel' not in path[-1].key:
      assert (array == 1).all()
  masks = [
    np.asarray(tree['encoder'][f'recurrent_kernel_{layer}'])
    for tree in (first, second)
    for layer in (0, 1)
  ]
  for i, mask in enumerate(masks):
    kept = mask != 0
    np.testing.assert_allclose(mask[kept], 1 / 0.6, rtol=1e-6)
    assert abs(kept.mean() - 0.6) < 0.05
    assert not any((mask == other).all() for other in masks[:i])


def test_each_key_is_folded_with_its_own_number():
  keys = _keys(3)
  together = jax.random.key_data(fold_keys(keys, jnp.array([5, 0, 2])))
  for i, number in enumerate((5, 0, 2)):
    alone = jax.random.key_data(fold_keys(keys[i : i + 1], number))
    np.testing.assert_array_equal(together[i : i + 1], alone)
