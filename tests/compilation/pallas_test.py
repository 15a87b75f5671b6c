"""The Pallas kernels, compiled for TPUs and GPUs that are not there."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from bigru_jax.compilation import hlo, targets
from bigru_jax.ops import gru_pallas
from bigru_jax.ops.gru import GRUParams, bidirectional_gru

pytestmark = pytest.mark.slow
TIME, FEATURES = 24, 100
REPLICATED, BY_EXAMPLE = P(), P('data')


def _gradient(target, batch, hidden, dtype, masked, transform=lambda f: f):
  """Compiles a layer's gradient, which needs both loops."""
  mesh = jax.sharding.Mesh(np.array(target.devices), ('data',))

  def array(*shape, dtype=dtype, spec=REPLICATED):
    sharding = jax.NamedSharding(mesh, spec)
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

  params = GRUParams(
    array(2, 3 * hidden, FEATURES),
    array(2, 3 * hidden, hidden),
    array(2, 3 * hidden),
    array(2, hidden),
  )
  x = array(batch, TIME, FEATURES, spec=BY_EXAMPLE)
  mask = array(batch, TIME, dtype=jnp.bool_, spec=BY_EXAMPLE)
  keep = array(batch, 2, hidden, spec=BY_EXAMPLE) if masked else None

  def loss(params, x, mask, keep):
    states, _ = bidirectional_gru(
      x,
      mask,
      params,
      recurrent_mask=None if keep is None else keep.swapaxes(0, 1),
      implementation='pallas',
    )
    return jnp.sum(states.astype(jnp.float32) ** 2)

  def gradient(params, *arrays):
    grads = jax.grad(loss)(params, *arrays)
    return grads if mesh.size == 1 else jax.lax.psum(grads, 'data')

  run = transform(gradient)
  if mesh.size > 1:
    specs = REPLICATED, BY_EXAMPLE, BY_EXAMPLE, BY_EXAMPLE
    run = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=REPLICATED)
  program = jax.jit(run).lower(params, x, mask, keep).compile()
  return program.as_text()


# Of a GPU, the sizes that the smallest shared memory, an A100's, just holds.
CASES = [
  ('a100', 64, 100, 'bfloat16', True),
  ('a100', 64, 64, 'float32', False),
  ('h100', 1024, 128, 'bfloat16', False),
  ('h100x4', 1024, 128, 'bfloat16', True),
  ('b200', 64, 128, 'bfloat16', True),
  ('v5e:1x1', 64, 100, 'float32', True),
  ('v5e:1x1', 1024, 128, 'bfloat16', False),
  ('v5e:2x2', 1024, 300, 'bfloat16', True),
  ('v6e:1x1', 64, 512, 'float32', False),
  ('v5p:1x1x1', 256, 768, 'bfloat16', False),
]
CUSTOM_CALLS = {'gpu': '__gpu$xla.gpu.triton', 'tpu': 'tpu_custom_call'}


@pytest.mark.parametrize('name, batch, hidden, dtype, masked', CASES)
def test_a_loop_over_time_is_one_kernel(
  name, batch, hidden, dtype, masked, compiler
):
  compiler('tpu' if ':' in name else 'gpu')
  target = targets.find(name)
  text = _gradient(target, batch, hidden, dtype, masked)
  assert _kernels(text, target) == 2
  assert not hlo.loops(text)


def test_sizes_that_do_not_fit_have_the_loops_of_scan(compiler):
  compiler('gpu')
  target = targets.find('h100')
  text = _gradient(target, 64, 1024, 'bfloat16', masked=False)
  assert not _kernels(text, target)
  assert len(hlo.loops(text)) == 2


@pytest.mark.parametrize('name', ['h100', 'v5e:1x1'])
def test_the_kernels_compile_under_vmap(name, compiler):
  compiler('tpu' if ':' in name else 'gpu')
  target = targets.find(name)

  def by_text(gradient):
    return jax.vmap(
      lambda params, x, mask, _: gradient(params, x[None], mask[None], None),
      in_axes=(None, 0, 0, None),
    )

  text = _gradient(target, 8, 64, 'bfloat16', False, by_text)
  assert _kernels(text, target) == 2


def test_the_compiler_refuses_more_shared_memory_than_there_is(
  monkeypatch, compiler
):
  """So what compiles fits; the kernels' own limit is close to the chip's."""
  compiler('gpu')
  monkeypatch.setattr(gru_pallas, 'SHARED_MEMORY', 2**30)
  with pytest.raises(jax.errors.JaxRuntimeError, match='Shared memory size'):
    _gradient(targets.find('a100'), 64, 128, 'float32', False)


def _kernels(text, target):
  return text.count(f'custom_call_target="{CUSTOM_CALLS[target.platform]}"')
