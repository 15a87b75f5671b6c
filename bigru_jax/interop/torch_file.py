"""Reads and writes state dicts in the formats of safetensors and `torch.save`.

Here a state dict is a dict from names to NumPy arrays. PyTorch reads its files
with `weights_only=True`, so nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import errno
import os
import pathlib
import pickle
import re
from typing import Any
import warnings

import numpy as np

from bigru_jax.data.open_files import check_file
from bigru_jax.runtime import atomic

StateDict = dict[str, np.ndarray]

# The usual names of a checkpoint's entry with the model's state dict.
_ENTRIES = 'state_dict', 'model_state_dict', 'model', 'net', 'weights'


def read_state_dict(path: str | os.PathLike) -> StateDict:
  """Reads a .safetensors file, or a file that `torch.save` wrote.

  Floating-point numbers become float32. In a checkpoint with other entries, the
  state dict is found. Nothing in the file is executed.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is a folder, a library is missing, or the file does not
      contain a state dict.
  """
  path = pathlib.Path(path)
  check_file(path, 'weights')
  try:
    if path.suffix == '.safetensors':
      import ml_dtypes  # noqa: F401, which registers bfloat16 with NumPy.
      from safetensors.numpy import load_file

      state = load_file(path)
    else:
      state = _load(path)
  except ImportError as error:
    raise ValueError(f'weights={path}: {_missing(error)}') from error
  except Exception as error:  # The libraries raise many types.
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    raise ValueError(f'weights={path}: {first_line}') from error
  return {
    name: np.asarray(x, np.float32) if is_float(x) else x
    for name, x in state.items()
  }


def write_state_dict(
  state: Mapping[str, np.ndarray], path: str | os.PathLike
) -> None:
  """Writes a .safetensors file, or one that `torch.load` reads.

  Raises:
    ValueError: a library is missing.
  """
  path = pathlib.Path(path)
  # Both libraries need arrays in C order, and PyTorch needs writable ones.
  arrays = {name: np.array(x, order='C') for name, x in state.items()}
  try:
    if path.suffix == '.safetensors':
      from safetensors.numpy import save

      # Only its owner could read the file that the library writes.
      atomic.write_bytes(path, save(arrays))
    else:
      import torch

      tensors = {name: torch.from_numpy(x) for name, x in arrays.items()}
      with atomic.replacing(path) as partial:
        torch.save(tensors, partial)
  except ImportError as error:
    raise ValueError(f'{path}: {_missing(error)}') from error


def is_float(array: np.ndarray) -> bool:
  """Returns whether an array has floating-point numbers, bfloat16 included."""
  return array.dtype.kind not in 'biuc'


def _missing(error: ImportError) -> str:
  package = 'torch' if error.name == 'torch' else 'bigru_jax[export]'
  return f'this file needs {error.name}: pip install "{package}"'


def _load(path: pathlib.Path) -> StateDict:
  """Reads the state dict of a file, which may be in a checkpoint.

  Raises:
    ImportError: PyTorch is missing.
    OSError: the file cannot be read.
    ValueError: the file does not contain exactly one state dict.
  """
  import torch

  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # The error says more.
      content: Any = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # The library raises many types.
    # In files of other kinds, PyTorch seeks to a position before the start.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
      raise
    raise ValueError(_refusal(path, error)) from error
  return {
    # NumPy has no bfloat16.
    name: (x.float() if x.is_floating_point() else x).detach().numpy()
    for name, x in _find(content).items()
  }


def _find(content: Any) -> Mapping[str, Any]:
  """Returns the state dict that is a file's content or one of its entries.

  Entries with a usual name come first, then outer before inner entries.
  """
  if not isinstance(content, Mapping):
    raise ValueError(
      f'the file holds a {type(content).__name__}; save model.state_dict()'
    )
  state_dicts = dict(_state_dicts(content))
  ranks = {
    path: (set(path[-1:]).isdisjoint(_ENTRIES), len(path))
    for path in state_dicts
  }
  best = [path for path in ranks if ranks[path] == min(ranks.values())]
  if len(best) == 1:
    return state_dicts[best[0]]
  if best:
    names = ', '.join('.'.join(path) for path in best)
    raise ValueError(
      f'the file holds several state dicts, {names}; save that of the model '
      'alone'
    )
  entries = [
    f'{name} ({type(value).__name__})'
    for name, value in content.items()
    if type(value).__name__ not in ('Tensor', 'Parameter')
  ]
  more = f' and {len(entries) - 20} more' if len(entries) > 20 else ''
  rest = f' alone, without {", ".join(entries[:20])}{more}' if entries else ''
  raise ValueError(
    f'the file holds no state dict; save model.state_dict(){rest}'
  )


def _state_dicts(
  content: Mapping[Any, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
  """Finds the state dicts in nested entries, each with the path to it.

  The state of an optimizer is not among them, because its entries are numbered.
  """
  import torch

  named = {name: x for name, x in content.items() if isinstance(name, str)}
  is_all_named = 0 < len(named) == len(content)
  if is_all_named and all(isinstance(x, torch.Tensor) for x in named.values()):
    yield path, named
  for name, value in named.items():
    if isinstance(value, Mapping):
      yield from _state_dicts(value, (*path, name))


def _refusal(path: pathlib.Path, error: Exception) -> str:
  """Says in one sentence why PyTorch does not read a file.

  The names in the bytes of a pickle show what it contains.
  """
  advice = 'load it where it was written, and save model.state_dict()'
  if 'TorchScript' in str(error):
    return f'the file is a TorchScript archive; {advice}'
  refused = re.search(r'(?:GLOBAL|Unsupported class) ([\w.]+)', str(error))
  is_pickle = isinstance(error, pickle.UnpicklingError)
  content = path.read_bytes() if is_pickle else b''
  if b'pytorch-lightning_version' in content:
    kind = 'is a Lightning checkpoint with Python objects in it'
  elif b'_backward_hooks' in content:
    kind = 'holds a pickled module'
  elif is_pickle and refused:
    kind = 'holds Python objects'
  else:
    return 'the file is corrupt, or torch.save did not write it'
  which = f' ({refused[1]})' if refused else ''
  return f'the file {kind}{which}, and objects are never unpickled; {advice}'
