"""Encodes texts as ids, and as a split for prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import itertools
from typing import NamedTuple

import numpy as np

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.epoch_plan import choose_buckets, round_up
from bigru_jax.data.ragged import Ragged, consecutive
from bigru_jax.data.spans import Span
from bigru_jax.data.splits import Labels, Table
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.data.truncation import Limits

# The cost of a bucket in padded positions. Tracing its program and loading it
# from JAX's cache takes as long as predicting at least as many tokens.
_SHAPE_COST = 10_000


class EncodedText(NamedTuple):
  """The part of a text that is kept.

  Attributes:
    tokens: the tokens as strings.
    ids: the ids of the tokens.
    spans: the [start, end) of each token in the original text, in code points,
      increasing and disjoint; empty unless requested. If several tokens are
      parts of one character, as in a byte-level tokenizer, all but the first
      have empty spans; the <unk> of an empty text has one as well.
    sentences: the number of tokens of each sentence; one number if the text is
      not split.
    truncated: whether tokens or sentences were dropped.
  """

  tokens: list[str]
  ids: list[int]
  spans: list[Span]
  sentences: list[int]
  truncated: bool


def encode(
  text: str, tokenizer: Tokenizer, limits: Limits, with_spans: bool = False
) -> EncodedText:
  """Returns the tokens, ids and spans of a text, which is tokenized once.

  Example:
    >>> from bigru_jax.data.tokenizer import VocabularyTokenizer
    >>> words = VocabularyTokenizer('words', ['<pad>', '<unk>', '看'])
    >>> text = encode("It's 好看 !", words, Limits(max_length=4), True)
    >>> text.tokens, text.ids
    (['it', "'s", '好', '看'], [1, 1, 1, 2])
    >>> text.spans
    [(0, 2), (2, 4), (5, 6), (6, 7)]

  Args:
    text: the text.
    tokenizer: the tokenizer of the run.
    limits: the limits at which the text is truncated.
    with_spans: whether to compute the spans.
  """
  parts, start = [], 0
  for part in limits.parts(text):
    tokens, ids, *spans = tokenizer.encode(part, with_spans)
    if with_spans:
      start = text.index(part, start)  # Parts are separated by white space.
      spans = [[(start + a, start + b) for a, b in spans[0]]]
      start += len(part)
    parts.append((tokens, ids, *spans))
  kept = [limits.truncate(column) for column in zip(*parts)]
  return EncodedText(
    tokens=kept[0].tokens,
    ids=kept[1].tokens,
    spans=kept[2].tokens if with_spans else [],
    sentences=kept[0].sentences,
    truncated=kept[0].truncated,
  )


class Ids(NamedTuple):
  """The ids of truncated texts, one text after another.

  Attributes:
    tokens: int32, the ids of all texts.
    lengths: int32, the number of ids of each text.
    truncated: bool, whether each text lost tokens.
    sentence_lengths: int32, the number of ids of each sentence of all texts.
    sentences: int32, the number of sentences of each text; both arrays are
      empty if texts are not split into sentences.
  """

  tokens: np.ndarray
  lengths: np.ndarray
  truncated: np.ndarray
  sentence_lengths: np.ndarray
  sentences: np.ndarray

  def by_text(self) -> Ragged:
    """Returns the ids of each text."""
    return consecutive(self.tokens, self.lengths)

  def sentences_by_text(self) -> Ragged:
    """Returns the number of ids of each sentence of each text."""
    return consecutive(self.sentence_lengths, self.sentences)


class EncodedTexts(NamedTuple):
  """Many texts; see `EncodedText`.

  Attributes:
    ids: their ids.
    tokens, spans: a list for each text; empty unless requested.
  """

  ids: Ids
  tokens: Sequence[list[str]] = ()
  spans: Sequence[list[Span]] = ()


def encode_ids(
  texts: Iterable[str], tokenizer: Tokenizer, limits: Limits
) -> Ids:
  """Returns the ids of many texts, in arrays."""
  if not limits.hierarchical:
    return _join((limits.truncate((x,)) for x in tokenizer.ids(texts)), limits)
  parts = [limits.parts(text) for text in texts]
  ids = iter(tokenizer.ids(itertools.chain.from_iterable(parts)))
  kept = (limits.truncate([next(ids) for _ in x]) for x in parts)
  return _join(kept, limits)


def encode_texts(
  texts: Iterable[str],
  tokenizer: Tokenizer,
  limits: Limits,
  with_tokens: bool = False,
  with_spans: bool = False,
) -> EncodedTexts:
  """Returns the ids of many texts, and their tokens and spans if requested."""
  if not with_tokens and not with_spans:
    return EncodedTexts(encode_ids(texts, tokenizer, limits))
  encoded = [encode(text, tokenizer, limits, with_spans) for text in texts]
  ids = ((x.ids, x.sentences, x.truncated) for x in encoded)
  return EncodedTexts(
    ids=_join(ids, limits),
    tokens=[x.tokens for x in encoded],
    spans=[x.spans for x in encoded] if with_spans else (),
  )


def _join(
  texts: Iterable[tuple[list[int], list[int], bool]], limits: Limits
) -> Ids:
  """Joins the ids, the sentences and the truncation of each text."""
  tokens, lengths, truncated = list[int](), list[int](), list[bool]()
  sentence_lengths, sentences = list[int](), list[int]()
  for text_tokens, text_sentences, is_truncated in texts:
    tokens += text_tokens
    lengths.append(len(text_tokens))
    truncated.append(is_truncated)
    if limits.hierarchical:
      sentence_lengths += text_sentences
      sentences.append(len(text_sentences))
  return Ids(
    tokens=np.array(tokens, np.int32),
    lengths=np.array(lengths, np.int32),
    truncated=np.array(truncated, bool),
    sentence_lengths=np.array(sentence_lengths, np.int32),
    sentences=np.array(sentences, np.int32),
  )


def make_split(
  ids: Ragged,
  labels: Labels,
  num_labels: int,
  sentences: Ragged | None = None,
) -> EncodedSplit:
  """Makes a split of texts with equal weights.

  Its batches have few shapes, so that later calls and processes find compiled
  programs.

  Args:
    ids: the ids of each text.
    labels, num_labels: see `EncodedSplit`.
    sentences: the lengths of each text's sentences, for the hierarchical model.
  """
  weight = np.ones(len(ids), np.float32)
  table = Table({'tokens': ids, 'label': labels, 'weight': weight})
  sizes, longest = ids.lengths, 0
  if sentences is not None:
    table = table.with_columns(sentences=sentences)
    sizes = sentences.lengths
    longest = int(round_up(sentences.values.max()))
  return EncodedSplit(
    table=table,
    buckets=choose_buckets(round_up(sizes), shape_cost=_SHAPE_COST),
    num_labels=num_labels,
    sentence_length=longest,
  )
