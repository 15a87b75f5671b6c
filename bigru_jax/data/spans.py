"""The spans of a text's tokens, as [start, end) in code points.

A word tokenizer drops only white space from the normal form of a text. So the
tokens are found by walking along the normal form, and each of its characters is
traced to the characters of the text from which it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import unicodedata

import regex

Span = tuple[int, int]
# Characters that NFC may compose with the one before them, or reorder.
_MARKS = regex.compile(r'[\P{ccc=0}\p{NFC_QC=Maybe}]*+')
# A character with its marks. White space has none.
_CLUSTER = regex.compile(rf'[\s\x1c-\x1f]|(?s:.){_MARKS.pattern}')


def align(
  tokens: Sequence[str],
  text: str,
  normal: str,
  normalize: Callable[[str], str],
) -> list[Span]:
  """Returns the spans of tokens that cover a text except its white space.

  Args:
    tokens: the tokens of the text's normal form, in order.
    text: the text.
    normal: the normal form of the text.
    normalize: the function from a text to its normal form,
      `WordTokenizer.normalize`.
  """
  spans, position, end = list[Span](), 0, 0
  origins = _origins(text, normal, normalize)
  for token in tokens:
    # Only white space precedes the token, so this is its first occurrence.
    start = normal.index(token, position)
    position = start + len(token)
    if origins is None:
      spans.append((start, position))
    else:
      starts, ends = origins
      start, end = max(starts[start], end), max(ends[position - 1], end)
      spans.append((start, end))
  return spans


def _origins(
  text: str, normal: str, normalize: Callable[[str], str]
) -> tuple[list[int], list[int]] | None:
  """Returns the start and end of the source of each normal-form character.

  It returns None if each character is made from the one at its own position.

  If several characters became several others together, each of the new ones
  gets one source character while there are any; the first also gets all that
  remain.
  """
  if len(normal) == len(text) and unicodedata.is_normalized('NFC', text):
    return None  # Only the case or apostrophes differ.
  starts, ends = list[int](), list[int]()
  for match in _CLUSTER.finditer(text):
    cluster, (start, end) = match[0], match.span()
    whole, parts = normalize(cluster), [normalize(c) for c in cluster]
    if ''.join(parts) != whole:
      # The base is composed with some marks; the remaining ones are reordered.
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
  """Removes from each span the part that an earlier span has."""
  disjoint_spans, previous_end = [], 0
  for start, end in spans:
    start = max(start, previous_end)
    previous_end = max(end, start)
    disjoint_spans.append((start, previous_end))
  return disjoint_spans


def with_marks(text: str, spans: Sequence[Span]) -> list[Span]:
  """Extends disjoint spans by the following marks that no span has.

  A tokenizer that composes a letter and its accent may give the letter's span.
  """
  limits = [*(start for start, _ in spans[1:]), len(text)]
  return [
    (start, _MARKS.match(text, end, limit).end() if start < end else end)
    for (start, end), limit in zip(spans, limits)
  ]
