"""The modules of a PyTorch classifier in its state dict, found and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import re
from typing import NamedTuple

import numpy as np

from bigru_jax.interop.torch_file import StateDict, is_float


class Modules(NamedTuple):
  """The names of a classifier's modules in its state dict.

  Attributes:
    embedding: an `nn.Embedding`.
    gru: an `nn.GRU(bidirectional=True)`.
    attention: one module that holds all of the attention, such as
      `nn.Sequential(nn.Linear(2 * H, A), nn.Tanh(), nn.Linear(A, 1))`, or two:
      that of W and b, and that of v. A module may be a bare parameter.
    dense: the `nn.Linear` of the logits.
  """

  embedding: str = 'embedding'
  gru: str = 'gru'
  attention: tuple[str, ...] = ('attention',)
  dense: str = 'fc'


DEFAULT_MODULES = Modules()


def parts(
  state: Mapping[str, np.ndarray], modules: Modules
) -> dict[str, StateDict]:
  """The tensors of each module, by the field of `Modules`.

  Raises:
    ValueError: a module has none, tensors are left, or see `check_values`.
  """
  names = {
    field: value if field == 'attention' else (value,)
    for field, value in modules._asdict().items()
  }
  left = unwrapped(state, [name for group in names.values() for name in group])
  tensors: dict[str, StateDict] = {field: {} for field in names}
  missing = []
  for field, group in names.items():
    for module in group:
      of_module = [name for name in left if _is_of(name, module)]
      if not of_module:
        missing.append(f'{field}={module}')
      tensors[field] |= {name: left.pop(name) for name in of_module}
  if missing:
    raise ValueError(
      f'{", ".join(missing)}: no such module in {listed(left or state)}'
    )
  left = {name: x for name, x in left.items() if x.ndim or is_float(x)}
  if left:
    expected = (f'{field}={",".join(group)}' for field, group in names.items())
    raise ValueError(
      f'the model has no place for {listed(left)}; it has only '
      f'{", ".join(expected)}'
    )
  for of_field in tensors.values():
    check_values(of_field)
  return tensors


def _is_of(name: str, module: str) -> bool:
  """Whether a tensor is a module's, or is itself the bare parameter."""
  return name == module or name.startswith(f'{module}.')


def unwrapped(
  state: Mapping[str, np.ndarray], modules: Sequence[str]
) -> StateDict:
  """The tensors by their names, without the prefix that all modules share.

  It is that of a wrapper: `module.` of DataParallel, `_orig_mod.` of
  torch.compile, or the attribute of a Lightning module. Other tensors keep
  their names.

  Raises:
    ValueError: all modules are there under several such prefixes.
  """
  first = re.compile(rf'(?:^|(?<=\.)){re.escape(modules[0])}(?=\.|$)')
  prefixes = {x[: at.start()] for x in state for at in first.finditer(x)}
  prefixes = {
    prefix
    for prefix in prefixes
    if all(any(_is_of(x, prefix + module) for x in state) for module in modules)
  }
  fewest = min((prefix.count('.') for prefix in prefixes), default=0)
  outer = sorted(x for x in prefixes if x.count('.') == fewest)
  prefix = outer[0] if outer else ''
  named = {name.removeprefix(prefix): x for name, x in state.items()}
  if len(outer) > 1 or len(named) < len(state):
    copies = outer if len(outer) > 1 else [prefix, 'no prefix']
    raise ValueError(
      f'the modules are there under {" and ".join(copies)}; save one of them'
    )
  return named


def check_values(state: Mapping[str, np.ndarray]) -> None:
  """Raises ValueError for a tensor of integers, or with NaN or infinities."""
  for name, array in state.items():
    if not is_float(array):
      raise ValueError(
        f'{name} holds {array.dtype}, not floating-point numbers; a quantized '
        'model has to be saved before it is quantized'
      )
    if not np.isfinite(array).all():
      raise ValueError(f'{name} holds NaN or infinite values')


def check_shapes(
  state: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> None:
  """Raises ValueError with all names and shapes that are not as expected."""
  wrong = []
  for name, shape in expected.items():
    if name not in state:
      wrong.append(f'{name} of shape {shape} is missing')
    elif state[name].shape != shape:
      wrong.append(f'{name} has shape {state[name].shape}; expected {shape}')
  wrong += [f'{name} is unknown' for name in sorted(state.keys() - expected)]
  if wrong:
    raise ValueError('; '.join(wrong))


def listed(state: Mapping[str, np.ndarray]) -> str:
  """The names with their shapes; of more than 20 names, the first 20."""
  listed = [f'{name} {list(x.shape)}' for name, x in state.items()]
  more = f' and {len(listed) - 20} more' if len(listed) > 20 else ''
  return f'{", ".join(listed[:20])}{more}'
