"""Where in a text its tokens stand, as [start, end) in code points.

A tokenizer of words drops nothing but white space of the normal form of a text,
so its tokens are found by walking along that form, of which each character is
known to be made of which characters of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import unicodedata

import regex

Span = tuple[int, int]
# What may compose with the character before it, or change places, under NFC.
_MARKS = regex.compile(r'[\P{ccc=0}\p{NFC_QC=Maybe}]*+')
# A character with its marks. White space has none.
_CLUSTER = regex.compile(rf'[\s\x1c-\x1f]|(?s:.){_MARKS.pattern}')


def align(
  tokens: Sequence[str],
  text: str,
  normal: str,
  normalize: Callable[[str], str],
) -> list[Span]:
  """The spans of tokens that hold all of a text but its white space.

  Args:
    tokens: of the text's normal form, in their order.
    text: as it was given.
    normal: its normal form.
    normalize: a text to its normal form, `WordTokenizer.normalize`.
  """
  starts, ends = _origins(text, normal, normalize)
  spans, position, end = [], 0, 0
  for token in tokens:
    while normal[position].isspace():
      position += 1
    last = position + len(token) - 1
    start, end = max(starts[position], end), max(ends[last], end)
    spans.append((start, end))
    position = last + 1
  return spans


def _origins(
  text: str, normal: str, normalize: Callable[[str], str]
) -> tuple[Sequence[int], Sequence[int]]:
  """Where what each character of the normal form is made of starts and ends.

  Of characters that became others together, the first of these has what the
  rest leave, which have one each, as long as there are any.
  """
  if len(normal) == len(text) and unicodedata.is_normalized('NFC', text):
    # Then only the case differs, or apostrophes.
    return range(len(text)), range(1, len(text) + 1)
  starts, ends = list[int](), list[int]()
  for match in _CLUSTER.finditer(text):
    cluster, (start, end) = match[0], match.span()
    whole, parts = normalize(cluster), [normalize(c) for c in cluster]
    if ''.join(parts) != whole:
      # The base has composed with some marks; the others are in a new order.
      first_end = max(start + 1, end - len(whole) + 1)
      cuts = [*range(first_end, end), *[end] * (len(whole) - end + first_end)]
      starts += [start, *cuts[:-1]]
      ends += cuts
      continue
    for i, part in enumerate(parts, start):
      starts += [i] * len(part)
      ends += [i + 1] * len(part)
  return starts, ends


def disjoint(spans: Sequence[Span]) -> list[Span]:
  """Spans without what one before them has."""
  disjoint_spans, previous_end = [], 0
  for start, end in spans:
    start = max(start, previous_end)
    previous_end = max(end, start)
    disjoint_spans.append((start, previous_end))
  return disjoint_spans


def with_marks(text: str, spans: Sequence[Span]) -> list[Span]:
  """Disjoint spans with the marks after them that no other span has.

  A tokenizer that composes a letter and its accent may name the letter alone.
  """
  limits = [*(start for start, _ in spans[1:]), len(text)]
  return [
    (start, _MARKS.match(text, end, limit).end() if start < end else end)
    for (start, end), limit in zip(spans, limits)
  ]
