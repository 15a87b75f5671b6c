"""The vocabulary of a run, and the vectors of its words."""

from __future__ import annotations

import numpy as np

from bigru_jax.data.config import DataConfig
from bigru_jax.data.run_vectors import RunVectors
from bigru_jax.data.split_notes import token_counts
from bigru_jax.data.splits import UNLABELLED, Table
from bigru_jax.data.text import UNK_ID
from bigru_jax.data.tokenizer import (
  JsonTokenizer,
  Tokenizer,
  VocabularyTokenizer,
  build_vocabulary,
)
from bigru_jax.data.vector_sets import VectorSets, without_gaps

_BLOCK = 2**20  # The number of tokens that are translated at once.


def choose_vocabulary(
  config: DataConfig,
  growing: Tokenizer,
  splits: dict[str, Table],
  pretrained: VectorSets | RunVectors | None = None,
) -> tuple[Tokenizer, dict[str, np.ndarray], int, list[str]]:
  """Returns the run's tokenizer, and the vectors of its words.

  The vocabulary is that of train and of texts without labels, counted together.
  With pretrained vectors, it also has the words of validation and test that
  have a vector, or with n-grams all of them; a prediction looks up the words of
  its texts in the same files, or in the same run.

  Returns:
    The tokenizer, the vectors, the number of trained ids, and a sentence on
    the words that each file of vectors has.
  """
  if isinstance(growing, JsonTokenizer):
    return growing, {}, growing.size, []
  words = growing.vocabulary
  counts = {
    name: token_counts(table['tokens'], len(words))
    for name, table in splits.items()
  }
  trained_counts = counts['train'] + counts.get(UNLABELLED, 0)
  vocabulary = build_vocabulary(
    zip(words, trained_counts.tolist()),
    config.max_vocabulary,
    config.min_count,
  )
  seen, vectors = len(vocabulary), dict[str, np.ndarray]()
  coverage: list[str] = []
  if pretrained or config.char_embeddings:
    known = set(vocabulary)
    unseen_counts = counts['validation'] + counts['test']
    unseen = {words[i] for i in np.flatnonzero(unseen_counts)} - known
    if pretrained:
      vectors, coverage = pretrained.load(known | unseen)
      of_unseen = {word: vectors[word] for word in unseen & vectors.keys()}
      vectors |= without_gaps(of_unseen)
    if not config.char_embeddings:
      unseen &= vectors.keys()
    vocabulary += sorted(unseen)
  return growing.with_vocabulary(vocabulary), vectors, seen, coverage


def translate(
  tables: dict[str, Table], growing: Tokenizer, tokenizer: Tokenizer
) -> None:
  """Replaces the ids from reading by those of the vocabulary."""
  if tokenizer is growing:
    return
  assert isinstance(growing, VocabularyTokenizer)
  assert isinstance(tokenizer, VocabularyTokenizer)
  translation = np.full(growing.size, UNK_ID, np.int32)
  for i, token in enumerate(tokenizer.vocabulary[2:], 2):
    translation[growing.token_ids[token]] = i
  for table in tables.values():
    tokens = table['tokens'].values
    # One block at a time, so that no second array is needed.
    for start in range(0, len(tokens), _BLOCK):
      block = tokens[start : start + _BLOCK]
      block[:] = translation[block]
