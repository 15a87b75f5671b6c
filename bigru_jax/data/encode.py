"""Texts in memory to ids and to a split, for a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bigru_jax.data import text
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, round_up
from bigru_jax.data.ragged import pack
from bigru_jax.data.spans import Span
from bigru_jax.data.splits import Labels, Table
from bigru_jax.data.truncation import Limits, TruncatedText

# More buckets than in training, for their programs are cached on disk.
_MAX_SHAPES = 8
_SHAPE_COST = 1000


def encode(
  texts: Iterable[str], tokenizer: text.Tokenizer, limits: Limits
) -> tuple[list[TruncatedText[str]], list[list[int]]]:
  """What is kept of each text, as tokens and as ids."""
  kept, ids = list[TruncatedText[str]](), list[list[int]]()
  for one_text in texts:
    parts = [tokenizer.encode(part) for part in limits.parts(one_text)]
    kept.append(limits.truncate(tokens for tokens, _ in parts))
    ids.append(limits.truncate(of_part for _, of_part in parts).tokens)
  return kept, ids


def kept_spans(
  one_text: str, tokenizer: text.Tokenizer, limits: Limits
) -> list[Span]:
  """The spans of the tokens that are kept of a text.

  Example:
    >>> from bigru_jax.data.truncation import Limits
    >>> from bigru_jax.data.text import VocabularyTokenizer
    >>> words = VocabularyTokenizer('words', ['<pad>', '<unk>'])
    >>> kept_spans("It's 好看 !", words, Limits(max_length=4))
    [(0, 2), (2, 4), (5, 6), (6, 7)]

  Args:
    one_text: as it was given.
    tokenizer: of the run.
    limits: what of a text is kept.

  Returns:
    One per token, increasing and disjoint. A token that is only a part of a
    character, as the bytes of a byte-level tokenizer are, has an empty span
    after the first of them; so has the <unk> of an empty text.
  """
  found, start = [], 0
  for part in limits.parts(one_text):
    start = one_text.index(
      part, start
    )  # Only white space stands between parts.
    found.append([(start + a, start + b) for a, b in tokenizer.spans(part)])
    start += len(part)
  return limits.truncate(found).tokens


def make_split(
  ids: Sequence[Sequence[int]],
  kept: Sequence[TruncatedText[str]],
  hierarchical: bool,
  labels: Labels,
  num_labels: int,
) -> EncodedSplit:
  """A split of texts of equal weight.

  Its batches have few shapes, so that later calls and processes find their
  programs compiled.

  Args:
    ids, kept: of each text, from `encode`.
    hierarchical: whether the texts are split into sentences.
    labels, num_labels: see `EncodedSplit`.
  """
  weight = np.ones(len(ids), np.float32)
  table = Table({'tokens': pack(ids), 'label': labels, 'weight': weight})
  sizes, longest = table['tokens'].lengths, 0
  if hierarchical:
    sentences = pack([of_text.sentences for of_text in kept])
    table = table.with_columns(sentences=sentences)
    sizes, longest = sentences.lengths, int(round_up(sentences.values.max()))
  return EncodedSplit(
    table=table,
    buckets=choose_buckets(round_up(sizes), _MAX_SHAPES, _SHAPE_COST),
    num_labels=num_labels,
    sentence_length=longest,
  )
