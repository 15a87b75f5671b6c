"""Initial parameters from a trained run, or from files of vectors of words."""

from __future__ import annotations

import logging
from typing import Any

import jax
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.text import PAD_ID, UNK_ID
from bigru_jax.data.vector_sets import embedding_table
from bigru_jax.rundir.source import Source

_log = logging.getLogger(__name__)


def initialize(
  config: Config, data: Dataset, params: dict[str, Any], source: Source | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
  """Returns the parameters before training, and the names of what is copied.

  Args:
    config: the configuration.
    data: its data, which may have vectors of words.
    params: random parameters.
    source: the run of `init_from`, if there is one.
  """
  copied: tuple[str, ...] = ()
  if source:
    params, copied = start_from(source, config, data, params)
  vocabulary = data.tokenizer.vocabulary
  if data.vectors and vocabulary is not None:
    table_VxE, coverage = embedding_table(
      params['embedding'], vocabulary, data.vectors
    )
    _log.info(
      '%.1f %% of the vocabulary has a pretrained vector', 100 * coverage
    )
    params = {**params, 'embedding': table_VxE}
  if config.char_embeddings and vocabulary is not None:
    params = _with_zeros(params, vocabulary, data)
  return params, copied


def start_from(
  source: Source, config: Config, data: Dataset, params: dict[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
  """Returns the parameters with what is copied, and the names of that.

  Words that the run does not have start as its <unk>. The encoder is copied,
  and where they mean the same, the attention and the output layer.

  Args:
    source: the run, which fits the configuration.
    config: the configuration of the new run.
    data: its data, which may have vectors of the run's words.
    params: its initial parameters.
  """
  table_VxE = source.params['embedding']
  if data.tokenizer.vocabulary is not None:
    # `embedding_table` then sets the rows of words that the run has.
    table_VxE = np.tile(table_VxE[UNK_ID], (data.tokenizer.size, 1))
    table_VxE[PAD_ID] = 0
  initial, differences = {**params, 'embedding': table_VxE}, []
  copied = ['embedding']
  if 'output_bias' in params.keys() & source.params.keys():
    initial['output_bias'] = _word_biases(source, data)
    copied.append('output_bias')
  for name in params.keys() - set(copied):
    if difference := _difference(name, params[name], source, config, data):
      differences.append(f'{name} ({difference})')
      continue
    initial[name] = source.params[name]
    copied.append(name)
  _log.info(
    'init_from=%s: copied %s%s',
    source.name,
    ', '.join(sorted(copied)),
    f'; not {", ".join(sorted(differences))}' if differences else '',
  )
  return initial, tuple(sorted(copied))


def _word_biases(source: Source, data: Dataset) -> np.ndarray:
  """Returns the language model's bias of each word, float32 [V]."""
  biases = source.params['output_bias']
  words, source_words = data.tokenizer.vocabulary, source.tokenizer.vocabulary
  if words is None or source_words is None:
    return biases  # A `tokenizer.json` gives both the same ids.
  ids = {word: i for i, word in enumerate(source_words)}
  return biases[[ids.get(word, UNK_ID) for word in words]]


def _difference(
  name: str, params: Any, source: Source, config: Config, data: Dataset
) -> str:
  """Returns why a part of the model is not copied; '' if it is."""
  if name not in source.params:
    return 'which it does not have'
  is_output, is_pooling = name == 'output', name.endswith('attention')
  if (is_output or is_pooling) and config.pooling != source.config.pooling:
    return f'pooling={source.config.pooling} there'
  has_labels = is_output or (is_pooling and config.pooling_entry.by_label)
  if has_labels and data.labels != source.labels:
    return 'other labels there'
  shapes = jax.tree.map(np.shape, params)
  if shapes != jax.tree.map(np.shape, source.params[name]):
    return 'other sizes there'
  return ''


def _with_zeros(
  params: Any, vocabulary: list[str], data: Dataset
) -> dict[str, Any]:
  """Returns the parameters with zeros for unseen words without a vector.

  As in a prediction, these words have the vectors of their n-grams alone.
  """
  table_VxE = np.array(params['embedding'])
  for i, word in enumerate(vocabulary[data.seen :], data.seen):
    if word not in data.vectors:
      table_VxE[i] = 0
  return {**params, 'embedding': table_VxE}
