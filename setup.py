"""Compiles the C++ kernels; pyproject.toml says all else of the package."""

import hashlib
import importlib.util
import os
import pathlib
import platform

import setuptools
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

OPS = pathlib.Path('bigru_jax', 'ops')
AVX512 = '-mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma'.split()
AVX512_BF16 = [*AVX512, '-mavx512bf16', '-DNUMBER=BFloat16']
# The options for each instruction set of the kernels, by processor.
INSTRUCTION_SETS = {
  'x86_64': {
    'avx512': AVX512,
    'avx2': ['-mavx2', '-mfma'],
    'avx512_bf16': AVX512_BF16,
    'amx_bf16': [*AVX512_BF16, '-mamx-tile', '-mamx-bf16'],
  },
  'aarch64': {'neon': []},
}.get(platform.machine().lower().replace('arm64', 'aarch64'), {})
OPTIONAL = ['avx512_bf16', 'amx_bf16']  # Unknown to GCC before 10 and 11.
HEADERS = sorted(map(str, OPS.glob('*.h')))
SOURCES = sorted(map(str, OPS.glob('*.cc')))


def digest_of_sources():
  """Returns the number that `bigru_jax.ops.cpu` compares with its sources."""
  digest = hashlib.sha256()
  for path in sorted([*HEADERS, *SOURCES]):
    digest.update(pathlib.Path(path).read_bytes())
  return int.from_bytes(digest.digest()[:8], 'big')


class BuildKernels(build_ext):
  """Compiles the kernels once per instruction set into one shared library.

  It is loaded through `ctypes`, so one file serves all versions of Python; its
  name has a dot more than that of a module, which Python would try to import.
  """

  def get_ext_filename(self, fullname):
    return os.path.join(*fullname.split('.')) + '.lib.so'

  def build_extension(self, ext):
    try:
      self._build_library(ext)
    except (CompileError, LinkError) as error:
      self.warn(
        f'the C++ kernels were not built ({error}): the GRU and attention '
        "will run in XLA's operations, which take longer on a CPU"
      )

  def _build_library(self, ext):
    jaxlib = importlib.util.find_spec('jaxlib')
    if jaxlib is None:
      raise CompileError("jaxlib's headers are not installed")
    include = os.path.join(os.path.dirname(jaxlib.origin), 'include')
    kernels = [path for path in ext.sources if path.endswith('_kernel.cc')]
    calls = [path for path in ext.sources if path not in kernels]
    options = [
      '-O3', '-DNDEBUG', '-std=c++17', '-fPIC', '-fno-math-errno',
      '-fno-trapping-math', '-ffp-contract=fast', '-g0',
    ]  # fmt: skip
    objects, macros = [], []
    for name, flags in INSTRUCTION_SETS.items():
      try:
        objects += self.compiler.compile(
          kernels,
          os.path.join(self.build_temp, name),
          macros=[('INSTRUCTION_SET', name)],
          extra_postargs=options + flags,
        )
      except CompileError:
        if name not in OPTIONAL:
          raise
        self.warn(f'the compiler does not know the instruction set {name}')
      else:
        macros.append((f'BIGRU_{name.upper()}', None))
    digest = pathlib.Path(self.build_temp, 'digest.cc')
    digest.write_text(
      f'extern "C" const unsigned long long BigruSources = '
      f'{digest_of_sources()}ull;\n'
    )
    objects += self.compiler.compile(
      [*calls, str(digest)],
      self.build_temp,
      macros=macros,
      include_dirs=[include],
      extra_postargs=options,
    )
    self.compiler.link_shared_object(
      objects, self.get_ext_fullpath(ext.name), target_lang='c++'
    )


class PlatformWheel(bdist_wheel):
  """Makes one wheel for each platform, which serves all versions of Python."""

  def get_tag(self):
    return 'py3', 'none', super().get_tag()[2]


setuptools.setup(
  cmdclass={'bdist_wheel': PlatformWheel, 'build_ext': BuildKernels},
  ext_modules=[
    setuptools.Extension(
      'bigru_jax.ops._cpu',
      SOURCES,
      depends=[*HEADERS, 'setup.py'],
      optional=True,  # Without a compiler, XLA's loop takes its place.
    )
  ]
  if INSTRUCTION_SETS
  else [],
)
