"""Additive attention as a C++ function for CPUs.

`attention_cpu_kernel.cc` holds the equations and `attention_cpu.cc` the calls.
The kernel computes no padded position, and the gradient of the states in one
pass.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax

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
    instruction_set: one of `cpu.instruction_sets()`; '' is the best one.

  Raises:
    ValueError: the kernel is not there, or the states are not float32.
  """
  arrays = h_BxTxF, kernel_FxA, bias_A, query_A
  for array in arrays:
    cpu.check(array.dtype)
  mask_BxT, arrays = vary_like((mask_BxT, arrays), h_BxTxF)
  return _attention(instruction_set)(mask_BxT, arrays)


@functools.cache
def _attention(instruction_set: str) -> Callable[..., Any]:
  return cpu.differentiable(
    functools.partial(_forward, instruction_set),
    functools.partial(_gradients, instruction_set),
    _reference,
  )


def _forward(instruction_set, mask_BxT, arrays, save):
  """The context and the weights, and u = tanh(W h + b) for the gradients."""
  h_BxTxF, kernel_FxA, bias_A, query_A = arrays
  batch, time, features = h_BxTxF.shape
  context_BxF, weights_BxT, u_BxTxA = cpu.call(
    'AttentionForward',
    instruction_set,
    [
      (batch, features),
      (batch, time),
      (batch, time, query_A.size) if save else (0,),
    ],
    h_BxTxF,
    mask_BxT,
    kernel_FxA,
    bias_A,
    query_A,
  )
  return (context_BxF, weights_BxT), u_BxTxA


def _gradients(instruction_set, mask_BxT, arrays, outputs, u_BxTxA, d_outputs):
  h_BxTxF, kernel_FxA, bias_A, query_A = arrays
  _, weights_BxT = outputs
  dh, d_kernel, d_bias, d_query = cpu.call(
    'AttentionBackward',
    instruction_set,
    [array.shape for array in arrays],
    h_BxTxF,
    mask_BxT,
    kernel_FxA,
    query_A,
    weights_BxT,
    u_BxTxA,
    *d_outputs,
  )
  return dh, d_kernel, d_bias, d_query


def _reference(mask_BxT, arrays):
  h_BxTxF, *others = arrays
  return attention_reference.additive_attention(h_BxTxF, mask_BxT, *others)
