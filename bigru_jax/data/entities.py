"""The two entities of a text, between markers that are tokens of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bigru_jax.data.ragged import Ragged
from bigru_jax.data.text import MARKERS, UNK_ID
from bigru_jax.data.tokenizer import Tokenizer

_BLOCK = 10_000  # Texts that are checked at once.


def marker_ids(tokenizer: Tokenizer, pooling: str) -> tuple[int, ...]:
  """The ids of `text.MARKERS`, -1 where the vocabulary has none.

  Args:
    tokenizer: that of the texts.
    pooling: what needs the entities, for the message.

  Raises:
    ValueError: the tokenizer does not take each of them as one token.
  """
  ids_of_markers = []
  for marker in MARKERS:
    tokens, ids = tokenizer.encode(marker)
    if tokens != [marker]:
      raise ValueError(
        f'pooling={pooling}: tokenizer does not take {marker} as one token'
      )
    ids_of_markers.append(-1 if ids[0] == UNK_ID else ids[0])
  return tuple(ids_of_markers)


def check_entities(
  texts: Ragged,
  markers: Sequence[int],
  where: Callable[[int], str],
  pooling: str,
) -> None:
  """Refuses texts that have not both entities, once each.

  An entity is one token or more between its two markers. Either may be the
  first; one inside the other is none.

  Args:
    texts: the ids of each, truncated.
    markers: the ids of `text.MARKERS`.
    where: where a text comes from, for the message.
    pooling: what needs the entities, for the message.

  Raises:
    ValueError: of the first text that has not.
  """
  for start in range(0, len(texts), _BLOCK):
    block = texts[start : start + _BLOCK]
    tokens, row_ids = block.flat(), block.row_ids()
    once = np.ones(len(block), bool)
    positions = []
    for marker in markers:
      matches = np.flatnonzero(tokens == marker)
      once &= np.bincount(row_ids[matches], minlength=len(block)) == 1
      # Of the texts that have it once, which alone are looked at below.
      position = np.zeros(len(block), np.int64)
      position[row_ids[matches]] = matches
      positions.append(position)
    first, first_end, second, second_end = positions
    inside = (first + 1 < first_end) & (second + 1 < second_end)
    apart = (first_end < second) | (second_end < first)
    wrong = np.flatnonzero(~(once & inside & apart))
    if len(wrong):
      raise ValueError(
        f'{where(start + int(wrong[0]))}: pooling={pooling} needs one '
        '<e1>..</e1> and one <e2>..</e2> with words inside, within max_length'
      )


def inside_entities(tokens_BxT: Any, markers: Sequence[int]) -> Any:
  """Which tokens are inside an entity: 1 the first, 2 the second, else 0.

  Args:
    tokens_BxT: ids of texts that have both entities, an array of NumPy or JAX.
    markers: the ids of `text.MARKERS`.

  Returns:
    int32 [B, T]; the markers themselves are outside.
  """
  entities_BxT = tokens_BxT * np.int32(0)
  for entity in (1, 2):
    start, end = markers[2 * entity - 2 : 2 * entity]
    opened = (tokens_BxT == start).cumsum(axis=1) > 0
    closed = (tokens_BxT == end).cumsum(axis=1) > 0
    inside = opened & ~closed & (tokens_BxT != start)
    entities_BxT = entities_BxT * ~inside + inside * np.int32(entity)
  return entities_BxT
