"""The poolings as nodes of an ONNX graph, with one function for each pooling.

The functions mirror the modules of this folder. Each takes a graph, the
pooling's parameters, the states and the mask, and returns the values that the
module returns. Values are strings, their names in the graph; the names of the
variables give the shapes. Only `interop.onnx_layers` imports the package
`onnx`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bigru_jax.models.label_wise import MAX_HEADS

FLOAT, INT64 = 1, 7  # Of `onnx.TensorProto`.
_LOWEST = np.float32(-1e30)
Graph = Any  # An `interop.onnx_layers.Graph`.
Params = Mapping[str, Any]


def additive(graph, params, h_BxTxF, mask_BxT):
  keys_BxTxF = linear(graph, params, h_BxTxF)
  return _of_keys(graph, params['query'], keys_BxTxF, h_BxTxF, mask_BxT)


def dot(graph, params, h_BxTxF, mask_BxT):
  query = params['query']
  query_Fx1 = (query * len(query) ** -0.5)[:, None]
  scores_BxTxK = graph.apply('MatMul', h_BxTxF, query_Fx1)
  return contexts(graph, scores_BxTxK, h_BxTxF, mask_BxT)


def multi_head(graph, params, h_BxTxF, mask_BxT):
  query_KxW, values_KxFxW = params['query'], params['value_kernel']
  vectors_FxK = np.einsum('kfw,kw->fk', params['key_kernel'], query_KxW)
  vectors_FxK *= query_KxW.shape[1] ** -0.5
  scores_BxTxK = graph.apply('MatMul', h_BxTxF, vectors_FxK)
  means_BxKxF, weights_BxKxT = _means(graph, scores_BxTxK, h_BxTxF, mask_BxT)
  means_BxKx1xF = unsqueeze(graph, means_BxKxF, 2)
  contexts = graph.apply('MatMul', means_BxKx1xF, values_KxFxW)
  return _flattened(graph, contexts), weights_BxKxT


def structured(graph, params, h_BxTxF, mask_BxT):
  keys_BxTxF = graph.apply('MatMul', h_BxTxF, params['kernel'])
  return _of_keys(graph, params['hops_kernel'], keys_BxTxF, h_BxTxF, mask_BxT)


def mean(graph, params, h_BxTxF, mask_BxT):
  ones_BxT = graph.apply('Cast', mask_BxT, to=FLOAT)
  scores_BxTxK = unsqueeze(graph, ones_BxT, 2)
  return contexts(graph, scores_BxTxK, h_BxTxF, mask_BxT)


def maximum(graph, params, h_BxTxF, mask_BxT):
  mask_BxTx1 = unsqueeze(graph, mask_BxT, 2)
  h_BxTxF = graph.apply('Where', mask_BxTx1, h_BxTxF, _LOWEST)
  c_BxF = graph.apply('ReduceMax', h_BxTxF, axes=[1], keepdims=0)
  some_B = graph.apply('Greater', count(graph, mask_BxT), np.array(0))
  some_Bx1 = unsqueeze(graph, some_B, 1)
  return graph.apply('Where', some_Bx1, c_BxF, np.float32(0)), None


def last(graph, params, h_BxTxF, mask_BxT):
  last_B = graph.apply('Sub', count(graph, mask_BxT), np.array(1))
  last_B = graph.apply('Max', last_B, np.array(0))
  last_BxF = graph.apply(
    'GatherND', h_BxTxF, unsqueeze(graph, last_B, 1), batch_dims=1
  )
  first_BxF = graph.apply('Gather', h_BxTxF, np.array(0), axis=1)
  forward, _ = graph.apply_with(2, 'Split', last_BxF, axis=1)
  _, backward = graph.apply_with(2, 'Split', first_BxF, axis=1)
  return graph.apply('Concat', forward, backward, axis=1), None


def entity(graph, params, h_BxTxF, mask_BxT, entities_BxT):
  means = []
  for number in (1, 2):
    inside_BxT = graph.apply('Equal', entities_BxT, np.array(number))
    inside_BxT = graph.apply('And', mask_BxT, inside_BxT)
    inside_Bx1xT = unsqueeze(graph, inside_BxT, 1)
    chosen_Bx1xT = graph.apply('Cast', inside_Bx1xT, to=FLOAT)
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


def label_wise(graph, params, h_BxTxF, mask_BxT):
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
    # All labels in order, for each example.
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
  return logits_BxC, weights_BxCxT, heads_BxK


def joined(parts, graph, params, h_BxTxF, mask_BxT, *entities):
  """The form of `pooling.Joined`; `parts` are names and entries."""
  pooled = [
    entry.onnx(
      graph,
      params.get(name, {}),
      h_BxTxF,
      mask_BxT,
      *(entities if entry.needs_entities else ()),
    )
    for name, entry in parts
  ]
  context_BxF = graph.apply('Concat', *(c for c, _ in pooled), axis=1)
  weights = [part_BxKxT for _, part_BxKxT in pooled if part_BxKxT]
  if not weights:
    return context_BxF, None
  return context_BxF, graph.apply('Concat', *weights, axis=1)


def _of_keys(graph, query, keys_BxTxF, h_BxTxF, mask_BxT):
  """Returns the contexts that tanh(keys) gives with one or more queries."""
  query_FxK = query.reshape(len(query), -1)
  u_BxTxF = graph.apply('Tanh', keys_BxTxF)
  scores_BxTxK = graph.apply('MatMul', u_BxTxF, query_FxK)
  return contexts(graph, scores_BxTxK, h_BxTxF, mask_BxT)


def contexts(
  graph: Graph, scores_BxTxK: str, h_BxTxF: str, mask_BxT: str
) -> tuple[str, str]:
  """Returns the contexts of all heads [B, K * F] and the weights [B, K, T]."""
  means_BxKxF, weights = _means(graph, scores_BxTxK, h_BxTxF, mask_BxT)
  return _flattened(graph, means_BxKxF), weights


def _means(graph, scores_BxTxK, h_BxTxF, mask_BxT):
  """Returns the means of the states by each head's weights, and the weights."""
  weights_BxKxT = _softmax(graph, scores_BxTxK, mask_BxT)
  return graph.apply('MatMul', weights_BxKxT, h_BxTxF), weights_BxKxT


def _softmax(graph, scores_BxTxK, mask_BxT):
  """Returns the weights [B, K, T], which are exactly zero at padding."""
  mask_Bx1xT = unsqueeze(graph, mask_BxT, 1)
  scores_BxKxT = graph.apply('Transpose', scores_BxTxK, perm=[0, 2, 1])
  scores_BxKxT = graph.apply('Where', mask_Bx1xT, scores_BxKxT, _LOWEST)
  weights_BxKxT = graph.apply('Softmax', scores_BxKxT, axis=-1)
  return graph.apply('Where', mask_Bx1xT, weights_BxKxT, np.float32(0))


def count(graph: Graph, mask_BxT: str) -> str:
  """Returns the number of each example's real positions, [B]."""
  return graph.apply(
    'ReduceSum', integers(graph, mask_BxT), np.array([1]), keepdims=0
  )


def integers(graph: Graph, x: str) -> str:
  """Casts a value to int64."""
  return graph.apply('Cast', x, to=INT64)


def unsqueeze(graph: Graph, x: str, axis: int) -> str:
  """Inserts an axis of size 1 into a value."""
  return graph.apply('Unsqueeze', x, np.array([axis]))


def linear(graph: Graph, params: Params, x: str) -> str:
  """Applies W x + b to the last axis, as `nn.Dense` does."""
  product = graph.apply('MatMul', x, params['kernel'])
  return graph.apply('Add', product, params['bias'])


def _flattened(graph, x_BxKxF):
  return graph.apply('Flatten', x_BxKxF, axis=1)
