"""A batch of few texts, in one of a few shapes.

The batches of many texts have the shapes that suit their lengths. The shapes
here depend on a run's limits alone, so that a service can compile the program
of each before its first text comes.
"""

from __future__ import annotations

from collections.abc import Sequence
import itertools

import numpy as np

from bigru_jax.data.batching import Texts, padded
from bigru_jax.data.documents import Documents
from bigru_jax.data.encode import Ids
from bigru_jax.data.text import UNK_ID
from bigru_jax.data.truncation import Limits

# The kernels skip padding, so shorter texts would gain nothing.
_SHORTEST_TEXT, _FEWEST_SENTENCES = 32, 8


def make_batch(
  texts: Ids,
  limits: Limits,
  batch_size: int,
  num_shards: int = 1,
  markers: Sequence[int] = (),
) -> dict[str, np.ndarray]:
  """Returns what a model reads of a batch, see `EncodedSplit.batch`.

  Args:
    texts: at least one text, and at most `batch_size`.
    limits: the limits of the texts.
    batch_size: B.
    num_shards, markers: see `EncodedSplit`.
  """
  indices = np.arange(len(texts.lengths))
  tokens = texts.by_text()
  if not limits.hierarchical:
    length = _at_least(tokens.lengths.max(), _lengths(limits))
    arrays = Texts(tokens, markers).arrays(indices, length, batch_size)
    return {'lengths': padded(tokens.lengths, batch_size), **arrays}
  sentences = texts.sentences_by_text()
  documents = Documents(
    tokens=tokens,
    sentences=sentences,
    sentence_length=_at_least(sentences.values.max(), _lengths(limits)),
    num_shards=num_shards,
  )
  count = _at_least(sentences.lengths.max(), _counts(limits))
  return documents.arrays(indices, (count, batch_size * count), batch_size)


def text_of_each_shape(limits: Limits) -> list[Ids]:
  """Returns unknown words, a text for each shape of `make_batch`."""
  return [
    Ids(
      tokens=np.full(count * length, UNK_ID, np.int32),
      lengths=np.array([count * length], np.int32),
      truncated=np.array([False]),
      sentence_lengths=np.full(count, length, np.int32),
      sentences=np.array([count], np.int32),
    )
    for count, length in itertools.product(_counts(limits), _lengths(limits))
  ]


def _lengths(limits: Limits) -> list[int]:
  """Returns the padded lengths of a text, or of its sentences."""
  if limits.hierarchical:
    return _doubled(_SHORTEST_TEXT, limits.max_sentence_length)
  return _doubled(_SHORTEST_TEXT, limits.max_length)


def _counts(limits: Limits) -> list[int]:
  """Returns the padded numbers of a text's sentences; 1 if it is not split."""
  if limits.hierarchical:
    return _doubled(_FEWEST_SENTENCES, limits.max_sentences)
  return [1]


def _doubled(first: int, limit: int) -> list[int]:
  """Returns `first`, its double and so on below the limit, and the limit."""
  numbers = []
  while first < limit:
    numbers.append(first)
    first *= 2
  return [*numbers, limit]


def _at_least(number: int, increasing: list[int]) -> int:
  return next(x for x in increasing if x >= number)
