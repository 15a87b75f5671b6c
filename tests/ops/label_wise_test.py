"""Label-wise attention against its formula, and how much memory it takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from bigru_jax.ops import label_wise
from bigru_jax.ops.label_wise import label_attention, label_wise_logits


def _draw(labels, batch=3, time=5, features=4):
  rng = np.random.default_rng(labels)
  shapes = (batch, time, features), (labels, features), (labels, features)
  h, query, kernel = (rng.normal(size=s).astype(np.float32) for s in shapes)
  mask = np.arange(time) < rng.integers(1, time + 1, batch)[:, None]
  return h, mask, query, kernel, rng.normal(size=labels).astype(np.float32)


@pytest.mark.parametrize('labels', [1, 7, 300])
def test_label_wise_attention_equals_its_formula(labels):
  h, mask, query, kernel, bias = _draw(labels)
  logits = label_wise_logits(*map(jnp.asarray, (h, mask, query, kernel, bias)))
  weights = label_attention(jnp.asarray(h), jnp.asarray(mask), query)
  for b, real in enumerate(mask):
    expected = softmax(query @ h[b, real].T, axis=1)
    np.testing.assert_allclose(weights[b][:, real], expected, atol=1e-5)
    np.testing.assert_array_equal(weights[b][:, ~real], 0)
    context = expected @ h[b, real]
    np.testing.assert_allclose(
      logits[b], (context * kernel).sum(1) + bias, atol=1e-4
    )


def test_blocks_of_labels_have_the_same_gradients_as_one_block(monkeypatch):
  arguments = [jnp.asarray(x) for x in _draw(300)]

  def gradients():
    def loss(h, query, kernel, bias):
      logits = label_wise_logits(h, arguments[1], query, kernel, bias)
      return (logits**2).sum()

    h, _, *others = arguments
    return jax.grad(loss, argnums=(0, 1, 2, 3))(h, *others)

  in_blocks = gradients()
  monkeypatch.setattr(label_wise, 'BLOCK', 1000)
  for ours, expected in zip(in_blocks, gradients()):
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-2)


def test_5000_labels_need_no_array_of_all_scores():
  batch, time, features, labels = 8, 128, 32, 5000
  shapes = [(batch, time, features), (labels, features), (labels, features)]
  arrays = [jax.ShapeDtypeStruct(s, jnp.float32) for s in (*shapes, (labels,))]
  mask = jax.ShapeDtypeStruct((batch, time), bool)

  def loss(h, mask, *parameters):
    return label_wise_logits(h, mask, *parameters).sum()

  compiled = jax.jit(jax.grad(loss, argnums=(0, 2, 3, 4))).lower(
    arrays[0], mask, *arrays[1:]
  )
  scratch = compiled.compile().memory_analysis().temp_size_in_bytes
  assert scratch < batch * time * labels * 4 / 2
