"""Converts the outputs of a model to answers, which are JSON objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.encode import EncodedText
from bigru_jax.data.text import is_blank
from bigru_jax.evaluation.evaluation import label_names
from bigru_jax.tasks import Task


def fields_of(config: Config) -> list[str]:
  """Returns the names of the fields of a run's answers, in their order."""
  fields = ['label', 'probabilities', 'tokens', 'spans', 'truncated', 'empty']
  if config.model == 'hierarchical':
    fields.append('sentences')
  fields.append('attention')
  if config.pooling_entry.by_label:
    fields.append('attention_labels')
  if config.head_names:
    fields.append('attention_heads')
  return fields


def choose_fields(
  fields: Collection[str] | None, known: Sequence[str]
) -> list[str]:
  """Returns the requested fields, in the order of the known ones.

  Args:
    fields: their names; None for all.
    known: the fields that an answer may have.

  Raises:
    ValueError: a field is unknown, or there are none.
  """
  if fields is None:
    return list(known)
  if isinstance(fields, str):
    raise ValueError(f'fields={fields!r} is one string; give a list')
  unknown = [name for name in fields if name not in known]
  if unknown or not fields:
    raise ValueError(
      f'fields={",".join(map(str, unknown))}: choose among {", ".join(known)}'
    )
  return [name for name in known if name in fields]


def make_answers(
  indices: np.ndarray,
  outputs: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], Any],
  *,
  task: Task,
  labels: list[str],
  head_names: list[str],
  thresholds: Sequence[float],
  texts: Mapping[int, str] | Sequence[str],
  encoded_texts: Mapping[int, EncodedText] | Sequence[EncodedText],
  fields: Sequence[str],
) -> dict[int, dict[str, Any]]:
  """Returns the answers to a batch's texts, by index; see `Run.predict`.

  Args:
    indices: the indices of the batch's texts in `texts`.
    outputs: the outputs of the predict step as NumPy arrays; the attention is
      needed only for the field `attention`.
    task: the task.
    labels: the classes' names, by index.
    head_names: see `ModelConfig.head_names`.
    thresholds: see `evaluation.Calibration`.
    texts: all texts.
    encoded_texts: the texts after truncation; their spans are needed only for
      the field `spans`.
    fields: the names of `fields_of` to include.
  """
  probabilities_BxC, logits_BxC, attention, heads_BxK = outputs
  predictions = task.predictions(logits_BxC, np.array(thresholds))
  # One sigmoid for two classes is the probability of the second.
  output_labels = labels[-task.num_outputs :]
  values: dict[str, Callable[[int, int], Any]] = {
    'label': lambda b, _: label_names(predictions[b], labels),
    'probabilities': lambda b, _: dict(
      zip(labels, probabilities_BxC[b].tolist())
    ),
    'tokens': lambda _, i: encoded_texts[i].tokens,
    'spans': lambda _, i: list(map(list, encoded_texts[i].spans)),
    'truncated': lambda _, i: encoded_texts[i].truncated,
    'empty': lambda _, i: is_blank(texts[i]),
    'sentences': lambda _, i: encoded_texts[i].sentences,
    'attention': lambda b, i: {
      name: _weights(name, array[b], encoded_texts[i].sentences).tolist()
      for name, array in attention.items()
    },
    'attention_labels': lambda b, _: [output_labels[c] for c in heads_BxK[b]],
    'attention_heads': lambda b, _: head_names,
  }
  return {
    i: {name: values[name](b, i) for name in fields}
    for b, i in enumerate(indices)
  }


def _weights(
  name: str, weights: np.ndarray, sentences: Sequence[int]
) -> np.ndarray:
  """Returns the weights of a text's tokens or sentences, a row per head."""
  if name == 'sentences':
    return weights[:, : len(sentences)]
  if weights.ndim == 2:
    return weights[:, : sum(sentences)]
  mask = np.arange(weights.shape[-1]) < np.array(sentences)[:, None]
  return weights[:, : len(sentences)][:, mask]
