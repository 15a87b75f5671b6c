"""Converts PyTorch's parameters of `nn.GRU` or of a classifier, both ways.

Here a state dict is a dict from names to NumPy arrays. PyTorch is imported only
to read or write a .pt or .pth file.

The classifier computes, with the padding masked in both the GRU and the
softmax,

  h_1..h_T = gru(embedding(x_1..x_T))       bidirectional
  a_t = v^T tanh(W h_t + b), or v^T h_t     additive or dot attention
  c   = sum_t softmax_t(a_t) h_t
  logits = dense(c)

or with c concatenated to the mean, the maximum or the last states of h_1..h_T.
Other forms of attention are not supported: a tanh of h_t before the weighted
sum or of c after it (Zhou et al., 2016, https://aclanthology.org/P16-2034),
several heads, or a query that is itself a state.
"""

from __future__ import annotations

from collections.abc import Mapping
import re
from typing import Any

import numpy as np

from bigru_jax.interop.torch_file import (
  StateDict,
  read_state_dict,
  write_state_dict,
)
from bigru_jax.interop.torch_modules import (
  DEFAULT_MODULES,
  Modules,
  check_shapes,
  check_values,
  listed,
  parts,
  unwrapped,
)
from bigru_jax.models.embedding import with_joined_table

__all__ = [
  'DEFAULT_MODULES', 'Modules', 'classifier_from_torch', 'classifier_to_torch',
  'gru_from_torch', 'gru_to_torch', 'read_state_dict', 'write_state_dict',
]  # fmt: skip

_DIRECTIONS = '', '_reverse'
_WITHOUT_TENSORS = 'mean', 'max', 'last'
# The tensors of one layer and direction: PyTorch's names and ours.
_GRU_TENSORS = {
  'weight_ih': 'input_kernel',
  'weight_hh': 'recurrent_kernel',
  'bias_ih': 'input_bias',
  'bias_hh': 'recurrent_bias',
}


def gru_from_torch(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Converts the parameters of an `nn.GRU` to those of a `BiGRU`.

  PyTorch has two biases for each gate. Those of r and z are only used as a sum,
  so the sum replaces them; b_hn, which the reset gate multiplies, stays.

  Args:
    state: the state dict of an `nn.GRU(bidirectional=True)` of any number of
      layers, with or without biases.

  Raises:
    ValueError: the GRU has one direction; names or shapes are not those of such
      a module (the message lists them all); or see `check_values`.
  """
  state = unwrapped(state, ('weight_ih_l0',))
  check_values(state)
  kernels = [state.get(f'weight_{x}_l0', np.zeros(())) for x in ('ih', 'hh')]
  if any(kernel.ndim != 2 for kernel in kernels):
    raise ValueError(
      'expected weight_ih_l0 and weight_hh_l0 of an nn.GRU, among '
      f'{listed(state)}'
    )
  if not any(name.endswith('_reverse') for name in state):
    raise ValueError(
      'the GRU has one direction, but a BiGRU needs bidirectional=True; one '
      'direction is not copied, because the second would be untrained'
    )
  features, hidden = (kernel.shape[1] for kernel in kernels)
  layers = sum(bool(re.fullmatch(r'weight_ih_l\d+', name)) for name in state)
  expected: dict[str, tuple[int, ...]] = {}
  for layer in range(layers):
    for end in (f'_l{layer}{direction}' for direction in _DIRECTIONS):
      width = 2 * hidden if layer else features
      expected[f'weight_ih{end}'] = 3 * hidden, width
      expected[f'weight_hh{end}'] = 3 * hidden, hidden
      expected[f'bias_ih{end}'] = expected[f'bias_hh{end}'] = (3 * hidden,)
  if not any(name.startswith('bias_') for name in state):
    state |= {
      name: np.zeros(shape, np.float32)
      for name, shape in expected.items()
      if name.startswith('bias_')
    }
  check_shapes(state, expected)
  params: StateDict = {}
  for layer in range(layers):
    w_input, w_recurrent, b_DxG, b_hidden_DxG = (
      np.stack([state[f'{name}_l{layer}{x}'] for x in _DIRECTIONS])
      for name in _GRU_TENSORS
    )
    b_DxG[:, : 2 * hidden] += b_hidden_DxG[:, : 2 * hidden]
    values = w_input, w_recurrent, b_DxG, b_hidden_DxG[:, 2 * hidden :]
    for name, value in zip(_GRU_TENSORS.values(), values):
      params[f'{name}_{layer}'] = value
  return params


def gru_to_torch(params: Mapping[str, Any], bias: bool = True) -> StateDict:
  """Converts the parameters of a `BiGRU` to the state dict of an `nn.GRU`.

  The biases of r and z are in b_ih, and are zero in b_hh.

  Args:
    params: the parameters of a `BiGRU`.
    bias: whether the `nn.GRU` has biases.

  Raises:
    ValueError: `bias` is false, but the biases are not zero.
  """
  state = {}
  for layer in range(len(params) // len(_GRU_TENSORS)):
    values = {
      name: np.asarray(params[f'{ours}_{layer}'])
      for name, ours in _GRU_TENSORS.items()
    }
    hidden = values['bias_hh'].shape[1]
    values['bias_hh'] = np.pad(values['bias_hh'], ((0, 0), (2 * hidden, 0)))
    if not bias:
      biases = [values.pop('bias_ih'), values.pop('bias_hh')]
      if np.any(biases):
        raise ValueError(
          f'bias=False: the biases of layer {layer} are not zero'
        )
    for d, direction in enumerate(_DIRECTIONS):
      for name, value in values.items():
        state[f'{name}_l{layer}{direction}'] = value[d]
  return state


def classifier_from_torch(
  state: Mapping[str, np.ndarray],
  modules: Modules = DEFAULT_MODULES,
  pooling: str = '',
) -> dict[str, Any]:
  """Converts a PyTorch classifier's state dict to parameters of a `Classifier`.

  The attention is `additive` if it has a matrix W, else `dot`. W has at most 2H
  rows; fewer are padded with zeros, which v does not weigh. A bias of the
  scores is dropped, because the softmax does not depend on it.

  Args:
    state: the state dict; see the module's docstring for the program. A prefix
      that all modules share, such as `module.`, is dropped, and so are counters
      such as `n_averaged`.
    modules: the names of its modules.
    pooling: the poolings in the order in which the program concatenates them,
      such as `additive+max+mean`; by default the attention alone.

  Raises:
    ValueError: a module is missing or has another form; the state dict has
      other modules (the message lists the names) or another pooling; or see
      `check_values`.
  """
  tensors = parts(state, modules)
  gru = {
    x.removeprefix(f'{modules.gru}.'): y for x, y in tensors['gru'].items()
  }
  try:
    encoder = gru_from_torch(gru)
  except ValueError as error:
    raise ValueError(f'gru={modules.gru}: {error}') from error
  features = encoder['input_kernel_0'].shape[2]
  width = 2 * encoder['recurrent_kernel_0'].shape[2]
  embedding, kernel = f'{modules.embedding}.weight', f'{modules.dense}.weight'
  bias = f'{modules.dense}.bias'
  linear = {**tensors['embedding'], **tensors['dense']}
  words, classes = (
    len(np.atleast_1d(linear.get(name, ()))) for name in (embedding, kernel)
  )
  linear.setdefault(bias, np.zeros(classes, np.float32))
  attention = _attention(tensors['attention'], width)
  own = 'additive' if 'kernel' in attention else 'dot'
  names = (pooling or own).split('+')
  if own not in names or not set(names) <= {own, *_WITHOUT_TENSORS}:
    raise ValueError(
      f'pooling={pooling}: these weights are those of {own}, alone or joined '
      f'with {", ".join(_WITHOUT_TENSORS)}'
    )
  width *= len(names)
  shapes = {embedding: (words, features), kernel: (classes, width)}
  check_shapes(linear, {**shapes, bias: (classes,)})
  return {
    'embedding': linear[embedding],
    'encoder': encoder,
    'attention': {own: attention} if len(names) > 1 else attention,
    'output': {'kernel': linear[kernel].T, 'bias': linear[bias]},
  }


def classifier_to_torch(
  params: Mapping[str, Any], modules: Modules = DEFAULT_MODULES
) -> StateDict:
  """Converts parameters of a `Classifier` to a PyTorch classifier's state dict.

  If `attention` is one module, it is `nn.Sequential(nn.Linear(2 * H, 2 * H),
  nn.Tanh(), nn.Linear(2 * H, 1, bias=False))`; dot attention is
  `nn.Linear(2 * H, 1, bias=False)`. A pooling that is joined with it must have
  no parameters. Sets of vectors are joined in the embedding table.

  Raises:
    ValueError: the model is not flat, has no BiGRU, or its attention is neither
      additive nor dot.
  """
  params, _ = with_joined_table(params)
  attention = params.get('attention', {})
  if set(attention) in ({'additive'}, {'dot'}):  # Joined with others.
    (attention,) = attention.values()
  forms = {'kernel', 'bias', 'query'}, {'query'}
  names = {'embedding', 'encoder', 'attention', 'output'}
  if (
    set(params) != names
    or set(attention) not in forms
    or 'kernel' in params['encoder']
  ):
    raise ValueError(
      'only model=flat and encoder=bigru, with pooling=additive or '
      f'pooling=dot, alone or joined with {", ".join(_WITHOUT_TENSORS)}, have '
      f'a counterpart; these parameters are {", ".join(sorted(params))}, with '
      f'{", ".join(sorted(attention)) or "none"} in the attention'
    )
  kernel_FxC = np.asarray(params['output']['kernel'])
  state = {
    f'{modules.embedding}.weight': np.asarray(params['embedding']),
    f'{modules.dense}.weight': kernel_FxC.T,
    f'{modules.dense}.bias': np.asarray(params['output']['bias']),
  }
  for name, value in gru_to_torch(params['encoder']).items():
    state[f'{modules.gru}.{name}'] = value
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
  return state


def _attention(state: StateDict, width: int) -> dict[str, np.ndarray]:
  """Returns the parameters of the pooling `additive` or `dot`."""
  refusal = ValueError(
    f'attention: expected the weight [A, {width}] of an nn.Linear with A up '
    f'to {width}, its bias or none, and one vector of A numbers; or a vector '
    f'of {width} numbers alone; found {listed(state)}'
  )
  left = dict(state)
  matrices = [x for x, y in left.items() if y.ndim == 2 and min(y.shape) > 1]
  units, params = width, {}
  if matrices:
    name = matrices[0]
    kernel_AxF = left.pop(name)
    units = len(kernel_AxF)
    bias_A = left.pop(
      f'{name.removesuffix("weight")}bias', np.zeros(units, np.float32)
    )
    # A square bare parameter could also mean [F, A].
    if (
      not name.endswith('.weight')
      or kernel_AxF.shape[1] != width
      or units > width
      or bias_A.shape != (units,)
    ):
      raise refusal
    params['kernel'] = np.pad(kernel_AxF, ((0, width - units), (0, 0))).T
    params['bias'] = np.pad(bias_A, (0, width - units))
  vectors = [
    x for x, y in left.items() if y.size == max(y.shape, default=0) > 1
  ]
  if len(vectors) != 1 or left[vectors[0]].size != units:
    raise refusal
  query_A = left.pop(vectors[0]).reshape(-1)
  bias = left.pop(f'{vectors[0].removesuffix("weight")}bias', np.zeros(1))
  if left or bias.size != 1:
    raise refusal
  if matrices:
    params['query'] = np.pad(query_A, (0, width - units))
  else:
    params['query'] = query_A * np.float32(width**0.5)
  return params
