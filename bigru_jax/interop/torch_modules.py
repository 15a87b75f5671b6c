"""Finds and checks the modules of a PyTorch classifier in its state dict."""

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
    attention: one module with the whole attention, such as
      `nn.Sequential(nn.Linear(2 * H, A), nn.Tanh(), nn.Linear(A, 1))`, or two
      modules: one with W and b, and one with v. A module may be a bare
    parameter. dense: the `nn.Linear` that gives the logits.
  """

  embedding: str = 'embedding'
  gru: str = 'gru'
  attention: tuple[str, ...] = ('attention',)
  dense: str = 'fc'


DEFAULT_MODULES = Modules()


def parts(
  state: Mapping[str, np.ndarray], modules: Modules
) -> dict[str, StateDict]:
  """Returns the tensors of each module, by the field of `Modules`.

  Raises:
    ValueError: a module has no tensors, other tensors remain, or see
      `check_values`.
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
  """Returns whether a tensor belongs to a module, or is the bare parameter."""
  return name == module or name.startswith(f'{module}.')


def unwrapped(
  state: Mapping[str, np.ndarray], modules: Sequence[str]
) -> StateDict:
  """Removes the prefix that the names of all modules share.

  A wrapper adds such a prefix: `module.` of DataParallel, `_orig_mod.` of
  torch.compile, or the attribute of a Lightning module. Other tensors keep
  their names.

  Raises:
    ValueError: several such prefixes have all modules.
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
      f'there are copies of the modules under {" and ".join(copies)}; save one '
      'of them'
    )
  return named


def check_values(state: Mapping[str, np.ndarray]) -> None:
  """Raises ValueError if a tensor has integers, NaN or infinities."""
  for name, array in state.items():
    if not is_float(array):
      raise ValueError(
        f'{name} holds {array.dtype}, not floating-point numbers; save a '
        'quantized model before it is quantized'
      )
    if not np.isfinite(array).all():
      raise ValueError(f'{name} holds NaN or infinite values')


def check_shapes(
  state: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]]
) -> None:
  """Raises a ValueError that lists all unexpected names and shapes."""
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
  """Lists at most 20 names with their shapes."""
  listed = [f'{name} {list(x.shape)}' for name, x in state.items()]
  more = f' and {len(listed) - 20} more' if len(listed) > 20 else ''
  return f'{", ".join(listed[:20])}{more}'
