"""Copies what fits of a trained run into the initial parameters of another."""

from __future__ import annotations

import logging
from typing import Any

import jax
import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.text import PAD_ID, UNK_ID
from bigru_jax.rundir.source import Source

_log = logging.getLogger(__name__)


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
  for name in params.keys() - {'embedding'}:
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
