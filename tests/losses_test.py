"""The losses against the written-out formulas, in NumPy float64."""

from hypothesis import given, settings, strategies as st
import jax.numpy as jnp
import numpy as np

from bigru_jax import losses


def _draw(seed, classes, batch=5):
  rng = np.random.default_rng(seed)
  logits = rng.normal(size=(batch, classes)) * 3
  labels = rng.integers(0, max(classes, 2), batch)
  return logits, labels


@settings(deadline=None, max_examples=20)
@given(
  seed=st.integers(0, 2**31 - 1),
  classes=st.integers(2, 6),
  smoothing=st.sampled_from([0.0, 0.1]),
)
def test_softmax_cross_entropy_equals_its_formula(seed, classes, smoothing):
  logits, labels = _draw(seed, classes)
  y = np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes
  yhat = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  expected = -(y * np.log(yhat)).sum(1)
  ours = losses.softmax_cross_entropy(
    jnp.asarray(logits, jnp.float32), labels, smoothing
  )
  np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(
  seed=st.integers(0, 2**31 - 1),
  outputs=st.sampled_from([1, 3, 5]),
  smoothing=st.sampled_from([0.0, 0.1]),
)
def test_sigmoid_cross_entropy_equals_its_formula(seed, outputs, smoothing):
  logits, labels = _draw(seed, outputs)
  y = labels[:, None] if outputs == 1 else np.eye(outputs)[labels]
  y = y * (1 - smoothing) + smoothing / 2
  yhat = 1 / (1 + np.exp(-logits))
  expected = -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat)).sum(1)
  ours = losses.sigmoid_cross_entropy(
    jnp.asarray(logits, jnp.float32), labels, smoothing
  )
  np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
