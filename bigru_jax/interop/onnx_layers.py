"""The layers of the models as nodes of an ONNX graph.

They mirror the modules of `models/`, a pooling each. The names of values, which
are strings, carry the shapes of what they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bigru_jax.models.label_wise import MAX_HEADS

_LOWEST = np.float32(-1e30)
Params = Mapping[str, Any]


@dataclasses.dataclass
class Graph:
  """The nodes and the constants of a graph that is being built."""

  nodes: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
  constants: list[onnx.TensorProto] = dataclasses.field(default_factory=list)

  def apply(self, operator: str, *inputs: Any, **attributes: Any) -> str:
    """Adds a node with one output, and returns the output's name.

    Args:
      operator: of ONNX.
      *inputs: names of values, or arrays, which become constants.
      **attributes: of the operator.
    """
    return self.apply_with(1, operator, *inputs, **attributes)[0]

  def apply_with(
    self, outputs: int, operator: str, *inputs: Any, **attributes: Any
  ) -> list[str]:
    """Like `apply`, of a node with several outputs."""
    name = f'{operator}_{len(self.nodes)}'
    names = [f'{name}_{i}' for i in range(outputs)]
    values = [x if isinstance(x, str) else self._constant(x) for x in inputs]
    self.nodes.append(
      helper.make_node(operator, values, names, name, **attributes)
    )
    return names

  def name(self, value: str, name: str) -> None:
    """Gives an output of the model its name."""
    self.nodes.append(helper.make_node('Identity', [value], [name], name))

  def _constant(self, array: Any) -> str:
    name = f'constant_{len(self.constants)}'
    self.constants.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def encoder(
  graph: Graph, params: Params, x_BxTxE: str, lengths_B: str, mask_BxT: str
) -> str:
  """The states h_BxTxF of `models.bigru.BiGRU`, zero at padding.

  Or those of the encoder `average`, which sees each token alone.
  """
  if 'kernel' in params:
    h_BxTxF = graph.apply('MatMul', x_BxTxE, params['kernel'])
    h_BxTxF = graph.apply('Add', h_BxTxF, params['bias'])
    return graph.apply('Tanh', h_BxTxF)
  # A padding example is read as one of length 1, for not every runtime takes a
  # length of 0; the mask makes it zero.
  lengths_B = graph.apply('Max', lengths_B, np.int32(1))
  x_TxBxF = graph.apply('Transpose', x_BxTxE, perm=[1, 0, 2])
  for layer in range(len(params) // 4):
    w_input, w_recurrent, b, b_n_DxH = (
      params[f'{name}_{layer}']
      for name in (
        'input_kernel', 'recurrent_kernel', 'input_bias', 'recurrent_bias',
      )
    )  # fmt: skip
    hidden = b_n_DxH.shape[1]
    zeros = np.zeros((2, 2 * hidden), np.float32)
    y_TxDxBxH = graph.apply(
      'GRU',
      x_TxBxF,
      _gates(w_input),
      _gates(w_recurrent),
      np.concatenate([_gates(b), zeros, b_n_DxH], axis=1),
      lengths_B,
      direction='bidirectional',
      hidden_size=hidden,
      linear_before_reset=1,
    )
    y_TxBxDxH = graph.apply('Transpose', y_TxDxBxH, perm=[0, 2, 1, 3])
    x_TxBxF = graph.apply('Reshape', y_TxBxDxH, np.array([0, 0, 2 * hidden]))
  h_BxTxF = graph.apply('Transpose', x_TxBxF, perm=[1, 0, 2])
  mask_BxTx1 = unsqueeze(graph, mask_BxT, 2)
  return graph.apply('Where', mask_BxTx1, h_BxTxF, np.float32(0))


def _gates(array: np.ndarray) -> np.ndarray:
  """Our order of the gates, r, z, n, as that of ONNX: z, r, n."""
  r, z, n = np.split(array, 3, axis=1)
  return np.concatenate([z, r, n], axis=1)


def _additive(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  keys_BxTxF = graph.apply('MatMul', h_BxTxF, params['kernel'])
  keys_BxTxF = graph.apply('Add', keys_BxTxF, params['bias'])
  return _of_keys(graph, params['query'], keys_BxTxF, h_BxTxF, mask_BxT)


def _dot(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  query = params['query']
  query_Fx1 = (query * len(query) ** -0.5)[:, None]
  scores_BxTxK = graph.apply('MatMul', h_BxTxF, query_Fx1)
  return _contexts(graph, scores_BxTxK, h_BxTxF, mask_BxT)


def _multi_head(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  query_KxW, values_KxFxW = params['query'], params['value_kernel']
  vectors_FxK = np.einsum('kfw,kw->fk', params['key_kernel'], query_KxW)
  vectors_FxK *= query_KxW.shape[1] ** -0.5
  scores_BxTxK = graph.apply('MatMul', h_BxTxF, vectors_FxK)
  means_BxKxF, weights_BxKxT = _means(graph, scores_BxTxK, h_BxTxF, mask_BxT)
  means_BxKx1xF = unsqueeze(graph, means_BxKxF, 2)
  contexts = graph.apply('MatMul', means_BxKx1xF, values_KxFxW)
  return _flattened(graph, contexts), weights_BxKxT


def _structured(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  keys_BxTxF = graph.apply('MatMul', h_BxTxF, params['kernel'])
  return _of_keys(graph, params['hops_kernel'], keys_BxTxF, h_BxTxF, mask_BxT)


def _mean(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  del params
  ones_BxT = graph.apply('Cast', mask_BxT, to=onnx.TensorProto.FLOAT)
  scores_BxTxK = unsqueeze(graph, ones_BxT, 2)
  return _contexts(graph, scores_BxTxK, h_BxTxF, mask_BxT)


def _max(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, None]:
  del params
  mask_BxTx1 = unsqueeze(graph, mask_BxT, 2)
  h_BxTxF = graph.apply('Where', mask_BxTx1, h_BxTxF, _LOWEST)
  c_BxF = graph.apply('ReduceMax', h_BxTxF, axes=[1], keepdims=0)
  some_B = graph.apply('Greater', count(graph, mask_BxT), np.array(0))
  some_Bx1 = unsqueeze(graph, some_B, 1)
  return graph.apply('Where', some_Bx1, c_BxF, np.float32(0)), None


def _last(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> tuple[str, None]:
  del params
  last_B = graph.apply('Sub', count(graph, mask_BxT), np.array(1))
  last_B = graph.apply('Max', last_B, np.array(0))
  last_BxF = graph.apply(
    'GatherND', h_BxTxF, unsqueeze(graph, last_B, 1), batch_dims=1
  )
  first_BxF = graph.apply('Gather', h_BxTxF, np.array(0), axis=1)
  forward, _ = graph.apply_with(2, 'Split', last_BxF, axis=1)
  _, backward = graph.apply_with(2, 'Split', first_BxF, axis=1)
  return graph.apply('Concat', forward, backward, axis=1), None


POOLINGS: dict[str, Callable[..., tuple[str, str | None]]] = {
  'additive': _additive,
  'dot': _dot,
  'multi_head': _multi_head,
  'structured': _structured,
  'mean': _mean,
  'max': _max,
  'last': _last,
}


def entity(
  graph: Graph,
  params: Params,
  h_BxTxF: str,
  mask_BxT: str,
  markers: tuple[int, ...],
) -> tuple[str, str]:
  """`models.entity.Entity`, which finds the entities in `ids` by itself."""
  means = []
  for start, end in (markers[:2], markers[2:]):
    starts_BxT, ends_BxT = (
      graph.apply('Equal', 'ids', np.int32(marker)) for marker in (start, end)
    )
    opened_BxT, closed_BxT = (
      graph.apply(
        'Greater',
        graph.apply('CumSum', _integers(graph, x_BxT), np.array(1)),
        np.array(0),
      )
      for x_BxT in (starts_BxT, ends_BxT)
    )
    inside_BxT = graph.apply('And', mask_BxT, opened_BxT)
    for outside_BxT in (starts_BxT, closed_BxT):
      inside_BxT = graph.apply(
        'And', inside_BxT, graph.apply('Not', outside_BxT)
      )
    inside_Bx1xT = unsqueeze(graph, inside_BxT, 1)
    chosen_Bx1xT = graph.apply('Cast', inside_Bx1xT, to=onnx.TensorProto.FLOAT)
    count_Bx1x1 = graph.apply('ReduceSum', chosen_Bx1xT, np.array([2]))
    count_Bx1x1 = graph.apply('Max', count_Bx1x1, np.float32(1))
    weights_Bx1xT = graph.apply('Div', chosen_Bx1xT, count_Bx1x1)
    means.append(graph.apply('MatMul', weights_Bx1xT, h_BxTxF))
  e_Bx1x2F = graph.apply('Concat', *means, axis=2)
  bias_Bx1xF = graph.apply('MatMul', e_Bx1x2F, params['entity_kernel'])
  bias_Bx1xF = graph.apply('Add', bias_Bx1xF, params['bias'])
  keys_BxTxF = graph.apply('MatMul', h_BxTxF, params['kernel'])
  keys_BxTxF = graph.apply('Add', keys_BxTxF, bias_Bx1xF)
  mean_BxF, weights_BxKxT = _of_keys(
    graph, params['query'], keys_BxTxF, h_BxTxF, mask_BxT
  )
  e_Bx2F = _flattened(graph, e_Bx1x2F)
  return graph.apply('Concat', mean_BxF, e_Bx2F, axis=1), weights_BxKxT


def label_wise(
  graph: Graph, params: Params, h_BxTxF: str, mask_BxT: str
) -> dict[str, str]:
  """The outputs of `models.label_wise.LabelWise`."""
  scores_BxTxC = graph.apply('MatMul', h_BxTxF, params['query'].T)
  weights_BxCxT = _softmax(graph, scores_BxTxC, mask_BxT)
  values_BxTxC = graph.apply('MatMul', h_BxTxF, params['kernel'].T)
  values_BxCxT = graph.apply('Transpose', values_BxTxC, perm=[0, 2, 1])
  weighted_BxCxT = graph.apply('Mul', weights_BxCxT, values_BxCxT)
  logits_BxC = graph.apply(
    'ReduceSum', weighted_BxCxT, np.array([2]), keepdims=0
  )
  logits_BxC = graph.apply('Add', logits_BxC, params['bias'])
  labels = len(params['bias'])
  if labels <= MAX_HEADS:
    # In their order, for each example.
    heads_BxK = graph.apply(
      'Expand', np.arange(labels), graph.apply('Shape', logits_BxC)
    )
  else:
    _, heads_BxK = graph.apply_with(
      2, 'TopK', logits_BxC, np.array([MAX_HEADS])
    )
    weights_BxCxT = graph.apply(
      'GatherND', weights_BxCxT, unsqueeze(graph, heads_BxK, 2), batch_dims=1
    )
  return {
    'attention_words': weights_BxCxT,
    'attention_labels': heads_BxK,
    'logits': logits_BxC,
  }


def _of_keys(
  graph: Graph, query: np.ndarray, keys_BxTxF: str, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  """The contexts by the scores of tanh(keys) with one query or several."""
  query_FxK = query.reshape(len(query), -1)
  u_BxTxF = graph.apply('Tanh', keys_BxTxF)
  scores_BxTxK = graph.apply('MatMul', u_BxTxF, query_FxK)
  return _contexts(graph, scores_BxTxK, h_BxTxF, mask_BxT)


def _contexts(
  graph: Graph, scores_BxTxK: str, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  """The contexts of all heads, [B, K * F], and the weights [B, K, T]."""
  means_BxKxF, weights = _means(graph, scores_BxTxK, h_BxTxF, mask_BxT)
  return _flattened(graph, means_BxKxF), weights


def _means(
  graph: Graph, scores_BxTxK: str, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  """The means of the states by each head's weights, and the weights."""
  weights_BxKxT = _softmax(graph, scores_BxTxK, mask_BxT)
  return graph.apply('MatMul', weights_BxKxT, h_BxTxF), weights_BxKxT


def _softmax(graph: Graph, scores_BxTxK: str, mask_BxT: str) -> str:
  """The weights [B, K, T], exactly zero at padding."""
  mask_Bx1xT = unsqueeze(graph, mask_BxT, 1)
  scores_BxKxT = graph.apply('Transpose', scores_BxTxK, perm=[0, 2, 1])
  scores_BxKxT = graph.apply('Where', mask_Bx1xT, scores_BxKxT, _LOWEST)
  weights_BxKxT = graph.apply('Softmax', scores_BxKxT, axis=-1)
  return graph.apply('Where', mask_Bx1xT, weights_BxKxT, np.float32(0))


def dense(graph: Graph, params: Params, c_BxF: str) -> str:
  return graph.apply('Gemm', c_BxF, params['kernel'], params['bias'])


def lengths_mask(graph: Graph, ids_BxT: str, lengths_B: str) -> str:
  """The mask [B, T], True at real positions."""
  lengths_Bx1 = unsqueeze(graph, _integers(graph, lengths_B), 1)
  return graph.apply('Less', positions(graph, ids_BxT), lengths_Bx1)


def positions(graph: Graph, x_BxT: str) -> str:
  """0, 1 and so on to T - 1."""
  length = graph.apply('Shape', x_BxT, start=1)
  length = graph.apply('Squeeze', length, np.array([0]))
  return graph.apply('Range', np.array(0), length, np.array(1))


def count(graph: Graph, mask_BxT: str) -> str:
  """The positions of each example that are real, [B]."""
  return graph.apply(
    'ReduceSum', _integers(graph, mask_BxT), np.array([1]), keepdims=0
  )


def _integers(graph: Graph, x: str) -> str:
  return graph.apply('Cast', x, to=onnx.TensorProto.INT64)


def unsqueeze(graph: Graph, x: str, axis: int) -> str:
  return graph.apply('Unsqueeze', x, np.array([axis]))


def _flattened(graph: Graph, x_BxKxF: str) -> str:
  return graph.apply('Flatten', x_BxKxF, axis=1)
