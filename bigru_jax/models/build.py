"""The model of a configuration, and its initial parameters."""

from __future__ import annotations

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.models.classifier import Classifier
from bigru_jax.models.config import ModelConfig
from bigru_jax.models.hierarchical import HierarchicalClassifier
from bigru_jax.runtime.precision import single_precision


def make_classifier(
  config: ModelConfig, vocabulary_size: int, num_outputs: int
) -> Classifier | HierarchicalClassifier:
  """The classifier that a configuration describes."""
  hierarchical = config.model == 'hierarchical'
  classifier: Any = HierarchicalClassifier if hierarchical else Classifier
  options = {} if hierarchical else {'encoder': config.encoder}
  return classifier(
    vocabulary_size=vocabulary_size,
    num_outputs=num_outputs,
    embedding_size=config.embedding_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_layers,
    attention=config.pooling,
    num_heads=config.num_heads,
    dropout=config.dropout,
    embedding_dropout=config.embedding_dropout,
    word_dropout=config.word_dropout,
    recurrent_dropout=config.recurrent_dropout,
    dtype=jnp.dtype(config.dtype),
    **options,
  )


@single_precision()
def init_params(model: nn.Module, seed: int) -> Any:
  """Initial parameters, a function of the seed alone."""
  one_text = {
    'tokens': jnp.ones((1, 2), jnp.int32),
    'lengths': jnp.ones(1, jnp.int32),
    'entities': jnp.zeros((1, 2), jnp.int32),
    'sentence_lengths': jnp.ones(1, jnp.int32),
    'sentence_mask': jnp.ones((1, 1), bool),
  }
  init = jax.jit(lambda key: model.init(key, one_text)['params'])
  return init(jax.random.key(seed))
