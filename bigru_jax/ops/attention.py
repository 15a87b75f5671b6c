"""Attention as functions of arrays; `models.pooling` makes layers of them."""

import jax

from bigru_jax.ops import attention_cpu, attention_reference, cpu
from bigru_jax.ops.attention_reference import masked_softmax, weighted_mean

__all__ = [
  'IMPLEMENTATIONS',
  'additive_attention',
  'masked_softmax',
  'weighted_mean',
]

IMPLEMENTATIONS = {
  'cpu': attention_cpu.additive_attention,
  'reference': attention_reference.additive_attention,
}


def additive_attention(
  h_BxTxF: jax.Array,
  mask_BxT: jax.Array,
  kernel_FxA: jax.Array,
  bias_A: jax.Array,
  query_A: jax.Array,
  *,
  implementation: str | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Averages the states with the weights softmax(u^T tanh(W^T h_t + b)).

  Bahdanau et al., 2015, https://arxiv.org/abs/1409.0473; in this form Yang et
  al., 2016, https://aclanthology.org/N16-1174, equations 5 to 7.

  Example:
    >>> import jax.numpy as jnp
    >>> h = jnp.array([[[1.0], [3.0], [9.0]]])
    >>> mask = jnp.array([[True, True, False]])
    >>> zeros = jnp.zeros((1, 2)), jnp.zeros(2), jnp.zeros(2)
    >>> context, weights = additive_attention(h, mask, *zeros)
    >>> context.tolist(), weights.tolist()
    ([[2.0]], [[0.5, 0.5, 0.0]])

  Args:
    h_BxTxF: the states; finite, at padding as well.
    mask_BxT: bool, True at real positions.
    kernel_FxA, bias_A, query_A: W, b and u.
    implementation: 'cpu', a C++ kernel, or 'reference', plain JAX, as in
      `gru.bidirectional_gru`. None picks the kernel if it is available.

  Returns:
    The context [B, F], and the weights [B, T] in float32. The weights are
    exactly zero at padding, and for an example without real positions.

  Raises:
    ValueError: a shape or the dtype of the mask does not match, the
      implementation is unknown, or 'cpu' is not available.
  """
  attention_features = query_A.shape[-1]
  expected = {
    'h_BxTxF': (h_BxTxF, (*mask_BxT.shape, h_BxTxF.shape[-1])),
    'kernel_FxA': (kernel_FxA, (h_BxTxF.shape[-1], attention_features)),
    'bias_A': (bias_A, (attention_features,)),
    'query_A': (query_A, (attention_features,)),
  }
  for name, (array, shape) in expected.items():
    if array.shape != shape:
      raise ValueError(f'{name} has shape {array.shape}; expected {shape}')
  if mask_BxT.dtype != bool:
    raise ValueError(f'mask_BxT is {mask_BxT.dtype}; expected bool')
  if implementation not in (None, *IMPLEMENTATIONS):
    raise ValueError(
      f'implementation={implementation!r}: choose '
      f'{", ".join(IMPLEMENTATIONS)} or None'
    )
  arrays = h_BxTxF, mask_BxT, kernel_FxA, bias_A, query_A
  if implementation:
    return IMPLEMENTATIONS[implementation](*arrays)
  if not cpu.supports(h_BxTxF, kernel_FxA, bias_A, query_A):
    return attention_reference.additive_attention(*arrays)
  return jax.lax.platform_dependent(
    *arrays,
    cpu=attention_cpu.additive_attention,
    default=attention_reference.additive_attention,
  )
