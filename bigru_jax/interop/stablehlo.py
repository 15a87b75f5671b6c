"""Exports a trained run as a StableHLO program with `jax.export`."""

from __future__ import annotations

from typing import Any

import jax
from jax import export
import jax.numpy as jnp

from bigru_jax.data.entities import inside_entities
from bigru_jax.inference.run import Run
from bigru_jax.runtime.precision import single_precision

PLATFORMS = 'cpu', 'cuda', 'tpu'


@single_precision()
def to_stablehlo(run: Run) -> export.Exported:
  """Returns the model of a run, with its parameters, for all of `PLATFORMS`.

  It uses only XLA's own operations, so it needs only JAX and flatbuffers, the
  package with which `jax.export` writes and reads it. Its call takes the inputs
  of `interop.onnx.to_onnx` in their order, with any sizes, and returns a dict
  of the same outputs, computed in the run's `dtype`.

  Args:
    run: a run from `bigru_jax.load`.
  """
  task, markers = run.task, run.markers
  model = run.model.clone(xla_only=True)
  params = jax.device_get(run.params)
  hierarchical = run.config.model == 'hierarchical'

  def predict(ids, lengths, sentence_mask=None):
    batch = {'tokens': ids, 'lengths': lengths}
    if hierarchical:
      batch |= {'sentence_lengths': lengths, 'sentence_mask': sentence_mask}
    if markers:
      batch['entities'] = inside_entities(ids, markers)
    constants = jax.tree.map(jnp.asarray, params)
    outputs: Any = model.apply({'params': constants}, batch)
    arrays = {'probabilities': task.probabilities(outputs.logits)}
    for name, weights in outputs.attention.items():
      arrays[f'attention_{name}'] = weights
    if outputs.head_labels is not None:
      # For two classes, one sigmoid is the probability of the second class.
      offset = task.num_classes - task.num_outputs
      arrays['attention_labels'] = outputs.head_labels + offset
    return {**arrays, 'logits': outputs.logits}

  texts, time, *documents = export.symbolic_shape(
    'S, T, B, M' if hierarchical else 'B, T'
  )
  inputs = [
    jax.ShapeDtypeStruct((texts, time), jnp.int32),
    jax.ShapeDtypeStruct((texts,), jnp.int32),
  ]
  if hierarchical:
    inputs.append(jax.ShapeDtypeStruct(documents, jnp.bool_))
  return export.export(jax.jit(predict), platforms=PLATFORMS)(*inputs)
