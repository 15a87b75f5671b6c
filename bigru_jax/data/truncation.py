"""What of a text is kept: its tokens, or its sentences of tokens.

Reading and prediction use the same limits, so that a text has the same ids in
both.
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


# Which of more items than the limit are kept.
TRUNCATIONS: dict[str, Callable[[list[Any], int], list[Any]]] = {
  'head': lambda items, limit: items[:limit],
  'tail': lambda items, limit: items[-limit:],
  'both': _both,
}


class TruncatedText(NamedTuple, Generic[_T]):
  """What is kept of a text.

  Attributes:
    tokens: its tokens.
    sentences: the tokens of each sentence; one number if it is not split.
    truncated: whether tokens or sentences were dropped.
  """

  tokens: list[_T]
  sentences: list[int]
  truncated: bool


@dataclasses.dataclass(frozen=True)
class Limits:
  """The fields of a configuration that say what of a text is kept.

  Attributes:
    max_length: tokens of a text, where it is not split into sentences.
    keep: a name of `TRUNCATIONS`: which tokens, or sentences, are kept.
    hierarchical: whether a text is split into sentences.
    max_sentences: sentences of a text.
    max_sentence_length: tokens of a sentence; the others make further
      sentences.
  """

  max_length: int = 512
  keep: str = 'head'
  hierarchical: bool = False
  max_sentences: int = 50
  max_sentence_length: int = 50

  def __str__(self) -> str:
    """The field at which texts are truncated, for messages."""
    if self.hierarchical:
      return f'max_sentences={self.max_sentences}'
    return f'max_length={self.max_length}'

  def parts(self, text: str) -> list[str]:
    """The parts of a text that are tokenized apart from each other."""
    return split_sentences(text) if self.hierarchical else [text]

  def truncate(self, parts: Iterable[Iterable[_T]]) -> TruncatedText[_T]:
    """What is kept of a text, given the tokens of each of its parts.

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
    # The end of a long text is not tokenized where it is not needed.
    stop = limit + 1 if self.keep == 'head' else None
    taken = list(itertools.islice(items, stop))
    if len(taken) <= limit:
      return taken, False
    return TRUNCATIONS[self.keep](taken, limit), True


def _chunks(parts: Iterable[Iterable[_T]], size: int) -> Iterator[list[_T]]:
  """The tokens of each part, in chunks of at most so many."""
  for part in parts:
    tokens = list(part)
    for start in range(0, len(tokens), size):
      yield tokens[start : start + size]
