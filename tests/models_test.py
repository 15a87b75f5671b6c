"""What a user relies on: padding, place and neighbours change nothing."""

from hypothesis import given, settings, strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax import attention, models

VOCABULARY = 30


@pytest.fixture(scope='module', params=['additive', 'dot', 'mean'])
def classifier(request):
  model = models.Classifier(
    VOCABULARY, 3, 8, 6, num_layers=2, attention=request.param
  )
  params = model.init(
    jax.random.key(0), jnp.ones((1, 2), jnp.int32), jnp.ones(1, jnp.int32)
  )
  # Parameters as large as a trained model's.
  params = jax.tree.map(lambda p: p * 2, params)
  return jax.jit(lambda tokens, lengths: model.apply(params, tokens, lengths))


def _batch(sequences, width):
  tokens = np.zeros((len(sequences), width), np.int32)
  for row, sequence in zip(tokens, sequences):
    row[: len(sequence)] = sequence
  return tokens, np.array([len(s) for s in sequences], np.int32)


_SEQUENCE = st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=6)


@settings(deadline=None, max_examples=25)
@given(
  first=st.tuples(_SEQUENCE, _SEQUENCE, _SEQUENCE),
  other=_SEQUENCE,
  garbage=st.integers(0, VOCABULARY - 1),
)
def test_padding_place_and_neighbours_do_not_matter(
  classifier, first, other, garbage
):
  tokens, lengths = _batch(first, 6)
  logits, alpha = classifier(tokens, lengths)
  valid = np.arange(6) < lengths[:, None]
  np.testing.assert_array_equal(np.asarray(alpha)[~valid], 0)
  np.testing.assert_allclose(alpha.sum(1), 1, rtol=1e-5)
  # Another place, other neighbours, more padding with any token in it.
  moved, moved_lengths = _batch([other, first[0], first[1]], 9)
  moved[np.arange(9) >= moved_lengths[:, None]] = garbage
  again, moved_alpha = classifier(moved, moved_lengths)
  np.testing.assert_allclose(again[1:], logits[:2], atol=1e-5)
  np.testing.assert_allclose(moved_alpha[1:, :6], alpha[:2], atol=1e-5)


def test_a_filling_row_is_finite_in_value_and_gradient():
  model = models.Classifier(VOCABULARY, 3, 8, 6)
  tokens, lengths = _batch([[4, 5], []], 3)
  params = model.init(jax.random.key(0), tokens, lengths)
  grads = jax.grad(lambda p: model.apply(p, tokens, lengths)[0].sum())(params)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_padding_has_no_embedding_and_no_gradient():
  model = models.Classifier(VOCABULARY, 3, 8, 6)
  tokens, lengths = _batch([[4, 5], [3]], 3)
  params = model.init(jax.random.key(0), tokens, lengths)
  grads = jax.grad(lambda p: model.apply(p, tokens, lengths)[0].sum())(params)
  np.testing.assert_array_equal(params['params']['embedding'][0], 0)
  np.testing.assert_array_equal(grads['params']['embedding'][0], 0)


def test_additive_attention_is_the_formula():
  rng = np.random.default_rng(0)
  h, w, b, u = (rng.normal(size=s) for s in [(2, 5, 4), (4, 4), (4,), (4,)])
  mask = np.arange(5) < np.array([5, 3])[:, None]
  params = {'kernel': w, 'bias': b, 'query': u}
  c, alpha = attention.Attention().apply(
    {'params': params}, jnp.asarray(h, jnp.float32), mask
  )
  scores = np.exp(np.tanh(h @ w + b) @ u) * mask
  expected = scores / scores.sum(1, keepdims=True)
  np.testing.assert_allclose(alpha, expected, atol=1e-5)
  np.testing.assert_allclose(c, np.einsum('bt,btf->bf', expected, h), atol=1e-5)


def test_bfloat16_keeps_float32_parameters_and_logits():
  model = models.Classifier(VOCABULARY, 3, 8, 6, dtype=jnp.bfloat16)
  tokens, lengths = _batch([[4, 5], [3]], 3)
  params = model.init(jax.random.key(0), tokens, lengths)
  logits, alpha = model.apply(params, tokens, lengths)
  reference, _ = models.Classifier(VOCABULARY, 3, 8, 6).apply(
    params, tokens, lengths
  )
  assert logits.dtype == alpha.dtype == jnp.float32
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
  np.testing.assert_allclose(logits, reference, atol=0.05)
