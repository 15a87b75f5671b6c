"""A published model: a run directory with model.safetensors, not checkpoints.

It has the files of a run that prediction needs (`config.json`, `data.json`,
`labels.json`, the vocabulary or `tokenizer.json`, `calibration.json`), and is a
folder or a repository of the Hugging Face hub.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

from flax import traverse_util
import numpy as np

from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.rundir.manifest import copy_to_read
from bigru_jax.runtime.atomic import write_bytes

PARAMS = 'model.safetensors'
HUB = 'hf://'
_FILES = ['*.json', 'vocabulary.txt', 'README.md', PARAMS]


def find(workdir: str | os.PathLike) -> pathlib.Path:
  """Returns the folder of a run or a published model, downloaded if need be.

  Args:
    workdir: a path; `hf://owner/name`, a repository of the Hugging Face hub; or
      a name in a bucket, such as `gs://bucket/runs/mine`, of which the result
      is a copy to read.

  Raises:
    FileNotFoundError: the hub or the bucket has no such model, or the hub
      cannot be reached.
    ValueError: a package that it needs is not installed.
    OSError: the bucket cannot be read.
  """
  name = str(workdir)
  if is_bucket(name):
    return copy_to_read(name)
  if not name.startswith(HUB):
    return pathlib.Path(workdir).expanduser()
  try:
    import huggingface_hub
  except ImportError as error:
    raise ValueError(
      f'workdir={name} needs the huggingface_hub package: '
      'pip install "bigru_jax[export]"'
    ) from error
  try:
    folder = huggingface_hub.snapshot_download(
      name.removeprefix(HUB), allow_patterns=_FILES
    )
  except (OSError, ValueError, RuntimeError) as error:
    reason = str(error).strip().partition('\n')[0]
    raise FileNotFoundError(
      f'workdir={name} is not available from the Hugging Face hub: {reason}'
    ) from error
  return pathlib.Path(folder)


def write_params(folder: pathlib.Path, params: Any) -> None:
  """Writes parameters to model.safetensors, completely or not at all.

  The folder is created if it is missing. A tensor's name is its path in the
  parameters, such as `encoder.input_bias_0`.

  Raises:
    ValueError: the package safetensors is not installed.
  """
  package = _package('output', folder)
  folder.mkdir(parents=True, exist_ok=True)
  tensors = {
    name: np.ascontiguousarray(array)
    for name, array in traverse_util.flatten_dict(params, sep='.').items()
  }
  # `safetensors` itself writes files that only their owner can read.
  content = package.save(tensors, metadata={'format': 'flax'})
  write_bytes(folder / PARAMS, content)


def read_params(folder: pathlib.Path, abstract: Any) -> Any:
  """Reads the parameters of model.safetensors.

  Args:
    folder: the folder of the file.
    abstract: the shapes and types of the parameters.

  Raises:
    ValueError: see `read_any_params`; or a tensor is missing, unexpected, or of
      another shape or type.
  """
  params = read_any_params(folder)
  tensors = traverse_util.flatten_dict(params, sep='.')
  expected = traverse_util.flatten_dict(abstract, sep='.')
  field = f'workdir={folder}: {PARAMS}'
  for name in sorted(expected.keys() | tensors.keys()):
    if name not in tensors:
      raise ValueError(f'{field} has no tensor {name}')
    if name not in expected:
      raise ValueError(f'{field}: the model has no parameter {name}')
    array, like = tensors[name], expected[name]
    if (array.shape, array.dtype) != (like.shape, like.dtype):
      raise ValueError(
        f'{field}: {name} is {array.dtype} {array.shape}; the model needs '
        f'{like.dtype} {like.shape}'
      )
  return params


def read_any_params(folder: pathlib.Path) -> Any:
  """Reads the parameters of model.safetensors, whatever model they belong to.

  Returns:
    NumPy arrays in nested dicts.

  Raises:
    ValueError: the package safetensors is not installed, or the file is
      corrupt.
  """
  package = _package('workdir', folder)
  try:
    tensors = package.load_file(folder / PARAMS)
  except Exception as error:  # The library has its own exception type.
    raise ValueError(f'workdir={folder}: {PARAMS}: {error}') from error
  return traverse_util.unflatten_dict(tensors, sep='.')


def _package(field: str, folder: pathlib.Path) -> Any:
  try:
    import safetensors.numpy
  except ImportError as error:
    raise ValueError(
      f'{field}={folder} needs the safetensors package: '
      'pip install "bigru_jax[export]"'
    ) from error
  return safetensors.numpy
