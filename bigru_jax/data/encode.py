"""Texts in memory to ids and to a split, for a prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bigru_jax.data import text
from bigru_jax.data.batching import EncodedSplit, choose_buckets, round_up
from bigru_jax.data.splits import Labels
from bigru_jax.data.truncation import Kept, Limits

# More buckets than in training, for their programs are cached on disk.
_MAX_SHAPES = 8
_SHAPE_COST = 1000


def encode(
  texts: Iterable[str], tokenizer: text.Tokenizer, limits: Limits
) -> tuple[list[Kept[str]], list[list[int]]]:
  """What is kept of each text, as tokens and as ids."""
  kept, ids = list[Kept[str]](), list[list[int]]()
  for one_text in texts:
    parts = [tokenizer.encode(part) for part in limits.parts(one_text)]
    kept.append(limits.keep(tokens for tokens, _ in parts))
    ids.append(limits.keep(of_part for _, of_part in parts).tokens)
  return kept, ids


def make_split(
  ids: Sequence[Sequence[int]],
  kept: Sequence[Kept[str]],
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
  encoded, sentences, longest = text.pack(ids), None, 0
  if hierarchical:
    sentences = text.pack([of_text.sentences for of_text in kept])
    longest = int(round_up(sentences.tokens.max()))
  sizes = round_up((sentences or encoded).lengths)
  return EncodedSplit(
    encoded,
    labels,
    np.ones(len(ids), np.float32),
    choose_buckets(sizes, _MAX_SHAPES, _SHAPE_COST),
    num_labels,
    sentences=sentences,
    sentence_length=longest,
  )
