"""The predictions of texts, as columns and as JSON objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
import dataclasses
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.encode import EncodedTexts, Ids
from bigru_jax.data.text import is_blank
from bigru_jax.tasks import MultiLabel, Task

# For each batch, the indices of its texts, and the outputs of the predict step:
# probabilities, logits, attention, head labels.
Outputs = Sequence[tuple[np.ndarray, Sequence[Any]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictions:
  """The predictions of some texts; see `Run.predict` for their fields.

  Attributes:
    count: N, the number of texts.
    labels: the classes' names, by index.
    is_multi_label: whether a text has any number of labels.
    columns: the values of each field, by text. `probabilities` is an array [N,
      C], and `attention` has an array [K, T] of each text for each name.
  """

  count: int
  labels: list[str]
  is_multi_label: bool
  columns: dict[str, Any]

  def only(self, fields: Sequence[str]) -> Predictions:
    """Returns the predictions with these fields alone, in this order."""
    columns = {name: self.columns[name] for name in fields}
    return dataclasses.replace(self, columns=columns)

  def answers(self) -> list[dict[str, Any]]:
    """Returns the predictions of each text as a JSON object."""
    columns = {**self.columns}
    if 'probabilities' in columns:
      columns['probabilities'] = [
        dict(zip(self.labels, row_C))
        for row_C in columns['probabilities'].tolist()
      ]
    if 'spans' in columns:
      columns['spans'] = [list(map(list, x)) for x in columns['spans']]
    if 'attention' in columns:
      attention = columns['attention'].items()
      columns['attention'] = [
        {name: weights[i].tolist() for name, weights in attention}
        for i in range(self.count)
      ]
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


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


def make_predictions(
  outputs: Outputs,
  *,
  task: Task,
  labels: list[str],
  head_names: list[str],
  thresholds: Sequence[float],
  texts: Sequence[str],
  encoded_texts: EncodedTexts,
  fields: Sequence[str],
) -> Predictions:
  """Returns the predictions of texts, in their order.

  Args:
    outputs: NumPy arrays, of which the attention is needed only for the field
      `attention`; batches may be padded.
    task: the task.
    labels: the classes' names, by index.
    head_names: see `ModelConfig.head_names`.
    thresholds: see `evaluation.Calibration`.
    texts: all texts.
    encoded_texts: the texts after truncation, with the tokens and spans if they
      are among the fields.
    fields: the names of `fields_of` to include.
  """

  def in_order(position: int) -> np.ndarray:
    """Returns the rows of an output, in the order of the texts."""
    rows = [arrays[position][: len(i)] for i, arrays in outputs]
    values = np.concatenate(rows)
    ordered = np.empty_like(values)
    ordered[np.concatenate([i for i, _ in outputs])] = values
    return ordered

  # One sigmoid for two classes is the probability of the second.
  output_labels = labels[-task.num_outputs :]
  values: dict[str, Callable[[], Any]] = {
    'label': lambda: names_of(
      task.predictions(in_order(1), np.array(thresholds)), labels
    ),
    'probabilities': lambda: in_order(0),
    'tokens': lambda: encoded_texts.tokens,
    'spans': lambda: encoded_texts.spans,
    'truncated': encoded_texts.ids.truncated.tolist,
    'empty': lambda: list(map(is_blank, texts)),
    'sentences': lambda: _sentences(encoded_texts.ids),
    'attention': lambda: _attention(outputs, _sentences(encoded_texts.ids)),
    'attention_labels': lambda: [
      [output_labels[c] for c in heads_K] for heads_K in in_order(3).tolist()
    ],
    'attention_heads': lambda: [head_names] * len(texts),
  }
  columns = {name: values[name]() for name in fields}
  return Predictions(
    count=len(texts),
    labels=labels,
    is_multi_label=isinstance(task, MultiLabel),
    columns=columns,
  )


def names_of(classes: np.ndarray, labels: Sequence[str]) -> list[Any]:
  """Returns the name of each class of int [N], or lists for bool [N, C]."""
  if classes.ndim == 1:
    return [labels[c] for c in classes.tolist()]
  return [
    [labels[c] for c in np.flatnonzero(row_C).tolist()] for row_C in classes
  ]


def _sentences(ids: Ids) -> list[list[int]]:
  """Returns the number of tokens of each sentence of each text."""
  if not len(ids.sentences):
    return [[length] for length in ids.lengths.tolist()]
  ends = np.cumsum(ids.sentences)[:-1]
  return [x.tolist() for x in np.split(ids.sentence_lengths, ends)]


def _attention(
  outputs: Outputs, sentences: list[list[int]]
) -> dict[str, list[np.ndarray]]:
  """Returns the weights of each text without its padding, by name."""
  attention: dict[str, list[Any]] = {
    name: [None] * len(sentences) for name in outputs[0][1][2]
  }
  for indices, (_, _, weights, _) in outputs:
    for name, weights_B in weights.items():
      for i, text_weights in zip(indices.tolist(), weights_B):
        attention[name][i] = _weights(name, text_weights, sentences[i])
  return attention


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
