"""A small model with large parameters, and texts of three lengths."""

import jax
import numpy as np

from bigru_jax.explain.predictions import TrainedModel
from bigru_jax.models.classifier import Classifier
from bigru_jax.tasks import SingleLabel

TEXTS = [[4, 5, 6, 7, 3], [8, 2], [9, 9, 4, 2]]


def make_batch(texts=TEXTS, width=6):
  tokens = np.zeros((len(texts), width), np.int32)
  for row, text in zip(tokens, texts):
    row[: len(text)] = text
  lengths = np.array(list(map(len, texts)), np.int32)
  entities = np.zeros_like(tokens)
  entities[:, 0] = 1
  entities[np.arange(len(texts)), lengths - 1] = 2
  return {'tokens': tokens, 'lengths': lengths, 'entities': entities}


def make_model(num_outputs=2, **options):
  """A model whose parameters are as large as those of a trained one."""
  model = Classifier(10, num_outputs, 4, 3, **options)
  variables = jax.jit(model.init)(jax.random.key(0), make_batch())
  params = jax.tree.map(lambda p: p * 3, variables['params'])
  return TrainedModel(model, SingleLabel(num_outputs), params)


outputs_of = jax.jit(
  lambda model, batch, inputs: model.outputs(batch, **inputs)
)
probabilities_of = jax.jit(TrainedModel.probabilities)


def log_odds(trained, batch, classes, **inputs):
  """By NumPy, in float64."""
  outputs = outputs_of(trained, batch, inputs)
  logits = np.asarray(outputs.logits, np.float64)
  p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  p = p[np.arange(len(p)), classes]
  return np.log(p) - np.log1p(-p)
