"""Label-wise attention: each label has its own attention over the text.

Mullenbach et al., 2018, https://aclanthology.org/N18-1100, equations 2 to 4:

  a_c = softmax_t(q_c . h_t),  v_c = sum_t a_ct h_t,  logit_c = k_c . v_c + b_c

Here a logit is computed as sum_t a_ct (k_c . h_t) + b_c, without the context.
"""

import jax
import jax.numpy as jnp

from bigru_jax.ops.attention_reference import masked_softmax

BLOCK = 128  # Labels whose scores are held at the same time.


def label_wise_logits(
  h_BxTxF: jax.Array,
  mask_BxT: jax.Array,
  query_CxF: jax.Array,
  kernel_CxF: jax.Array,
  bias_C: jax.Array,
) -> jax.Array:
  """Returns the logits [B, C] in float32.

  Logits and gradients are computed for `BLOCK` labels at a time, so that any
  number of labels takes only a few arrays of 4 * B * T * BLOCK bytes: 16 MB
  each for 64 texts of 512 tokens.

  Args:
    h_BxTxF: the states.
    mask_BxT: bool, True at real positions.
    query_CxF, kernel_CxF, bias_C: q, k and b of every label.
  """

  def block_logits(parameters):
    query_KxF, kernel_KxF = parameters
    weights_BxKxT = label_attention(h_BxTxF, mask_BxT, query_KxF)
    values_BxKxT = _scores(kernel_KxF, h_BxTxF)
    return jnp.sum(weights_BxKxT * values_BxKxT, axis=-1)

  labels, features = query_CxF.shape
  if labels <= BLOCK:
    return block_logits((query_CxF, kernel_CxF)) + bias_C
  blocks = -(-labels // BLOCK)

  def in_blocks(x_CxF):
    padding = blocks * BLOCK - labels
    padded = jnp.pad(x_CxF, ((0, padding), (0, 0)))
    return padded.reshape(blocks, BLOCK, features)

  logits = jax.lax.map(
    jax.checkpoint(block_logits), (in_blocks(query_CxF), in_blocks(kernel_CxF))
  )
  logits_BxC = logits.swapaxes(0, 1).reshape(h_BxTxF.shape[0], -1)[:, :labels]
  return logits_BxC + bias_C


def label_attention(
  h_BxTxF: jax.Array, mask_BxT: jax.Array, query: jax.Array
) -> jax.Array:
  """Returns the attention weights [B, K, T] of queries [K, F] or [B, K, F]."""
  return masked_softmax(_scores(query, h_BxTxF), mask_BxT[:, None])


def _scores(query: jax.Array, h_BxTxF: jax.Array) -> jax.Array:
  return jnp.matmul(query, h_BxTxF.mT, preferred_element_type=jnp.float32)
