"""The attributions that shade a page, and the texts that need them first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import os
from typing import Any

import numpy as np

from bigru_jax.data.glove import names_of
from bigru_jax.data.vector_sets import JOINS
from bigru_jax.models.config import ModelConfig
from bigru_jax.reports.page.answers import choose_examples

# Returns attributions by method: for each text one weight per token, or None.
# Its argument is the order in which texts are explained until it is too costly.
Attribute = Callable[[Sequence[int]], Mapping[str, Sequence[np.ndarray | None]]]


def attributions_in(
  answers: Sequence[dict[str, Any]],
) -> dict[str, list[np.ndarray]]:
  """Returns the attributions of the answers of `Run.explain` by method."""
  if not answers or 'attribution' not in answers[0]:
    return {}
  weights = [np.array(answer['attribution']) for answer in answers]
  return {answers[0]['method']: weights}


def weighted_sets(config: ModelConfig) -> list[str]:
  """Returns how the page calls the weights of sets of vectors, if any."""
  if not JOINS[config.embeddings_join].is_learned:
    return []
  paths = names_of(config.embeddings)
  names = list(map(os.path.basename, paths))
  if len(set(names)) < len(names):  # Of files in several folders.
    names = paths
  return [f'weight of {name}' for name in names]


def weights_of_sets(
  answers: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, list[np.ndarray]]:
  """Returns the weights of sets of vectors, by the names of `weighted_sets`."""
  return {
    name: [np.array(x['attention']['embeddings'][i]) for x in answers]
    for i, name in enumerate(names)
  }


def reading_order(columns: dict[str, Any]) -> list[int]:
  """Returns the indices of texts, with those first that a reader looks at.

  These are the examples at the top of the page. After them, mistakes and right
  answers alternate: the most confident mistakes, and the right answers from the
  median confidence on.

  Args:
    columns: the result of `packing.pack_texts`.
  """
  confidence = np.array(columns['confidence'])
  is_wrong = np.array([right == 0 for right in columns['right']], bool)
  wrong, right = np.flatnonzero(is_wrong), np.flatnonzero(~is_wrong)
  wrong = wrong[np.argsort(-confidence[wrong], kind='stable')]
  if len(right):
    distance = np.abs(confidence[right] - np.median(confidence[right]))
    right = right[np.argsort(distance, kind='stable')]
  ranks = np.concatenate([np.arange(len(wrong)), np.arange(len(right)) + 0.5])
  remaining = np.concatenate([wrong, right])[np.argsort(ranks)].tolist()
  examples = choose_examples(columns)
  return list(
    dict.fromkeys([*examples['right'], *examples['wrong'], *remaining])
  )
