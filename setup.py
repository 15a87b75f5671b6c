"""Installs bigru_jax; the lower bounds are the versions it was tested with."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
  r"__version__ = '(.+)'", (ROOT / 'bigru_jax' / '__init__.py').read_text()
)
TEST = [
  'hypothesis>=6.100',
  'ipykernel>=6.29',
  'matplotlib>=3.9',
  'mypy>=1.18',
  'nbclient>=0.10',
  'pandas>=2.2',
  'pytest>=8',
  'ruff>=0.14',
  'scikit-learn>=1.5',
  'scipy>=1.13',
  'tokenizers>=0.20',
]

setuptools.setup(
  name='bigru_jax',
  version=VERSION[1],
  description='Bidirectional GRUs with attention, in JAX and Flax',
  license='Apache-2.0',
  packages=setuptools.find_packages(include=['bigru_jax', 'bigru_jax.*']),
  package_data={'bigru_jax': ['py.typed']},
  python_requires='>=3.11',
  install_requires=[
    'absl-py>=2.3',
    'array_record>=0.8',
    'flax>=0.12.8',
    'importlib_resources>=6',  # tensorflow-datasets needs it, unsaid.
    'jax>=0.10.2',
    'numpy>=2.2',
    'optax>=0.2.8',
    'orbax-checkpoint>=0.12.8',
    'pyarrow>=20',
    'regex>=2024.11.6',
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
    'plot': ['matplotlib>=3.9'],
    'test': TEST,
    'tokenizers': ['tokenizers>=0.20'],
    'tpu': ['jax[tpu]>=0.10.2'],
  },
)
