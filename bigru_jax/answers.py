"""The outputs of a model as answers, dicts that `json.dumps` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bigru_jax.data.limits import Kept
from bigru_jax.data.spans import Span
from bigru_jax.evaluation import label_names
from bigru_jax.tasks import Task


def make_answers(
  task: Task,
  labels: list[str],
  thresholds: Sequence[float],
  kept: Sequence[Kept[str]],
  spans: Sequence[list[Span]],
  hierarchical: bool,
  outputs: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], Any],
) -> list[dict[str, Any]]:
  """The answers to the texts of a batch; see `inference.Run.predict`.

  Args:
    task: what the labels are.
    labels: the classes' names, by index.
    thresholds: see `evaluation.Calibration`.
    kept: the tokens of each text.
    spans: where they stand in it.
    hierarchical: whether texts are split into sentences.
    outputs: what `steps.make_predict_step` returns, as NumPy arrays.
  """
  probabilities_BxC, logits_BxC, attention, heads_BxK = outputs
  predictions = task.predictions(logits_BxC, np.array(thresholds))
  probabilities = probabilities_BxC.tolist()
  answers = []
  for i, text in enumerate(kept):
    answer: dict[str, Any] = {
      'label': label_names(predictions[i], labels),
      'probabilities': dict(zip(labels, probabilities[i])),
      'tokens': text.tokens,
      'spans': [list(span) for span in spans[i]],
      'truncated': text.truncated,
    }
    if hierarchical:
      answer['sentences'] = text.sentences
    answer['attention'] = {
      name: _weights(name, array[i], text.sentences).tolist()
      for name, array in attention.items()
    }
    if heads_BxK is not None:
      # One sigmoid for two classes is the probability of the second.
      of_outputs = labels[-task.num_outputs :]
      answer['attention_labels'] = [of_outputs[c] for c in heads_BxK[i]]
    answers.append(answer)
  return answers


def _weights(
  name: str, weights: np.ndarray, sentences: Sequence[int]
) -> np.ndarray:
  """The weights of a text's tokens or sentences, a row per head."""
  if name == 'sentences':
    return weights[:, : len(sentences)]
  if weights.ndim == 2:
    return weights[:, : sum(sentences)]
  mask = np.arange(weights.shape[-1]) < np.array(sentences)[:, None]
  return weights[:, : len(sentences)][:, mask]
