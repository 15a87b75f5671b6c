"""Exports a trained run as an ONNX model of ONNX's own operators.

The recurrence is the operator `GRU`, whose backward direction begins at each
text's last token.
"""

from __future__ import annotations

import json

import jax
import numpy as np
import onnx
from onnx import helper

from bigru_jax.inference.run import Run
from bigru_jax.interop.description import describe
from bigru_jax.interop.onnx_layers import (
  Graph,
  encoder,
  inside_entities,
  lengths_mask,
  positions,
)
from bigru_jax.models.embedding import with_joined_table
from bigru_jax.models.onnx_forms import Params, count, linear, unsqueeze
from bigru_jax.models.pooling import Pooling

# ONNX Runtime has all operators below since version 1.12.
OPSET, IR_VERSION = 17, 8


def to_onnx(run: Run) -> onnx.ModelProto:
  """Returns the model of a run; its metadata have the run's description.

  The inputs are `ids` [B, T], int32, right-padded with zeros, and `lengths`
  [B], int32. For a hierarchical model, they are `ids` [S, T] and `lengths` [S],
  the sentences of all documents in order, and `sentence_mask` [B, M], bool,
  True at the sentences of each document. B, T, S and M are dynamic.

  The outputs are `probabilities` [B, C] and `logits` [B, C]; if there are
  weights, `attention_words`, `attention_sentences` and `attention_embeddings`,
  see `models.classifier.Outputs.attention`; and with label-wise attention
  `attention_labels` [B, K]. The model computes in float32.

  Args:
    run: a run from `bigru_jax.load`.

  Raises:
    ValueError: the pooling has no ONNX form.
  """
  config = run.config
  if not config.pooling_entry.onnx:
    raise ValueError(f'pooling={config.pooling!r} cannot be exported to ONNX')
  task = run.task
  params, set_weights_VxS = with_joined_table(jax.device_get(run.params))
  params = jax.tree.map(np.float32, params)
  if set_weights_VxS is not None:
    params['set_weights'] = set_weights_VxS
  graph = Graph()
  is_flat = config.model == 'flat'
  if is_flat:
    inputs = ['ids', 'lengths']
    values = _flat(graph, params, config.pooling_entry, run.markers)
  else:
    inputs = ['ids', 'lengths', 'sentence_mask']
    values = _hierarchical(graph, params, config.pooling_entry)
  # For two classes, one sigmoid is the probability of the second class.
  offset = task.num_classes - task.num_outputs
  if offset and 'attention_labels' in values:
    values['attention_labels'] = graph.apply(
      'Add', values['attention_labels'], np.array(offset)
    )
  scores_BxC = values['logits']
  if offset:
    negative_Bx1 = graph.apply('Neg', scores_BxC)
    scores_BxC = graph.apply('Concat', negative_Bx1, scores_BxC, axis=-1)
  probabilities_BxC = graph.apply(task.activation.onnx_operator, scores_BxC)
  values = {'probabilities': probabilities_BxC, **values}
  types = {
    'ids': ('BT' if is_flat else 'ST', 'INT32'),
    'lengths': ('B' if is_flat else 'S', 'INT32'),
    'sentence_mask': ('BM', 'BOOL'),
    'probabilities': ('BC', 'FLOAT'),
    'attention_words': ('BKT' if is_flat else 'BKMT', 'FLOAT'),
    'attention_embeddings': ('BKT' if is_flat else 'BKMT', 'FLOAT'),
    'attention_sentences': ('BKM', 'FLOAT'),
    'attention_labels': ('BK', 'INT64'),
    'logits': ('BC', 'FLOAT'),
  }
  for name, value in values.items():
    graph.name(value, name)
  model = helper.make_model(
    helper.make_graph(
      graph.nodes,
      'bigru',
      [_value(name, *types[name]) for name in inputs],
      [_value(name, *types[name]) for name in values],
      graph.constants,
    ),
    opset_imports=[helper.make_opsetid('', OPSET)],
    ir_version=IR_VERSION,
    producer_name='bigru_jax',
  )
  helper.set_model_props(
    model, {key: json.dumps(value) for key, value in describe(run).items()}
  )
  onnx.checker.check_model(model, full_check=True)
  return model


def _value(name: str, axes: str, dtype: str) -> onnx.ValueInfoProto:
  # Shape inference finds the numbers of classes and heads, which are fixed.
  shape = [axis if axis in 'BTSM' else None for axis in axes]
  return helper.make_tensor_value_info(
    name, getattr(onnx.TensorProto, dtype), shape
  )


def _flat(
  graph: Graph, params: Params, pooling: Pooling, markers: tuple[int, ...]
) -> dict[str, str]:
  """Returns the outputs of a `Classifier`, without the probabilities."""
  mask_BxT = lengths_mask(graph, 'ids', 'lengths')
  x_BxTxE = graph.apply('Gather', params['embedding'], 'ids')
  h_BxTxF = encoder(graph, params['encoder'], x_BxTxE, 'lengths', mask_BxT)
  entities = [inside_entities(graph, 'ids', markers)] if markers else []
  assert pooling.onnx
  pooled = pooling.onnx(
    graph, params.get('attention', {}), h_BxTxF, mask_BxT, *entities
  )
  if pooling.by_label:
    logits_BxC, weights_BxKxT, heads_BxK = pooled
    return {
      'attention_words': weights_BxKxT,
      **_set_weights(graph, params, mask_BxT),
      'attention_labels': heads_BxK,
      'logits': logits_BxC,
    }
  c_BxF, weights_BxKxT = pooled
  attention = {'attention_words': weights_BxKxT} if weights_BxKxT else {}
  return {
    **attention,
    **_set_weights(graph, params, mask_BxT),
    'logits': linear(graph, params['output'], c_BxF),
  }


def _set_weights(graph: Graph, params: Params, mask_NxT: str) -> dict[str, str]:
  """Returns the weights of the sets of vectors, if there are several."""
  if 'set_weights' not in params:
    return {}
  weights_NxTxS = graph.apply('Gather', params['set_weights'], 'ids')
  mask_NxTx1 = unsqueeze(graph, mask_NxT, 2)
  weights_NxTxS = graph.apply('Where', mask_NxTx1, weights_NxTxS, np.float32(0))
  weights_NxSxT = graph.apply('Transpose', weights_NxTxS, perm=[0, 2, 1])
  return {'attention_embeddings': weights_NxSxT}


def _hierarchical(
  graph: Graph, params: Params, pooling: Pooling
) -> dict[str, str]:
  """Returns the outputs of a `HierarchicalClassifier`, like `_flat`."""
  mask_SxT = lengths_mask(graph, 'ids', 'lengths')
  x_SxTxE = graph.apply('Gather', params['embedding'], 'ids')
  h_SxTxF = encoder(graph, params['word_encoder'], x_SxTxE, 'lengths', mask_SxT)
  pool = pooling.onnx
  assert pool
  s_SxF, words_SxKxT = pool(
    graph, params.get('word_attention', {}), h_SxTxF, mask_SxT
  )
  mask_BxM = 'sentence_mask'
  counts_B = count(graph, mask_BxM)
  starts_B = graph.apply(
    'Sub', graph.apply('CumSum', counts_B, np.array(0)), counts_B
  )
  # The index in S of each sentence of a document.
  sentence_BxM = graph.apply(
    'Add', unsqueeze(graph, starts_B, 1), positions(graph, mask_BxM)
  )
  sentence_BxM = graph.apply('Where', mask_BxM, sentence_BxM, np.array(0))

  def by_document(x_Sx, padding_mask):
    x_BxMx = graph.apply('Gather', x_Sx, sentence_BxM)
    return graph.apply('Where', padding_mask, x_BxMx, np.float32(0))

  mask_BxMx1 = unsqueeze(graph, mask_BxM, 2)
  h_BxMxF = encoder(
    graph,
    params['sentence_encoder'],
    by_document(s_SxF, mask_BxMx1),
    graph.apply('Cast', counts_B, to=onnx.TensorProto.INT32),
    mask_BxM,
  )
  c_BxF, sentences_BxKxM = pool(
    graph, params.get('sentence_attention', {}), h_BxMxF, mask_BxM
  )
  words = {'attention_words': words_SxKxT} if words_SxKxT else {}
  mask_BxMx1x1 = unsqueeze(graph, mask_BxMx1, 3)
  attention = {
    name: graph.apply(
      'Transpose', by_document(weights_SxKxT, mask_BxMx1x1), perm=[0, 2, 1, 3]
    )
    for name, weights_SxKxT in (
      words | _set_weights(graph, params, mask_SxT)
    ).items()
  }
  if sentences_BxKxM:
    attention['attention_sentences'] = sentences_BxKxM
  return {**attention, 'logits': linear(graph, params['output'], c_BxF)}
