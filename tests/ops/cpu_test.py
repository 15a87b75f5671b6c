"""The kernels in an installation: where they run, and their checks."""

import functools
import pathlib
import platform
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bigru_jax.ops import attention, cpu, gru, gru_cpu
from bigru_jax.ops.gru import GRUParams, bidirectional_gru

needs_compiler = pytest.mark.skipif(
  not shutil.which('c++') or platform.machine() != 'x86_64',
  reason='there is no C++ compiler for x86-64',
)


def _arguments(batch=3, time=4, features=5, hidden=6):
  ones = jnp.ones
  params = GRUParams(
    ones((2, 3 * hidden, features)),
    ones((2, 3 * hidden, hidden)),
    ones((2, 3 * hidden)),
    ones((2, hidden)),
  )
  mask = np.ones((batch, time), bool)
  return ones((batch, time, features)), mask, params


@needs_compiler
def test_the_kernel_is_built_where_there_is_a_compiler():
  assert 'avx2' in cpu.instruction_sets()
  words = gru.best_implementation('cpu', 'float32')
  assert words == f"'cpu', the C++ kernel for {cpu.instruction_sets()[0]}"


def test_without_the_kernel_xlas_loop_runs(monkeypatch):
  x, mask, params = _arguments()
  expected, _ = bidirectional_gru(x, mask, params, implementation='reference')
  monkeypatch.setattr(cpu, 'instruction_sets', lambda dtype: ())
  h, _ = bidirectional_gru(x, mask, params)
  np.testing.assert_allclose(h, expected, atol=1e-6)
  assert gru.best_implementation('cpu', 'float32') == "'xla', the loop"
  with pytest.raises(ValueError, match='kernel has not been compiled'):
    bidirectional_gru(x, mask, params, implementation='cpu')


@pytest.mark.parametrize('machine, count', [('aarch64', 1), ('riscv64', 0)])
def test_a_missing_kernel_is_said_once_where_there_could_be_one(
  monkeypatch, caplog, tmp_path, machine, count
):
  load = functools.cache(cpu._library.__wrapped__)
  monkeypatch.setattr(cpu, '_library', load)
  monkeypatch.setattr(cpu, 'instruction_sets', cpu.instruction_sets.__wrapped__)
  monkeypatch.setattr(cpu, 'LIBRARY', tmp_path / 'missing.lib.so')
  monkeypatch.setattr(platform, 'machine', lambda: machine)
  x, mask, params = _arguments()
  for _ in range(2):
    bidirectional_gru(x, mask, params)
  assert caplog.text.count('the C++ kernel cannot be loaded') == count
  assert caplog.text.count('pip install -e .') == count


@needs_compiler
def test_a_library_of_other_sources_is_refused(monkeypatch, caplog, tmp_path):
  library = shutil.copy(cpu.LIBRARY, tmp_path)
  monkeypatch.setattr(cpu, 'LIBRARY', pathlib.Path(library))
  (tmp_path / 'gru_cpu.h').write_text('// It has changed.')
  assert cpu._library.__wrapped__() is None
  assert 'was built from other sources' in caplog.text


def _in_bfloat16(arrays):
  return jax.tree.map(
    lambda a: a if a.dtype == bool else a.astype(jnp.bfloat16), arrays
  )


@needs_compiler
def test_bfloat16_runs_in_the_kernel_where_the_processor_can():
  features = pathlib.Path('/proc/cpuinfo').read_text()
  has_kernel = bool(cpu.instruction_sets('bfloat16'))
  assert has_kernel == ('avx512_bf16' in features)
  words = gru.best_implementation('cpu', 'bfloat16')
  best = 'amx_bf16' if 'amx_bf16' in features else 'avx512_bf16'
  name = f"'cpu', the C++ kernel for {best}"
  assert words == (name if has_kernel else "'xla', the loop")


def test_bfloat16_runs_in_xlas_loop_elsewhere(monkeypatch):
  x, mask, params = _in_bfloat16(_arguments())
  sets = {'float32': ('avx2',)}
  monkeypatch.setattr(cpu, 'instruction_sets', lambda x: sets.get(x, ()))
  h, _ = bidirectional_gru(x, mask, params)
  assert h.dtype == jnp.bfloat16
  message = 'bfloat16 inputs; the kernel takes float32 on this processor'
  with pytest.raises(ValueError, match=message):
    bidirectional_gru(x, mask, params, implementation='cpu')


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
def test_arrays_of_two_dtypes_are_refused():
  x, mask, params = _arguments()
  with pytest.raises(ValueError, match='float32 and bfloat16 inputs; the ker'):
    bidirectional_gru(x, mask, _in_bfloat16(params))


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
@pytest.mark.parametrize(
  'name, position, shape',
  [
    ('x', 0, (3, 4)),
    ('mask', 1, (3, 5)),
    ('w_input', 2, (2, 18, 6)),
    ('w_recurrent', 3, (2, 6, 6)),
    ('w_recurrent', 3, (18, 6)),
    ('b', 4, (2, 17)),
    ('b_n', 5, (1, 6)),
    ('h0', 6, (2, 2, 6)),
    ('recurrent_mask', 7, (2, 3, 5)),
    ('h', 8, (3, 4, 11)),
    ('gates', 9, (2, 4, 3, 23)),
  ],
)
def test_a_wrong_shape_in_the_gru_is_named(name, position, shape):
  x, mask, params = _arguments()
  shapes = [x.shape, mask.shape, *(p.shape for p in params), (2, 3, 6),
            (2, 3, 6), (3, 4, 12), (2, 4, 3, 24)]  # fmt: skip
  shapes[position] = shape
  arguments = [jnp.zeros(s) for s in shapes[:8]]
  arguments[1] = arguments[1].astype(bool)
  results = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes[8:]]
  call = jax.ffi.ffi_call('bigru_jax_GruForward_float32', results)
  with pytest.raises(jax.errors.JaxRuntimeError, match=f'shape of {name} '):
    jax.block_until_ready(call(*arguments, instruction_set=''))


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
@pytest.mark.parametrize(
  'name, position, shape',
  [
    ('h', 0, (3, 4)),
    ('mask', 1, (3, 5)),
    ('kernel', 2, (6, 7)),
    ('query', 3, (6,)),
    ('weights', 4, (3, 5)),
    ('u', 5, (3, 4, 6)),
    ('d_context', 6, (3, 4)),
    ('d_weights', 7, (2, 4)),
    ('dh', 8, (3, 4, 4)),
    ('d_kernel', 9, (6, 7)),
    ('d_bias', 10, (6,)),
    ('d_query', 11, (8,)),
  ],
)
def test_a_wrong_shape_in_the_gradient_of_attention_is_named(
  name, position, shape
):
  shapes = [(3, 4, 5), (3, 4), (5, 7), (7,), (3, 4), (3, 4, 7), (3, 5), (3, 4),
            (3, 4, 5), (5, 7), (7,), (7,)]  # fmt: skip
  shapes[position] = shape
  arguments = [jnp.zeros(s) for s in shapes[:8]]
  arguments[1] = arguments[1].astype(bool)
  results = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes[8:]]
  call = jax.ffi.ffi_call('bigru_jax_AttentionBackward_float32', results)
  with pytest.raises(jax.errors.JaxRuntimeError, match=f'shape of {name} '):
    jax.block_until_ready(call(*arguments, instruction_set=''))


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
def test_a_wrong_shape_is_printed_with_the_expected_one():
  h, kernel = jnp.zeros((3, 4)), jnp.zeros((5, 7))
  mask, vector = jnp.zeros((3, 4), bool), jnp.zeros(7)
  results = [
    jax.ShapeDtypeStruct(s, jnp.float32) for s in [(3, 5), (3, 4), (0,)]
  ]
  call = jax.ffi.ffi_call('bigru_jax_AttentionForward_float32', results)
  message = r'the shape of h is \[3, 4\], where .* need \[3, 4, \?\]'
  with pytest.raises(jax.errors.JaxRuntimeError, match=message):
    jax.block_until_ready(
      call(h, mask, kernel, vector, vector, instruction_set='')
    )
  message = r'the shape of mask is \[3, 4\], where .* need \[2, 4\]'
  with pytest.raises(jax.errors.JaxRuntimeError, match=message):
    jax.block_until_ready(
      call(
        jnp.zeros((2, 4, 5)), mask, kernel, vector, vector, instruction_set=''
      )
    )


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
def test_an_unknown_instruction_set_is_named():
  x, mask, params = _arguments()
  start = jnp.zeros((2, 3, 6))
  with pytest.raises(jax.errors.JaxRuntimeError, match="instruction set 'mmx'"):
    jax.block_until_ready(
      gru_cpu.bidirectional_gru(
        x, jnp.asarray(mask), params, start, instruction_set='mmx'
      )
    )


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
def test_infinite_and_nan_inputs_stay_in_their_example():
  x, mask, params = _arguments()
  h, _ = gru_cpu.bidirectional_gru(
    x * jnp.inf, jnp.asarray(mask), params, jnp.zeros((2, 3, 6))
  )
  np.testing.assert_allclose(h, 0, atol=1e-6)  # z is 1: nothing is let in.
  h, _ = bidirectional_gru(x.at[1, 2, 3].set(jnp.nan), mask, params)
  assert np.isnan(h[1]).any() and not np.isnan(h[::2]).any()


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
@pytest.mark.parametrize('masked', [False, True])
def test_an_empty_batch_has_zero_gradients(masked):
  x, mask, params = _arguments(batch=0)
  recurrent_mask = jnp.ones((2, 0, 6)) if masked else None

  def loss(params):
    return bidirectional_gru(x, mask, params, recurrent_mask=recurrent_mask)[
      0
    ].sum()

  for grad in jax.jit(jax.grad(loss))(params):
    np.testing.assert_array_equal(grad, 0)


def _classify(x_BxTxE, mask_BxT, params):
  """The context of attention over a GRU, with all weights equal."""
  h_BxTxF, _ = bidirectional_gru(x_BxTxE, mask_BxT, params)
  features = h_BxTxF.shape[-1]
  kernel_FxA, ones = jnp.ones((features, features)), jnp.ones(features)
  return attention.additive_attention(h_BxTxF, mask_BxT, kernel_FxA, ones, ones)


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
def test_gradients_overwrite_what_only_they_need():
  def loss(x, mask, params):
    return jnp.sum(_classify(x, mask, params)[0])

  x, mask, params = _arguments(batch=8, time=64, features=40, hidden=32)
  program = jax.jit(jax.grad(loss)).lower(x, mask, params).compile()
  analysis = program.memory_analysis()
  gates, states = 2 * 8 * 64 * 4 * 32, 8 * 64 * 2 * 32
  # The states, and attention's tanh, which their gradient overwrites.
  kept = 4 * (gates + 2 * states)
  assert kept <= analysis.temp_size_in_bytes < 1.1 * kept


@pytest.mark.skipif(not cpu.instruction_sets(), reason='not compiled')
def test_the_gradient_can_be_pulled_back_twice():
  x, mask, params = _arguments()
  _, pull_back = jax.vjp(lambda x: _classify(x, mask, params)[0], x)
  ones = jnp.ones((3, 12))
  (first,), (second,) = pull_back(ones), pull_back(ones)
  np.testing.assert_array_equal(first, second)
