"""The GRU as a C++ function for CPUs.

`gru_cpu_kernel.cc` holds the equations and `gru_cpu.cc` the calls. One call
takes the place of the loop and of all its matmuls, uses XLA's threads inside,
and computes no padded position.

The axes are those of `gru_reference`.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import jax.numpy as jnp

from bigru_jax.ops import cpu, gru_reference
from bigru_jax.ops.gru_reference import GRUParams
from bigru_jax.ops.varying import vary_like


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  scale_DxBxH: jax.Array | None = None,
  instruction_set: str = '',
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`.

  Args:
    x_BxTxE, mask_BxT, params, initial_state_DxBxH, scale_DxBxH: see there.
    instruction_set: one of `cpu.instruction_sets()`; '' is the best one.

  Raises:
    ValueError: the kernel is not there, or the inputs are not float32.
  """
  cpu.check(x_BxTxE.dtype)
  hidden = params.w_recurrent_DxGxH.shape[-1]
  arrays = x_BxTxE, params, initial_state_DxBxH, scale_DxBxH
  mask_BxT, arrays = vary_like((mask_BxT, arrays), x_BxTxE)
  h_BxTx2H = _layer(instruction_set)(mask_BxT, arrays)
  final_DxBxH = jnp.stack([h_BxTx2H[:, -1, :hidden], h_BxTx2H[:, 0, hidden:]])
  return h_BxTx2H, final_DxBxH


@functools.cache
def _layer(instruction_set: str) -> Callable[..., Any]:
  return cpu.differentiable(
    functools.partial(_forward, instruction_set),
    functools.partial(_gradients, instruction_set),
    _reference,
  )


def _forward(instruction_set, mask_BxT, arrays, save):
  """The states h_BxTx2H and the gates [2, T, B, 4H] for the gradients."""
  x_BxTxE, params, h0_DxBxH, scale_DxBxH = arrays
  batch, time, _ = x_BxTxE.shape
  hidden = h0_DxBxH.shape[-1]
  return cpu.call(
    'GruForward',
    instruction_set,
    [
      (batch, time, 2 * hidden),
      (2, time, batch, 4 * hidden) if save else (0,),
    ],
    x_BxTxE,
    mask_BxT,
    *params,
    h0_DxBxH,
    cpu.or_empty(scale_DxBxH, x_BxTxE),
  )


def _gradients(instruction_set, mask_BxT, arrays, h_BxTx2H, gates, dh_BxTx2H):
  x_BxTxE, params, h0_DxBxH, scale_DxBxH = arrays
  shapes = [x_BxTxE.shape, *(p.shape for p in params), h0_DxBxH.shape]
  shapes.append((0,) if scale_DxBxH is None else scale_DxBxH.shape)
  dx, dw_input, dw_recurrent, db, db_n, dh0, dscale = cpu.call(
    'GruBackward',
    instruction_set,
    shapes,
    x_BxTxE,
    mask_BxT,
    params.w_input_DxGxE,
    params.w_recurrent_DxGxH,
    h0_DxBxH,
    cpu.or_empty(scale_DxBxH, x_BxTxE),
    h_BxTx2H,
    gates,
    dh_BxTx2H,
  )
  return (
    dx,
    GRUParams(dw_input, dw_recurrent, db, db_n),
    dh0,
    None if scale_DxBxH is None else dscale,
  )


def _reference(mask_BxT, arrays):
  x_BxTxE, *others = arrays
  return gru_reference.bidirectional_gru(x_BxTxE, mask_BxT, *others)[0]
