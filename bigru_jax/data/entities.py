"""The two entities of a text, between markers that are single tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bigru_jax.data.ragged import Ragged
from bigru_jax.data.text import MARKERS, UNK_ID
from bigru_jax.data.tokenizer import Tokenizer, check_token

_BLOCK = 10_000  # The number of texts that are checked at once.


def marker_ids(tokenizer: Tokenizer, pooling: str) -> tuple[int, ...]:
  """Returns the ids of `text.MARKERS`, -1 for those outside the vocabulary.

  Args:
    tokenizer: the tokenizer of the texts.
    pooling: the pooling that needs the entities, for the message.

  Raises:
    ValueError: the tokenizer splits a marker into several tokens.
  """
  field = f'pooling={pooling}'
  ids = [check_token(tokenizer, marker, field) for marker in MARKERS]
  return tuple(-1 if marker_id == UNK_ID else marker_id for marker_id in ids)


def check_entities(
  texts: Ragged,
  markers: Sequence[int],
  where: Callable[[int], str],
  pooling: str,
) -> None:
  """Checks that each text has both entities exactly once.

  An entity is at least one token between its two markers. Either entity may
  come first, but they must not overlap.

  Args:
    texts: the truncated ids of each text.
    markers: the ids of `text.MARKERS`.
    where: the function from a text's index to its origin, for the message.
    pooling: the pooling that needs the entities, for the message.

  Raises:
    ValueError: a text lacks an entity; the message names the first such text.
  """
  for start in range(0, len(texts), _BLOCK):
    block = texts[start : start + _BLOCK]
    tokens, row_ids = block.flat(), block.row_ids()
    once = np.ones(len(block), bool)
    positions = []
    for marker in markers:
      matches = np.flatnonzero(tokens == marker)
      once &= np.bincount(row_ids[matches], minlength=len(block)) == 1
      # The positions in texts with one such marker; only these are used below.
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
  """Marks the tokens inside an entity: 1 in the first, 2 in the second, else 0.

  Args:
    tokens_BxT: the ids of texts with both entities, a NumPy or JAX array.
    markers: the ids of `text.MARKERS`.

  Returns:
    int32 [B, T], 0 at the markers themselves.
  """
  entities_BxT = tokens_BxT * np.int32(0)
  for entity in (1, 2):
    start, end = markers[2 * entity - 2 : 2 * entity]
    opened = (tokens_BxT == start).cumsum(axis=1) > 0
    closed = (tokens_BxT == end).cumsum(axis=1) > 0
    inside = opened & ~closed & (tokens_BxT != start)
    entities_BxT = entities_BxT * ~inside + inside * np.int32(entity)
  return entities_BxT
