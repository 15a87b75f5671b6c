"""Where in a text its tokens stand, as [start, end) in code points.

A tokenizer changes no character but the case and the apostrophe, and drops
white space alone, so its tokens are found by walking along the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from bigru_jax.data.limits import Limits
  from bigru_jax.data.text import Tokenizer

Span = tuple[int, int]


def kept_spans(text: str, tokenizer: Tokenizer, limits: Limits) -> list[Span]:
  """The spans of the tokens that are kept of a text.

  Example:
    >>> from bigru_jax.data.limits import Limits
    >>> from bigru_jax.data.text import VocabularyTokenizer
    >>> words = VocabularyTokenizer('words', ['<pad>', '<unk>'])
    >>> kept_spans("It's 好看 !", words, Limits(max_length=4))
    [(0, 2), (2, 4), (5, 6), (6, 7)]

  Args:
    text: as it was given.
    tokenizer: of the run.
    limits: what of a text is kept.

  Returns:
    One per token, increasing and disjoint. A token that is only a part of a
    character, as the bytes of a byte-level tokenizer are, has an empty span
    after the first of them; so has the <unk> of an empty text.
  """
  found, start = [], 0
  for part in limits.parts(text):
    start = text.index(part, start)  # Only white space stands between parts.
    found.append([(start + a, start + b) for a, b in tokenizer.spans(part)])
    start += len(part)
  return limits.keep(found).tokens


def walk(text: str, tokens: Sequence[str], lowered: bool) -> list[Span]:
  """The spans of tokens that hold all of a text but its white space.

  Args:
    text: as it was given.
    tokens: in their order.
    lowered: whether they are of the text in lower case, which a few characters
      make longer, such as the capital dotted I of Turkish.
  """
  origins: Sequence[int] = range(len(text) + 1)
  if lowered and len(text.lower()) != len(text):
    origins = [i for i, c in enumerate(text) for _ in c.lower()]
  spans, place, before = [], 0, 0
  for token in tokens:
    while text[origins[place]].isspace():
      place += 1
    last = place + len(token) - 1
    start, end = max(origins[place], before), origins[last] + 1
    spans.append((start, end))
    place, before = last + 1, end
  return spans


def disjoint(spans: Sequence[Span]) -> list[Span]:
  """Spans without what one before them has."""
  found, before = [], 0
  for start, end in spans:
    start = max(start, before)
    before = max(end, start)
    found.append((start, before))
  return found
