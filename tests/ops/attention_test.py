"""Masked softmax and additive scores against SciPy and the formula."""

from hypothesis import given, settings, strategies as st
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from bigru_jax.ops.attention import additive_scores, masked_softmax


@settings(deadline=None, max_examples=30)
@given(
  lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
  axis=st.sampled_from([0, 1]),
  shift=st.sampled_from([0.0, 300.0, -300.0]),
)
def test_equals_scipy_on_the_valid_positions(lengths, axis, shift):
  rng = np.random.default_rng(sum(lengths))
  scores = rng.normal(size=(len(lengths), 6)) * 5 + shift
  mask = np.arange(6) < np.array(lengths)[:, None]
  arrays = (scores, mask) if axis else (scores.T, mask.T)
  weights = masked_softmax(*map(jnp.asarray, arrays), axis=axis)
  weights = np.asarray(weights if axis else weights.T)
  for row, length in enumerate(lengths):
    expected = softmax(scores[row, :length])
    np.testing.assert_allclose(weights[row, :length], expected, atol=1e-5)
    np.testing.assert_array_equal(weights[row, length:], 0)


def test_without_a_valid_position_all_weights_are_zero():
  weights = masked_softmax(jnp.ones((1, 3)), jnp.zeros((1, 3), bool))
  np.testing.assert_array_equal(weights, 0)


def test_additive_scores_are_the_formula():
  rng = np.random.default_rng(0)
  h, w, b, u = (rng.normal(size=s) for s in [(2, 5, 4), (4, 3), (3,), (3,)])
  scores = additive_scores(*map(jnp.asarray, (h, w, b, u)))
  np.testing.assert_allclose(scores, np.tanh(h @ w + b) @ u, atol=1e-5)
