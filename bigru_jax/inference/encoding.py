"""Encodes new texts for a trained run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
import dataclasses
from typing import Any

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.encode import EncodedTexts, Ids, encode_texts, make_split
from bigru_jax.data.entities import check_entities, marker_ids
from bigru_jax.data.splits import Labels
from bigru_jax.data.tokenizer import Tokenizer
from bigru_jax.data.truncation import Limits
from bigru_jax.data.vector_sets import UnseenWords
from bigru_jax.inference.unseen import SpelledWords, with_unseen_words


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextEncoder:
  """Encodes texts as a run's training did.

  Attributes:
    tokenizer: converts a text to tokens and ids.
    limits: the limits at which a text is truncated.
    num_labels: the number of the run's labels.
    unseen: what gives vectors to words unseen in training, if anything does.
    markers: the ids of `text.MARKERS`, if the model needs the entities.
    pooling: its name, for messages.
  """

  tokenizer: Tokenizer
  limits: Limits
  num_labels: int
  unseen: UnseenWords | SpelledWords | None
  markers: tuple[int, ...]
  pooling: str

  def encode(
    self,
    params: Any,
    texts: Sequence[str],
    origin_of: Callable[[int], str],
    fields: Collection[str] = (),
  ) -> tuple[Any, EncodedTexts]:
    """Returns the parameters to use, and the encoded texts.

    The embedding table gets rows for words that training has not seen, if the
    run's file of vectors has them or the run has vectors of n-grams.

    Args:
      params: the run's parameters.
      texts: the texts.
      origin_of: the origin of a text by its index, for messages.
      fields: `tokens` and `spans`, if they are needed.

    Raises:
      ValueError: a text lacks an entity that the model needs.
    """
    encoded_texts = encode_texts(
      map(_replace_surrogates, texts),
      self.tokenizer,
      self.limits,
      'tokens' in fields or self.unseen is not None,
      'spans' in fields,
    )
    if self.unseen:
      params, encoded_texts = with_unseen_words(
        params, self.unseen, self.tokenizer.size, encoded_texts
      )
    if self.markers:
      ids = encoded_texts.ids.by_text()
      check_entities(ids, self.markers, origin_of, self.pooling)
    return params, encoded_texts

  def split(self, ids: Ids, label_ids: Labels) -> EncodedSplit:
    """Returns a split of encoded texts, with their labels."""
    sentences = ids.sentences_by_text() if self.limits.hierarchical else None
    split = make_split(ids.by_text(), label_ids, self.num_labels, sentences)
    return dataclasses.replace(split, markers=self.markers)


def make_encoder(
  config: Config,
  tokenizer: Tokenizer,
  num_labels: int,
  unseen: UnseenWords | None,
  params: Any,
) -> TextEncoder:
  """Returns the encoder of a run with these parameters.

  Raises:
    ValueError: the model needs markers that the tokenizer splits.
  """
  words: UnseenWords | SpelledWords | None = unseen
  if 'ngram_embedding' in params:
    words = SpelledWords(params['ngram_embedding'], unseen)
  markers: tuple[int, ...] = ()
  if config.pooling_entry.needs_entities:
    markers = marker_ids(tokenizer, config.pooling)
  return TextEncoder(
    tokenizer=tokenizer,
    limits=config.limits,
    num_labels=num_labels,
    unseen=words,
    markers=markers,
    pooling=config.pooling,
  )


def _replace_surrogates(text: str) -> str:
  """Returns the text with question marks for lone surrogates."""
  return text if text.isascii() else text.encode('utf-8', 'replace').decode()
