"""The attributions that shade a page, and the texts that need them first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

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
