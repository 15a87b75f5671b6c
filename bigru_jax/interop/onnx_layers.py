"""Builds ONNX graphs, and the layers below the poolings.

Variables hold the names of values, and are named after the values' shapes.
`models.onnx_forms` has the poolings.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from bigru_jax.models.onnx_forms import Params, integers, linear, unsqueeze


@dataclasses.dataclass
class Graph:
  """The nodes and constants of a graph under construction."""

  nodes: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
  constants: list[onnx.TensorProto] = dataclasses.field(default_factory=list)

  def apply(self, operator: str, *inputs: Any, **attributes: Any) -> str:
    """Adds a node with one output; returns the output's name.

    Args:
      operator: the name of an ONNX operator.
      *inputs: names of values, or arrays, which become constants.
      **attributes: the attributes of the operator.
    """
    return self.apply_with(1, operator, *inputs, **attributes)[0]

  def apply_with(
    self, outputs: int, operator: str, *inputs: Any, **attributes: Any
  ) -> list[str]:
    """Does the same as `apply` for a node with several outputs."""
    name = f'{operator}_{len(self.nodes)}'
    names = [f'{name}_{i}' for i in range(outputs)]
    values = [x if isinstance(x, str) else self._constant(x) for x in inputs]
    self.nodes.append(
      helper.make_node(operator, values, names, name, **attributes)
    )
    return names

  def name(self, value: str, name: str) -> None:
    """Names an output of the model."""
    self.nodes.append(helper.make_node('Identity', [value], [name], name))

  def _constant(self, array: Any) -> str:
    name = f'constant_{len(self.constants)}'
    self.constants.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def encoder(
  graph: Graph, params: Params, x_BxTxE: str, lengths_B: str, mask_BxT: str
) -> str:
  """Returns the states h_BxTxF of the encoder, zero at padding."""
  if 'kernel' in params:
    return graph.apply('Tanh', linear(graph, params, x_BxTxE))
  # Not every runtime accepts a length of 0, so padding examples have length 1;
  # the mask sets them to zero.
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
  """Reorders the gates from ours, r, z, n, to those of ONNX, z, r, n."""
  r, z, n = np.split(array, 3, axis=1)
  return np.concatenate([z, r, n], axis=1)


def lengths_mask(graph: Graph, ids_BxT: str, lengths_B: str) -> str:
  """Returns the mask [B, T], True at real positions."""
  lengths_Bx1 = unsqueeze(graph, integers(graph, lengths_B), 1)
  return graph.apply('Less', positions(graph, ids_BxT), lengths_Bx1)


def positions(graph: Graph, x_BxT: str) -> str:
  """Returns the positions 0 to T - 1."""
  length = graph.apply('Shape', x_BxT, start=1)
  length = graph.apply('Squeeze', length, np.array([0]))
  return graph.apply('Range', np.array(0), length, np.array(1))


def inside_entities(
  graph: Graph, ids_BxT: str, markers: tuple[int, ...]
) -> str:
  """Does the same as `data.entities.inside_entities`."""
  entities_BxT: Any = np.array(0)
  for entity in (1, 2):
    starts_BxT, ends_BxT = (
      graph.apply('Equal', ids_BxT, np.int32(marker))
      for marker in markers[2 * entity - 2 : 2 * entity]
    )
    opened_BxT, closed_BxT = (
      graph.apply(
        'Greater',
        graph.apply('CumSum', integers(graph, x_BxT), np.array(1)),
        np.array(0),
      )
      for x_BxT in (starts_BxT, ends_BxT)
    )
    outside_BxT = graph.apply('Or', starts_BxT, closed_BxT)
    inside_BxT = graph.apply('And', opened_BxT, graph.apply('Not', outside_BxT))
    entities_BxT = graph.apply(
      'Where', inside_BxT, np.array(entity), entities_BxT
    )
  return entities_BxT
