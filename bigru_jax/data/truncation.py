"""Truncates texts to limited numbers of tokens or of sentences.

Training and prediction use the same limits, so that a text has the same ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import itertools
from typing import Any, Generic, NamedTuple, TypeVar

from bigru_jax.data.sentences import split_sentences

_T = TypeVar('_T')


def _both(items: list[Any], limit: int) -> list[Any]:
  last = limit // 2
  return items[: limit - last] + items[len(items) - last :]


NO_LIMIT = 10**9  # Of whole texts.

# The functions that choose which items are kept if there are too many.
TRUNCATIONS: dict[str, Callable[[list[Any], int], list[Any]]] = {
  'head': lambda items, limit: items[:limit],
  'tail': lambda items, limit: items[-limit:],
  'both': _both,
}


class TruncatedText(NamedTuple, Generic[_T]):
  """The part of a text that is kept.

  Attributes:
    tokens: its tokens.
    sentences: the number of tokens of each sentence; one number if the text is
      not split.
    truncated: whether tokens or sentences were dropped.
  """

  tokens: list[_T]
  sentences: list[int]
  truncated: bool


@dataclasses.dataclass(frozen=True)
class Limits:
  """The fields of a configuration that truncate texts.

  Attributes:
    max_length: the maximal number of tokens of a text that is not split.
    keep: a name of `TRUNCATIONS`, the part of the tokens or sentences to keep.
    hierarchical: whether texts are split into sentences.
    max_sentences: the maximal number of sentences of a text.
    max_sentence_length: the maximal number of tokens of a sentence; the
      remaining tokens make further sentences.
  """

  max_length: int = 512
  keep: str = 'head'
  hierarchical: bool = False
  max_sentences: int = 50
  max_sentence_length: int = 50

  def __str__(self) -> str:
    """Returns the field that truncates texts, for messages."""
    if self.hierarchical:
      return f'max_sentences={self.max_sentences}'
    return f'max_length={self.max_length}'

  def parts(self, text: str) -> list[str]:
    """Splits a text into the parts that are tokenized separately."""
    return split_sentences(text) if self.hierarchical else [text]

  def truncate(self, parts: Iterable[Iterable[_T]]) -> TruncatedText[_T]:
    """Truncates a text, given the tokens of each of its parts.

    Example:
      >>> limits = Limits(hierarchical=True, max_sentences=2, keep='tail',
      ...                 max_sentence_length=3)
      >>> limits.truncate([['Yes', '!'], ['it', 'is', 'good', '.']])[:2]
      (['it', 'is', 'good', '.'], [3, 1])
    """
    if not self.hierarchical:
      (part,) = parts
      tokens, truncated = self._truncated(part, self.max_length)
      return TruncatedText(tokens, [len(tokens)], truncated)
    sentences, truncated = self._truncated(
      _chunks(parts, self.max_sentence_length), self.max_sentences
    )
    tokens = list(itertools.chain.from_iterable(sentences))
    return TruncatedText(tokens, list(map(len, sentences)), truncated)

  def _truncated(
    self, items: Iterable[Any], limit: int
  ) -> tuple[list[Any], bool]:
    if isinstance(items, list) and len(items) <= limit:
      return items, False
    # The end of a long text is only tokenized if it is needed.
    stop = limit + 1 if self.keep == 'head' else None
    taken = list(itertools.islice(items, stop))
    if len(taken) <= limit:
      return taken, False
    return TRUNCATIONS[self.keep](taken, limit), True


def _chunks(parts: Iterable[Iterable[_T]], size: int) -> Iterator[list[_T]]:
  """Yields the tokens of each part in chunks of at most `size` tokens."""
  for part in parts:
    tokens = list(part)
    for start in range(0, len(tokens), size):
      yield tokens[start : start + size]
