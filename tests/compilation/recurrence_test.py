"""The recurrence, compiled for GPUs that are not there."""

import jax
import jax.numpy as jnp
import pytest

from bigru_jax.compilation import hlo, steps, targets
from bigru_jax.ops import gru_scan
from bigru_jax.ops.gru import GRUParams, bidirectional_gru

pytestmark = pytest.mark.slow
TIME = 24


def _kernels_per_step(
  gpu, batch, hidden, dtype, masked, gradients, options=None
):
  """Compiles the default implementation and counts its loops' kernels."""
  sharding = jax.sharding.SingleDeviceSharding(targets.find(gpu).devices[0])

  def array(*shape, dtype=dtype):
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

  x = array(batch, TIME, 100)
  mask = array(batch, TIME, dtype=jnp.bool_)
  params = GRUParams(
    array(2, 3 * hidden, 100),
    array(2, 3 * hidden, hidden),
    array(2, 3 * hidden),
    array(2, hidden),
  )
  recurrent_mask = array(2, batch, hidden) if masked else None

  def states(params, x, mask, recurrent_mask):
    return bidirectional_gru(x, mask, params, recurrent_mask=recurrent_mask)[0]

  def loss(*arguments):
    return jnp.sum(states(*arguments).astype(jnp.float32) ** 2)

  run = jax.grad(loss, argnums=(0, 1)) if gradients else states
  lowered = jax.jit(run).lower(params, x, mask, recurrent_mask)
  program = lowered.compile(compiler_options=options)
  return hlo.kernels_per_step(program.as_text(), TIME, gru_scan.UNROLL)


CASES = [
  (64, 128, 'float32', False),
  (64, 128, 'bfloat16', True),
  (1024, 128, 'bfloat16', False),
  (256, 300, 'float32', True),
]


# An H200 has the architecture of an H100, and so the same kernels.
@pytest.mark.parametrize(
  'gpu, case',
  [*(('h100', case) for case in CASES), ('a100', CASES[1]), ('b200', CASES[2])],
)
def test_a_time_step_launches_few_kernels(gpu, case, compiler):
  compiler('gpu')
  _check_kernels(gpu, case)


def test_it_launches_few_with_the_products_of_cublas(compiler):
  """A card may find them faster than XLA's own."""
  compiler('gpu')
  _check_kernels('h100', CASES[1], steps.CUBLAS)


def _check_kernels(gpu, case, options=None):
  (inference,) = _kernels_per_step(gpu, *case, gradients=False, options=options)
  assert inference <= 3
  forward, backward = _kernels_per_step(
    gpu, *case, gradients=True, options=options
  )
  assert forward <= 3
  assert backward <= 4
