"""Builds the model of a configuration and its initial parameters."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.data.vector_sets import JOINS
from bigru_jax.models.classifier import Classifier
from bigru_jax.models.config import ModelConfig
from bigru_jax.models.embedding import Ngrams
from bigru_jax.models.hierarchical import HierarchicalClassifier
from bigru_jax.models.language_model import LanguageModel
from bigru_jax.runtime.precision import single_precision


def make_classifier(
  config: ModelConfig,
  vocabulary_size: int,
  num_outputs: int,
  vocabulary: Sequence[str] | None = None,
) -> Classifier | HierarchicalClassifier:
  """Returns the classifier with the values of the configuration's fields.

  Args:
    config: the configuration.
    vocabulary_size: the number of ids.
    num_outputs: the number of logits.
    vocabulary: the tokens by id, which only char_embeddings needs.
  """
  hierarchical = config.model == 'hierarchical'
  classifier: Any = HierarchicalClassifier if hierarchical else Classifier
  options = _options(config, classifier)
  if JOINS[config.embeddings_join].is_learned:
    options['set_sizes'] = config.vector_sizes
  if config.char_embeddings and vocabulary is not None:
    options['ngrams'] = Ngrams.of(vocabulary)
  return classifier(
    vocabulary_size=vocabulary_size, num_outputs=num_outputs, **options
  )


def make_language_model(
  config: ModelConfig, vocabulary_size: int
) -> LanguageModel:
  """Returns the language model with the values of the configuration's fields.

  Args:
    config: the configuration.
    vocabulary_size: the number of ids.
  """
  options = _options(config, LanguageModel)
  return LanguageModel(vocabulary_size=vocabulary_size, **options)


def _options(config: ModelConfig, module: Any) -> dict[str, Any]:
  """Returns the fields of the configuration that a module has, by name."""
  names = {field.name for field in dataclasses.fields(config)}
  options = {
    field.name: getattr(config, field.name)
    for field in dataclasses.fields(module)
    if field.name in names
  }
  return options | {'dtype': jnp.dtype(config.dtype)}


@single_precision()
def init_params(model: nn.Module, seed: int) -> Any:
  """Returns initial parameters, which depend on the seed alone."""

  def init(key):
    one_text = {
      'tokens': jnp.ones((1, 2), jnp.int32),
      'lengths': jnp.ones(1, jnp.int32),
      'entities': jnp.zeros((1, 2), jnp.int32),
      'sentence_lengths': jnp.ones(1, jnp.int32),
      'sentence_mask': jnp.ones((1, 1), bool),
    }
    return model.init(key, one_text)['params']

  key, options = jax.random.key(seed), {}
  is_program = not isinstance(key, jax.core.Tracer)  # Of `jax.eval_shape`.
  is_optimized = not jax.config.read('jax_disable_most_optimizations')
  if is_program and is_optimized and jax.default_backend() == 'cpu':
    # It halves the time of compiling, and changes no number.
    options['xla_backend_optimization_level'] = 1
  return jax.jit(init, compiler_options=options)(key)
