"""Additive attention as a C++ function for CPUs.

`attention_cpu_kernel.cc` holds the equations and `attention_cpu.cc` the calls.
The kernel skips padded positions and computes the gradient of the states in one
pass. For bfloat16 inputs, what the products multiply is rounded to bfloat16, as
is what the gradient needs; sums, scores and weights are float32.
"""

import jax
import jax.numpy as jnp

from bigru_jax.ops import attention_reference, cpu
from bigru_jax.ops.varying import vary_like


def additive_attention(
  h_BxTxF: jax.Array,
  mask_BxT: jax.Array,
  kernel_FxA: jax.Array,
  bias_A: jax.Array,
  query_A: jax.Array,
  instruction_set: str = '',
) -> tuple[jax.Array, jax.Array]:
  """See `attention.additive_attention`.

  Args:
    h_BxTxF, mask_BxT, kernel_FxA, bias_A, query_A: see there.
    instruction_set: one of `cpu.instruction_sets(dtype)`; '' is the best one.

  Raises:
    ValueError: the kernel is not available for the dtype of the arrays, or
      their dtypes differ.
  """
  cpu.check(h_BxTxF, kernel_FxA, bias_A, query_A)
  vectors = (vector.astype(jnp.float32) for vector in (bias_A, query_A))
  arrays = h_BxTxF, kernel_FxA, *vectors
  mask_BxT, arrays = vary_like((mask_BxT, arrays), h_BxTxF)
  attend = cpu.differentiable(instruction_set, _forward, _gradients, _reference)
  return attend(mask_BxT, arrays)


def _forward(instruction_set, mask_BxT, arrays, save):
  """Returns (context, weights), and u = tanh(W h + b) for the gradients."""
  h_BxTxF, *params = arrays
  batch, time, features = h_BxTxF.shape
  u = (batch, time, params[-1].size) if save else (0,)
  results = [
    jax.ShapeDtypeStruct((batch, features), h_BxTxF.dtype),
    jax.ShapeDtypeStruct((batch, time), jnp.float32),
    jax.ShapeDtypeStruct(u, h_BxTxF.dtype),
  ]
  *outputs, u_BxTxA = cpu.call(
    'AttentionForward', instruction_set, results, h_BxTxF, mask_BxT, *params
  )
  return tuple(outputs), u_BxTxA


def _gradients(instruction_set, mask_BxT, arrays, outputs, u_BxTxA, d_outputs):
  h_BxTxF, kernel_FxA, _, query_A = arrays
  inputs = h_BxTxF, mask_BxT, kernel_FxA, query_A
  residuals = outputs[1], u_BxTxA, *d_outputs
  # The kernel reads u at a position before it writes dh there.
  aliases = {5: 0} if u_BxTxA.shape == h_BxTxF.shape else None
  return cpu.call_gradients(
    'AttentionBackward', instruction_set, arrays, *inputs, *residuals,
    aliases=aliases,
  )  # fmt: skip


def _reference(mask_BxT, arrays):
  h_BxTxF, *params = (array.astype(arrays[0].dtype) for array in arrays)
  return attention_reference.additive_attention(h_BxTxF, mask_BxT, *params)
