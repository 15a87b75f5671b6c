"""The bidirectional GRU as a function of arrays: checks and dispatch.

`gru_reference` has the equations and explains the letters of the axes. Each
implementation is a module of this folder with a function that takes the
arguments of `gru_reference.bidirectional_gru`; it may use any layout inside.
"""

import jax
import jax.numpy as jnp

from bigru_jax.ops import (
  cpu,
  gru_cpu,
  gru_reference,
  gru_scan,
  gru_xla,
)
from bigru_jax.ops.gru_reference import GRUParams

__all__ = ['IMPLEMENTATIONS', 'GRUParams', 'bidirectional_gru']


def _pallas(*arguments):
  from bigru_jax.ops import gru_pallas  # Importing Pallas takes 0.1 s.

  return gru_pallas.bidirectional_gru(*arguments)


IMPLEMENTATIONS = {
  'cpu': gru_cpu.bidirectional_gru,
  'pallas': _pallas,
  'reference': gru_reference.bidirectional_gru,
  'scan': gru_scan.bidirectional_gru,
  'xla': gru_xla.bidirectional_gru,
}


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  *,
  initial_state: jax.Array | None = None,
  recurrent_mask: jax.Array | None = None,
  implementation: str | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Runs one bidirectional GRU layer over a padded batch.

  Examples:
    >>> params = GRUParams(
    ...   jnp.ones((2, 12, 3)), jnp.ones((2, 12, 4)),
    ...   jnp.zeros((2, 12)), jnp.zeros((2, 4)))
    >>> mask = jnp.array([[True, True], [True, False]])
    >>> h, final = bidirectional_gru(jnp.ones((2, 2, 3)), mask, params)
    >>> h.shape, final.shape
    ((2, 2, 8), (2, 2, 4))

  Args:
    x_BxTxE: the inputs; finite, at padding as well.
    mask_BxT: True at real positions; at padding the state passes through.
    params: the weights and biases of both directions.
    initial_state: [2, B, H], the state before the first position of each
      direction; zeros by default.
    recurrent_mask: [2, B, H]; it multiplies the state before the recurrent
      product at every position, as variational dropout does (Gal & Ghahramani,
      2016, https://arxiv.org/abs/1512.05287).
    implementation: 'cpu', a C++ kernel for float32 on x86-64 and aarch64, and
      for bfloat16 on x86-64 with AVX512_BF16; 'scan', a loop of few kernels for
      GPUs and TPUs; 'pallas', one kernel for all steps, for TPUs and NVIDIA's
      GPUs, which has never been timed: on other platforms, and for sizes that
      do not fit on the chip, it is 'scan'; 'xla', a loop for CPUs; or
      'reference', a plain `lax.scan`. The first four define reverse-mode
      derivatives of any order but raise TypeError under `jax.jvp`; 'reference'
      supports every transformation. None picks 'scan' on a GPU or a TPU; on a
      CPU, the kernel if there is one for the dtype and the processor, and 'xla'
      otherwise.

  Returns:
    The states h_BxTx2H of both directions, concatenated, and the final states
    [2, B, H]: the forward direction's at the last position, the backward
    direction's at the first.

  Raises:
    ValueError: a shape or the dtype of the mask does not match, the
      implementation is unknown, or 'cpu' is not available.
  """
  if x_BxTxE.ndim != 3 or not x_BxTxE.shape[1]:
    raise ValueError(
      f'x_BxTxE has shape {x_BxTxE.shape}; expected [B, T, E] with T above 0'
    )
  batch, time, features = x_BxTxE.shape
  hidden = params.w_recurrent_DxGxH.shape[-1]
  if mask_BxT.dtype != bool:
    raise ValueError(f'mask_BxT is {mask_BxT.dtype}; expected bool')
  expected = {
    'mask_BxT': (mask_BxT, (batch, time)),
    'w_input_DxGxE': (params.w_input_DxGxE, (2, 3 * hidden, features)),
    'w_recurrent_DxGxH': (params.w_recurrent_DxGxH, (2, 3 * hidden, hidden)),
    'b_DxG': (params.b_DxG, (2, 3 * hidden)),
    'b_n_DxH': (params.b_n_DxH, (2, hidden)),
    'initial_state': (initial_state, (2, batch, hidden)),
    'recurrent_mask': (recurrent_mask, (2, batch, hidden)),
  }
  for name, (array, shape) in expected.items():
    if array is not None and array.shape != shape:
      raise ValueError(
        f'{name} has shape {array.shape}; expected {shape}: x_BxTxE has '
        f'shape {x_BxTxE.shape} and H is {hidden}'
      )
  if implementation not in (None, *IMPLEMENTATIONS):
    raise ValueError(
      f'implementation={implementation!r}: choose '
      f'{", ".join(IMPLEMENTATIONS)} or None'
    )
  if initial_state is None:
    # Made from x, so that inside shard_map it varies over the same mesh axes.
    initial_state = jnp.broadcast_to(
      jnp.zeros_like(x_BxTxE[:, 0, :1]), (2, batch, hidden)
    )
  run = IMPLEMENTATIONS[implementation] if implementation else _best
  mask_BxT = jnp.asarray(mask_BxT)
  return run(x_BxTxE, mask_BxT, params, initial_state, recurrent_mask)


def best_implementation(platform: str, dtype: jax.typing.DTypeLike) -> str:
  """Describes what `implementation=None` picks on a platform such as 'cpu'."""
  if platform != 'cpu':
    return "'scan', the loop for accelerators"
  if names := cpu.instruction_sets(jnp.dtype(dtype).name):
    return f"'cpu', the C++ kernel for {names[0]}"
  return "'xla', the loop"


def _best(x_BxTxE, *arguments):
  """Runs the best implementation for the platform of the program."""
  on_cpu = gru_cpu if cpu.supports(x_BxTxE) else gru_xla
  return jax.lax.platform_dependent(
    x_BxTxE,
    *arguments,
    cpu=on_cpu.bidirectional_gru,
    default=gru_scan.bidirectional_gru,
  )
