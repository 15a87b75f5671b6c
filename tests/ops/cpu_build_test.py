"""The build of the kernels by each compiler, and their own tests in C++."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import jaxlib
import pytest

from bigru_jax.ops import cpu

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
AVX512_BF16 = [*AVX512, '-mavx512bf16', '-DNUMBER=BFloat16']
AMX = ['-mamx-tile', '-mamx-bf16', '-include', str(HERE / 'emulated_tiles.h')]
FLAGS = {
  'avx512': AVX512,
  'avx2': '-mavx2 -mfma'.split(),
  'avx512_bf16': AVX512_BF16,
  'amx_bf16': [*AVX512_BF16, *AMX],
}
KERNELS = ['gru_cpu_kernel', 'attention_cpu_kernel', 'adamw_cpu_kernel']
WARNINGS = ['-Wall', '-Wextra', '-Werror']
JAXLIB = pathlib.Path(jaxlib.__file__).parent / 'include'
needs_compiler = pytest.mark.skipif(
  not COMPILER or platform.machine() != 'x86_64',
  reason='there is no C++ compiler for x86-64',
)


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
  for calls in ('gru_cpu', 'attention_cpu', 'adamw_cpu'):
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
  assert 'does not know' not in output
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
  _run([program, '40'])


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
