"""The GRU as a C++ function for CPUs.

`gru_cpu_kernel.cc` holds the equations and `gru_cpu.cc` the calls. One call
replaces the loop and all its matmuls, runs on XLA's threads and skips padded
positions. For bfloat16 inputs, what the products multiply is rounded to
bfloat16, as is what the gradient needs; sums, the gates and the state that a
step passes to the next one are float32.

The axes are those of `gru_reference`.
"""

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
  recurrent_mask_DxBxH: jax.Array | None = None,
  instruction_set: str = '',
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`.

  Args:
    x_BxTxE, mask_BxT, params, initial_state_DxBxH, recurrent_mask_DxBxH: see
      there.
    instruction_set: one of `cpu.instruction_sets(dtype)`; '' is the best one.

  Raises:
    ValueError: the kernel is not available for the dtype of the inputs.
  """
  cpu.check(x_BxTxE, *params, initial_state_DxBxH)
  if recurrent_mask_DxBxH is None:
    recurrent_mask_DxBxH = jnp.zeros(0, jnp.float32)  # The kernel's None.
  w_input_DxGxE, w_recurrent_DxGxH, *biases = params
  arrays = (
    *(x_BxTxE, w_input_DxGxE, w_recurrent_DxGxH),
    *(bias.astype(jnp.float32) for bias in biases),
    *(initial_state_DxBxH, recurrent_mask_DxBxH.astype(jnp.float32)),
  )
  mask_BxT, arrays = vary_like((mask_BxT, arrays), x_BxTxE)
  layer = cpu.differentiable(instruction_set, _forward, _gradients, _reference)
  h_BxTx2H = layer(mask_BxT, arrays)
  hidden = h_BxTx2H.shape[-1] // 2
  final_DxBxH = jnp.stack([h_BxTx2H[:, -1, :hidden], h_BxTx2H[:, 0, hidden:]])
  return h_BxTx2H, final_DxBxH


def _forward(instruction_set, mask_BxT, arrays, save):
  """Returns h_BxTx2H and, for the gradients, the gates [2, T, B, 4H]."""
  x_BxTxE, *_, h0_DxBxH, _ = arrays
  batch, time, _ = x_BxTxE.shape
  hidden = h0_DxBxH.shape[-1]
  gates = (2, time, batch, 4 * hidden) if save else (0,)
  results = [
    jax.ShapeDtypeStruct(shape, x_BxTxE.dtype)
    for shape in ((batch, time, 2 * hidden), gates)
  ]
  inputs = x_BxTxE, mask_BxT, *arrays[1:]
  return cpu.call('GruForward', instruction_set, results, *inputs)


def _gradients(instruction_set, mask_BxT, arrays, h_BxTx2H, gates, dh_BxTx2H):
  x_BxTxE, w_input, w_recurrent, _, _, *states = arrays
  inputs = x_BxTxE, mask_BxT, w_input, w_recurrent, *states
  residuals = h_BxTx2H, gates, dh_BxTx2H
  return cpu.call_gradients(
    'GruBackward', instruction_set, arrays, *inputs, *residuals,
    aliases={0: 0, len(inputs) + 1: len(arrays)}, spent=[gates],
  )  # fmt: skip


def _reference(mask_BxT, arrays):
  x_BxTxE, *params, h0_DxBxH, recurrent_mask = (
    array.astype(arrays[0].dtype) for array in arrays
  )
  return gru_reference.bidirectional_gru(
    x_BxTxE,
    mask_BxT,
    GRUParams(*params),
    h0_DxBxH,
    recurrent_mask if recurrent_mask.ndim == 3 else None,
  )[0]
