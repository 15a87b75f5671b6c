"""The kernels in an installation: their build, checks and sanitizers."""

import functools
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest

from bigru_jax.ops import cpu, gru, gru_cpu
from bigru_jax.ops.gru import GRUParams, bidirectional_gru

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent
COMPILER = shutil.which('c++')


def _compilers() -> list[str]:
  """The names of the C++ compilers in PATH, one per executable."""
  name = re.compile(r'(g|clang)\+\+(-\d+)?')
  names = {}
  for folder in os.get_exec_path():
    for path in sorted(pathlib.Path(folder).glob('*++*')):
      if name.fullmatch(path.name) and os.access(path, os.X_OK):
        names.setdefault(path.resolve(), path.name)
  return list(names.values())


AVX512 = '-mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma'.split()
FLAGS = {
  'avx512': AVX512,
  'avx2': '-mavx2 -mfma'.split(),
  'avx512_bf16': [*AVX512, '-mavx512bf16', '-DNUMBER=BFloat16'],
}
KERNELS = ['gru_cpu_kernel', 'attention_cpu_kernel']
WARNINGS = ['-Wall', '-Wextra', '-Werror']
JAXLIB = pathlib.Path(jaxlib.__file__).parent / 'include'
needs_compiler = pytest.mark.skipif(
  not COMPILER or platform.machine() != 'x86_64',
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
  name = "'cpu', the C++ kernel for avx512_bf16"
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


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize('compiler', ['missing', 'failing'])
def test_setup_reports_a_failed_build_in_one_line(tmp_path, compiler):
  failing = tmp_path / 'failing'
  failing.write_text('#!/bin/sh\nexit 1\n')
  failing.chmod(0o755)
  path = str(tmp_path / compiler)
  library, output = _build(tmp_path, {'CC': path, 'CXX': path})
  assert not library.exists()
  lines = [line for line in output.splitlines() if 'were not built' in line]
  assert len(lines) == 1 and path in lines[0]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize('compiler', _compilers())
@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('instruction_set', FLAGS)
def test_each_compiler_builds_a_correct_kernel_without_warnings(
  tmp_path, compiler, kernel, instruction_set
):
  flags = ['-O3', '-ffp-contract=fast', *WARNINGS, *FLAGS[instruction_set]]
  program = _compile(tmp_path, compiler, kernel, instruction_set, flags)
  _run([program, '40'])


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize('compiler', _compilers())
def test_each_compiler_builds_calls_without_warnings_or_races(
  tmp_path, compiler
):
  for calls in ('gru_cpu', 'attention_cpu'):
    source = ROOT / 'bigru_jax' / 'ops' / f'{calls}.cc'
    headers = ['-isystem', JAXLIB]
    subprocess.run(
      [compiler, '-std=c++17', '-fsyntax-only', *WARNINGS, *headers, source],
      check=True,
    )
  sanitize = '-fsanitize=thread'
  flags = dict.fromkeys(['CFLAGS', 'CXXFLAGS', 'LDFLAGS'], sanitize)
  library, output = _build(tmp_path, {'CXX': compiler, **flags})
  assert library.exists(), output
  program = tmp_path / 'program'
  subprocess.run(
    [
      *(compiler, '-std=c++17', '-O1', *WARNINGS, *headers, sanitize),
      *(HERE / 'cpu_calls_test.cc', '-o', program, '-ldl', '-pthread'),
    ],
    check=True,
  )
  _run([program, library])


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize('instruction_set', FLAGS)
@pytest.mark.parametrize('kernel', KERNELS)
def test_the_kernel_passes_under_sanitizers(tmp_path, kernel, instruction_set):
  sanitize = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-g']
  flags = [*sanitize, *FLAGS[instruction_set]]
  program = _compile(tmp_path, COMPILER, kernel, instruction_set, flags)
  _run([program, '100'])


@pytest.mark.slow
@pytest.mark.skipif(
  not shutil.which('aarch64-linux-gnu-g++') or not shutil.which('qemu-aarch64'),
  reason='there is no compiler or emulator for aarch64',
)
@pytest.mark.parametrize('kernel', KERNELS)
def test_the_kernel_passes_on_an_emulated_aarch64(tmp_path, kernel):
  compiler = 'aarch64-linux-gnu-g++'
  program = _compile(tmp_path, compiler, kernel, 'neon', ['-static'])
  _run(['qemu-aarch64', program, '40'])


def _build(folder, environment):
  """Runs setup.py; returns the library's path and what is printed."""
  done = subprocess.run(
    [sys.executable, 'setup.py', 'build_ext', '--build-lib', folder / 'lib',
     '--build-temp', folder / 'temp'],
    cwd=ROOT,
    env={**os.environ, **environment},
    capture_output=True,
    text=True,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  library = folder / 'lib' / 'bigru_jax' / 'ops' / cpu.LIBRARY.name
  return library, done.stdout + done.stderr


def _compile(folder, compiler, kernel, instruction_set, flags):
  program = folder / 'program'
  subprocess.run(
    [
      compiler,
      *('-std=c++17', '-O1', f'-DINSTRUCTION_SET={instruction_set}'),
      *flags,
      *('-I', ROOT, ROOT / 'bigru_jax' / 'ops' / f'{kernel}.cc'),
      *(HERE / f'{kernel}_test.cc', '-o', program),
    ],
    check=True,
  )
  return program


def _run(command):
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
  assert 'are right' in done.stdout or 'not supported' in done.stdout
