"""PyTorch's parameters in and out: `nn.GRU`, and a whole classifier.

A state dict is a dict of names to NumPy arrays. PyTorch is imported where a
.pt or .pth file is read or written, and nowhere else.

The classifier computes, with the padding masked in both the GRU and the
softmax,

  h_1..h_T = gru(embedding(x_1..x_T))       bidirectional
  a_t = v^T tanh(W h_t + b), or v^T h_t     additive or dot attention
  c   = sum_t softmax_t(a_t) h_t
  logits = dense(c)

Other attentions have no place here: a tanh over h_t before the weighted sum, or
over c after it (Zhou et al., 2016, https://aclanthology.org/P16-2034), several
heads, a query that is itself a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from bigru_jax.data.open_files import check_file
from bigru_jax.interop import torch_file

StateDict = dict[str, np.ndarray]

_NO_FLOATS = 'biuc'  # The kinds of booleans, integers and complex numbers.
_DIRECTIONS = '', '_reverse'
_GRU_FIELDS = (
  'input_kernel', 'recurrent_kernel', 'input_bias', 'recurrent_bias',
)  # fmt: skip


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


def gru_from_torch(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """The parameters of `BiGRU` from those of `nn.GRU`.

  PyTorch has two biases for each gate. Those of r and z are only ever added, so
  they become their sum; b_hn, which the reset gate multiplies, stays apart.

  Args:
    state: the state dict of an `nn.GRU(bidirectional=True)` of any number of
      layers, with or without biases.

  Raises:
    ValueError: the GRU has one direction, or names or shapes are not those of
      such a module, all that do not fit are listed; or see `_check_values`.
  """
  state = _unwrapped(state, ('weight_ih_l0',))
  _check_values(state)
  kernels = [state.get(f'weight_{x}_l0', np.zeros(())) for x in ('ih', 'hh')]
  if any(kernel.ndim != 2 for kernel in kernels):
    raise ValueError(
      'expected weight_ih_l0 and weight_hh_l0 of an nn.GRU, among '
      f'{_listed(state)}'
    )
  if not any(name.endswith('_reverse') for name in state):
    raise ValueError(
      'the GRU has one direction, and a BiGRU needs bidirectional=True; one '
      'direction is not doubled, for the second would not be a trained one'
    )
  features, hidden = (kernel.shape[1] for kernel in kernels)
  layers = sum(bool(re.fullmatch(r'weight_ih_l\d+', name)) for name in state)
  has_bias = any(name.startswith('bias_') for name in state)
  expected: dict[str, tuple[int, ...]] = {}
  for layer in range(layers):
    for direction in _DIRECTIONS:
      end = f'l{layer}{direction}'
      width = 2 * hidden if layer else features
      expected[f'weight_ih_{end}'] = 3 * hidden, width
      expected[f'weight_hh_{end}'] = 3 * hidden, hidden
      if has_bias:
        expected[f'bias_ih_{end}'] = expected[f'bias_hh_{end}'] = (3 * hidden,)
  _check(state, expected)

  def stacked(kind: str, layer: int) -> np.ndarray:
    return np.stack([state[f'{kind}_l{layer}{x}'] for x in _DIRECTIONS])

  params: StateDict = {}
  for layer in range(layers):
    b_DxG = b_hidden_DxG = np.zeros((2, 3 * hidden), np.float32)
    if has_bias:
      b_DxG, b_hidden_DxG = (stacked(x, layer) for x in ('bias_ih', 'bias_hh'))
      b_DxG[:, : 2 * hidden] += b_hidden_DxG[:, : 2 * hidden]
    values = (
      stacked('weight_ih', layer),
      stacked('weight_hh', layer),
      b_DxG,
      b_hidden_DxG[:, 2 * hidden :],
    )
    params |= {f'{x}_{layer}': y for x, y in zip(_GRU_FIELDS, values)}
  return params


def gru_to_torch(params: Mapping[str, Any], bias: bool = True) -> StateDict:
  """The state dict of `nn.GRU` from the parameters of `BiGRU`.

  The biases of r and z stand in b_ih, beside zeros in b_hh.

  Args:
    params: those of `BiGRU`.
    bias: whether the module has biases.

  Raises:
    ValueError: the module has no biases, and these are not zero.
  """
  state = {}
  for layer in range(len(params) // len(_GRU_FIELDS)):
    w_input, w_recurrent, b_DxG, b_n_DxH = (
      np.asarray(params[f'{x}_{layer}']) for x in _GRU_FIELDS
    )
    if not bias and (b_DxG.any() or b_n_DxH.any()):
      raise ValueError(f'bias=False: the biases of layer {layer} are not zero')
    zeros = np.zeros((2, 2 * b_n_DxH.shape[1]), b_n_DxH.dtype)
    values = {'weight_ih': w_input, 'weight_hh': w_recurrent}
    if bias:
      values['bias_ih'] = b_DxG
      values['bias_hh'] = np.concatenate([zeros, b_n_DxH], axis=1)
    for d, direction in enumerate(_DIRECTIONS):
      for kind, value in values.items():
        state[f'{kind}_l{layer}{direction}'] = value[d]
  return state


def classifier_from_torch(
  state: Mapping[str, np.ndarray], modules: Modules = DEFAULT_MODULES
) -> dict[str, Any]:
  """The parameters of `Classifier` from a PyTorch classifier's state dict.

  The attention is `additive` where it has a matrix W, else `dot`. W has at most
  2H rows; fewer are padded with zeros, to which v gives no weight. A bias of
  the scores is dropped, for the softmax does not see it.

  Args:
    state: the state dict; see the module's docstring for the program. A prefix
      that all modules share, such as `module.`, is dropped, and so are counters
      such as `n_averaged`.
    modules: the names of its modules.

  Raises:
    ValueError: a module is not there or not of this form, or the state dict
      holds others, the names that do not fit are listed; or see
      `_check_values`.
  """
  table, gru, attention, dense = _parts(state, modules)
  start = f'{modules.gru}.'
  try:
    encoder = gru_from_torch({x.removeprefix(start): gru[x] for x in gru})
  except ValueError as error:
    raise ValueError(f'gru={modules.gru}: {error}') from error
  features = encoder['input_kernel_0'].shape[2]
  width = 2 * encoder['recurrent_kernel_0'].shape[2]
  table_name = f'{modules.embedding}.weight'
  _check(table, {table_name: (_rows(table, table_name), features)})
  kernel_name, bias_name = f'{modules.dense}.weight', f'{modules.dense}.bias'
  classes = _rows(dense, kernel_name)
  dense = {bias_name: np.zeros(classes, np.float32)} | dense
  _check(dense, {kernel_name: (classes, width), bias_name: (classes,)})
  return {
    'embedding': table[table_name],
    'encoder': encoder,
    'attention': _attention(attention, width),
    'output': {'kernel': dense[kernel_name].T, 'bias': dense[bias_name]},
  }


def classifier_to_torch(
  params: Mapping[str, Any], modules: Modules = DEFAULT_MODULES
) -> StateDict:
  """The state dict of a PyTorch classifier from the parameters of `Classifier`.

  One module `attention` is written as
  `nn.Sequential(nn.Linear(2 * H, 2 * H), nn.Tanh(), nn.Linear(2 * H, 1,
  bias=False))`, and a dot attention as `nn.Linear(2 * H, 1, bias=False)`.

  Raises:
    ValueError: the model is not flat, has no BiGRU, or its attention is neither
      additive nor dot.
  """
  attention = params.get('attention', {})
  forms = {'kernel', 'bias', 'query'}, {'query'}
  parts = {'embedding', 'encoder', 'attention', 'output'}
  if (
    set(params) != parts
    or set(attention) not in forms
    or 'kernel' in params['encoder']
  ):
    raise ValueError(
      'only model=flat and encoder=bigru, with attention=additive or '
      'attention=dot, have a counterpart; these parameters are '
      f'{", ".join(sorted(params))}, with '
      f'{", ".join(sorted(attention)) or "none"} in the attention'
    )
  state = {
    f'{modules.gru}.{name}': value
    for name, value in gru_to_torch(params['encoder']).items()
  }
  first, last = modules.attention[0], modules.attention[-1]
  query = np.asarray(attention['query'])
  if 'kernel' in attention:
    if first == last:
      first, last = f'{first}.0', f'{last}.2'
    state[f'{first}.weight'] = np.asarray(attention['kernel']).T
    state[f'{first}.bias'] = np.asarray(attention['bias'])
    state[f'{last}.weight'] = query[None]
  else:
    state[f'{last}.weight'] = query[None] * np.float32(len(query) ** -0.5)
  state[f'{modules.embedding}.weight'] = np.asarray(params['embedding'])
  state[f'{modules.dense}.weight'] = np.asarray(params['output']['kernel']).T
  state[f'{modules.dense}.bias'] = np.asarray(params['output']['bias'])
  return state


def read_state_dict(path: str | os.PathLike) -> StateDict:
  """Reads a .safetensors file, or what `torch.save` wrote.

  Floating-point numbers become float32. Of a checkpoint with other entries the
  state dict is found. Nothing in the file is executed.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is a folder, a library is missing, or the file holds no state
      dict.
  """
  path = pathlib.Path(path)
  check_file(path, 'weights')
  try:
    if path.suffix == '.safetensors':
      import ml_dtypes  # noqa: F401, which tells NumPy of bfloat16.
      from safetensors.numpy import load_file

      state = load_file(path)
    else:
      state = torch_file.load(path)
  except ImportError as error:
    raise ValueError(f'weights={path}: {_missing(error)}') from error
  except Exception as error:  # The libraries raise many types.
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    raise ValueError(f'weights={path}: {first_line}') from error
  return {
    name: x if x.dtype.kind in _NO_FLOATS else np.asarray(x, np.float32)
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
  # Both libraries want arrays in C order, and PyTorch ones it may write to.
  arrays = {name: np.array(x, order='C') for name, x in state.items()}
  try:
    if path.suffix == '.safetensors':
      from safetensors.numpy import save

      # The library's own file would be readable by its owner alone.
      path.write_bytes(save(arrays))
    else:
      import torch

      torch.save({n: torch.from_numpy(x) for n, x in arrays.items()}, path)
  except ImportError as error:
    raise ValueError(f'{path}: {_missing(error)}') from error


def _missing(error: ImportError) -> str:
  package = 'torch' if error.name == 'torch' else 'bigru_jax[export]'
  return f'this file needs {error.name}: pip install "{package}"'


def _parts(
  state: Mapping[str, np.ndarray], modules: Modules
) -> tuple[StateDict, StateDict, StateDict, StateDict]:
  """The embedding's tensors, the GRU's, the attention's and the logits'.

  Raises:
    ValueError: a module has none, tensors are left, or see `_check_values`.
  """
  names = modules.embedding, modules.gru, *modules.attention, modules.dense
  left = _unwrapped(state, names)
  parts: dict[str, StateDict] = {}
  missing = []
  for field, value in modules._asdict().items():
    parts[field] = {}
    for module in value if field == 'attention' else (value,):
      tensors = [name for name in left if _is_of(name, module)]
      if not tensors:
        missing.append(f'{field}={module}')
      parts[field] |= {name: left.pop(name) for name in tensors}
  if missing:
    raise ValueError(
      f'{", ".join(missing)}: no such module in {_listed(left or state)}'
    )
  left = {name: x for name, x in left.items() if x.ndim or _is_float(x)}
  if left:
    raise ValueError(
      f'the model has no place for {_listed(left)}; embedding='
      f'{modules.embedding}, gru={modules.gru}, attention='
      f'{",".join(modules.attention)} and dense={modules.dense} are all of it'
    )
  for part in parts.values():
    _check_values(part)
  return parts['embedding'], parts['gru'], parts['attention'], parts['dense']


def _is_of(name: str, module: str) -> bool:
  """Whether a tensor is a module's, or is itself the bare parameter."""
  return name == module or name.startswith(f'{module}.')


def _unwrapped(
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


def _rows(state: StateDict, name: str) -> int:
  return state[name].shape[0] if name in state and state[name].ndim else 0


def _attention(named: StateDict, width: int) -> dict[str, np.ndarray]:
  """The parameters of the pooling `additive` or `dot`."""

  def refuse() -> ValueError:
    return ValueError(
      f'attention: expected the weight [A, {width}] of an nn.Linear with A up '
      f'to {width}, its bias or none, and one vector of A numbers; or a vector '
      f'of {width} numbers alone; found {_listed(named)}'
    )

  left = dict(named)
  matrices = [x for x, y in left.items() if y.ndim == 2 and min(y.shape) > 1]
  units, params = width, {}
  if matrices:
    name = matrices[0]
    kernel_AxF = left.pop(name)
    units = len(kernel_AxF)
    bias_A = left.pop(
      f'{name.removesuffix("weight")}bias', np.zeros(units, np.float32)
    )
    # A bare parameter could be meant as [F, A], too, where both are equal.
    if (
      not name.endswith('.weight')
      or kernel_AxF.shape[1] != width
      or units > width
      or bias_A.shape != (units,)
    ):
      raise refuse()
    params['kernel'] = np.pad(kernel_AxF, ((0, width - units), (0, 0))).T
    params['bias'] = np.pad(bias_A, (0, width - units))
  vectors = [
    x for x, y in left.items() if y.size == max(y.shape, default=0) > 1
  ]
  if len(vectors) != 1 or left[vectors[0]].size != units:
    raise refuse()
  query_A = left.pop(vectors[0]).reshape(-1)
  bias = left.pop(f'{vectors[0].removesuffix("weight")}bias', np.zeros(1))
  if left or bias.size != 1:
    raise refuse()
  if matrices:
    params['query'] = np.pad(query_A, (0, width - units))
  else:
    params['query'] = query_A * np.float32(width**0.5)
  return params


def _is_float(array: np.ndarray) -> bool:
  return array.dtype.kind not in _NO_FLOATS


def _check_values(state: Mapping[str, np.ndarray]) -> None:
  """Raises ValueError for a tensor of integers, or with NaN or infinities."""
  for name, array in state.items():
    if not _is_float(array):
      raise ValueError(
        f'{name} holds {array.dtype}, not floating-point numbers; a quantized '
        'model has to be saved before it is quantized'
      )
    if not np.isfinite(array).all():
      raise ValueError(f'{name} holds NaN or infinite values')


def _check(
  state: Mapping[str, np.ndarray],
  expected: Mapping[str, tuple[int, ...]],
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


def _listed(state: Mapping[str, np.ndarray]) -> str:
  """The names with their shapes, of many of them the first ones."""
  listed = [f'{name} {list(x.shape)}' for name, x in state.items()]
  more = f' and {len(listed) - 20} more' if len(listed) > 20 else ''
  return f'{", ".join(listed[:20])}{more}'
