"""The GRU's loops over time as one Pallas kernel each, for TPUs and GPUs.

`gru_scan` launches kernels for every time step, and on a GPU each product reads
the recurrent weights again. Here one kernel runs over all steps for a block of
the batch in one direction, and keeps the weights and the state on the chip, as
FlashRNN does (Pöppel et al., 2024, https://arxiv.org/abs/2412.07752). All else
is that of `gru_scan`, also the derivatives of second and higher order. One body
serves both kinds of chips: `gru_pallas_loops`.
"""

from collections.abc import Callable
import functools

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu, triton
import jax.numpy as jnp

from bigru_jax.ops import gru_pallas_loops, gru_scan
from bigru_jax.ops.gru_pallas_loops import Launch
from bigru_jax.ops.gru_reference import GRUParams

# What a kernel's blocks may take. A TPU's compiler gives a kernel 16 MiB of
# VMEM by default and needs a part for itself. A block of threads has 227 KiB of
# shared memory on an H100 but 163 KiB on an A100; the program is traced for
# both.
VMEM = 12 * 2**20
SHARED_MEMORY = 163 * 2**10

_Sizes = Callable[[int, int, int, jax.typing.DTypeLike], Launch | None]


def on_tpu(
  time: int, batch: int, hidden: int, dtype: jax.typing.DTypeLike
) -> Launch | None:
  """Returns how to launch the kernels on a TPU, or None if VMEM is too small.

  VMEM holds two blocks of every array: the present one and the next one.
  """
  itemsize = jnp.dtype(dtype).itemsize
  units = pl.cdiv(hidden, 128) * 128
  steps = next(steps for steps in range(8, 0, -1) if time % steps == 0)
  for rows in (256, 128, 64, 32, 16):
    # Of a step 3H projections, H states and 4H gates (7H going back); beside
    # them up to three arrays of states in float32.
    stream = steps * rows * 8 * units * itemsize
    total = 2 * (stream + 3 * units * units * itemsize + 3 * rows * units * 4)
    if total <= VMEM and rows < 2 * max(batch, 16):
      params = tpu.CompilerParams(dimension_semantics=('parallel', 'arbitrary'))
      return Launch(steps, rows, units, params)
  return None


def on_gpu(
  time: int, batch: int, hidden: int, dtype: jax.typing.DTypeLike
) -> Launch | None:
  """Returns how to launch the kernels on a GPU, or None if they do not fit.

  Shared memory holds the weights and, while they are brought into the order of
  the product, the operands of a step. Triton's sizes are powers of two, and its
  products have at least 16 rows and columns.
  """
  del batch
  units = max(16, pl.next_power_of_2(hidden))
  rows = 16
  total = 3 * (units + rows) * units * jnp.dtype(dtype).itemsize
  if total > SHARED_MEMORY:
    return None
  params = triton.CompilerParams(num_warps=8, num_stages=1)
  return Launch(time, rows, units, params)


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  recurrent_mask_DxBxH: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`.

  Sizes that do not fit on the chip, dtypes other than float32 and bfloat16, and
  platforms other than TPUs and NVIDIA's GPUs take the loops of `gru_scan`.
  """
  arrays = x_BxTxE, mask_BxT, params, initial_state_DxBxH, recurrent_mask_DxBxH
  return jax.lax.platform_dependent(
    *arrays,
    tpu=functools.partial(run, on_tpu),
    cuda=functools.partial(run, on_gpu),
    default=gru_scan.bidirectional_gru,
  )


def run(
  launch_of: _Sizes,
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  recurrent_mask_DxBxH: jax.Array | None = None,
  interpret: bool = False,
) -> tuple[jax.Array, jax.Array]:
  """Runs the kernels of a kind of chips, or `gru_scan` if it refuses the sizes.

  Args:
    launch_of: `on_tpu` or `on_gpu`.
    x_BxTxE: and the arguments after it: see `gru.bidirectional_gru`.
    interpret: run the kernels' operations one by one, on any device.
  """
  arrays = x_BxTxE, mask_BxT, params, initial_state_DxBxH, recurrent_mask_DxBxH
  batch, time, _ = x_BxTxE.shape
  hidden = params.w_recurrent_DxGxH.shape[-1]
  launch = launch_of(time, batch, hidden, x_BxTxE.dtype)
  if launch is None or x_BxTxE.dtype not in (jnp.float32, jnp.bfloat16):
    return gru_scan.bidirectional_gru(*arrays)
  loops = _loops(launch._replace(interpret=interpret))
  return gru_scan.bidirectional_gru(*arrays, loops)


def _loops(launch: Launch) -> gru_scan.Loops:
  """Returns the loops, whose derivatives are those of `gru_scan`'s loops."""

  def forward(save, *arrays):
    kernel = functools.partial(gru_pallas_loops.forward_loop, launch, save)
    loop = functools.partial(gru_scan.forward_loop, save)
    return _with_derivatives_of(loop, kernel)(*arrays)

  backward = functools.partial(gru_pallas_loops.backward_loop, launch)
  return gru_scan.Loops(
    forward, _with_derivatives_of(gru_scan.backward_loop, backward)
  )


def _with_derivatives_of(differentiable, function):
  result = jax.custom_vjp(function)
  result.defvjp(
    lambda *arrays: (function(*arrays), arrays),
    lambda arrays, gradients: jax.vjp(differentiable, *arrays)[1](gradients),
  )
  return result
