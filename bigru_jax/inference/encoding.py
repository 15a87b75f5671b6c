"""Encodes new texts for a trained run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
from typing import Any

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.encode import EncodedText, encode, make_split
from bigru_jax.data.entities import check_entities
from bigru_jax.data.ragged import pack
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
    with_spans: bool = False,
  ) -> tuple[Any, list[EncodedText]]:
    """Returns the parameters to use, and the encoded texts.

    The embedding table gets rows for words that training has not seen, if the
    run's file of vectors has them or the run has vectors of n-grams.

    Args:
      params: the run's parameters.
      texts: the texts.
      origin_of: the origin of a text by its index, for messages.
      with_spans: whether to compute the spans of tokens.

    Raises:
      ValueError: a text lacks an entity that the model needs.
    """
    # A lone surrogate becomes a question mark.
    scalars = (x.encode('utf-8', 'replace').decode() for x in texts)
    encoded_texts = [
      encode(x, self.tokenizer, self.limits, with_spans) for x in scalars
    ]
    if self.unseen:
      params, encoded_texts = with_unseen_words(
        params, self.unseen, self.tokenizer.size, encoded_texts
      )
    if self.markers:
      tokens = pack([text.ids for text in encoded_texts])
      check_entities(tokens, self.markers, origin_of, self.pooling)
    return params, encoded_texts

  def split(
    self, encoded_texts: Sequence[EncodedText], label_ids: Labels
  ) -> EncodedSplit:
    """Returns a split of encoded texts, with their labels."""
    sentences = [text.sentences for text in encoded_texts]
    split = make_split(
      [text.ids for text in encoded_texts],
      label_ids,
      self.num_labels,
      sentences if self.limits.hierarchical else None,
    )
    return dataclasses.replace(split, markers=self.markers)
