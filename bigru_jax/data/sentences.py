"""Texts to sentences, by rules.

A sentence ends

  1. at a line break, and after HTML's `<br>`;
  2. after `.`, `!`, `?` and the ellipsis, one or several, with the closing
     quotes and brackets that follow them, before white space and an upper-case
     letter, a letter of a script that has no case, a digit, or an opening quote
     or bracket. A single period ends none after an abbreviation: a word of
     `ABBREVIATIONS`, one of `NUMBERED` before a digit, an upper-case initial
     (`J. Smith`), or letters with periods between them (`e.g.`, `U.S.`);
  3. after such marks that stand between white space (`good . but`), as in
     tokenised text, where closing quotes and brackets stand alone, too;
  4. after the full-width marks of Chinese and Japanese, with the closing quotes
     and brackets that follow, whatever comes next.

So a mark before a lower-case letter ends no sentence unless it stands alone.
White space around a sentence is stripped, blank sentences are dropped, and all
other characters are kept, in their order.
"""

from __future__ import annotations

import regex

ABBREVIATIONS = frozenset(
  'mr mrs ms mx dr prof rev fr hon pres gov sen rep gen col maj capt lt cmdr '
  'sgt messrs mme mlle st mt ave blvd rd jr sr esq ph.d inc ltd co corp bros '
  'dept univ assn vs etc cf al approx e.g i.e u.s jan feb mar apr jun jul aug '
  'sep sept oct nov dec'.split()
)
# Of these `no` is a word, too, so they are abbreviations before a digit alone.
NUMBERED = frozenset('no nos p pp vol vols fig figs ch sec eq art'.split())

_OPENING = '"\'\u201c\u2018\u00ab\u201e([{\u00bf\u00a1'
_LONGEST_WORD = 32  # No abbreviation is longer.
# No quantifier gives back what it took, so that the time is linear in the text.
_ENDS = regex.compile(
  r"""
  (?i: <br \s*+ /?> \s*+ )++
  | [。！？｡]++ ["'”’»)\]}」』）】]*+
  | (?<=\s) [.!?…]++ (?!\S)
    (?: \s++ (?: [.!?…]++ | '' | [”’»)\]}]++ ) (?!\S) )*+
  | (?<![.!?…]) (?P<marks>[.!?…]++) ["'”’»)\]}]*+
    (?= \s++ (?P<next>[\p{Lu}\p{Lt}\p{Lo}\p{N}"'“‘«„(\[{¿¡]) )
  """,
  regex.VERBOSE | regex.VERSION1,
)
_INITIALS = regex.compile(r'\p{Lu}|(?:\p{L}\.)+\p{L}')


def split_sentences(text: str) -> list[str]:
  """The sentences of a text, in order; see the module for the rules.

  Example:
    >>> split_sentences('Mr. Lee came at 5 p.m. to see it. "Why?" Nobody knew.')
    ['Mr. Lee came at 5 p.m. to see it.', '"Why?"', 'Nobody knew.']

  Args:
    text: any string.

  Returns:
    At least one sentence; of a blank text it is empty.
  """
  found = []
  for line in text.splitlines():
    start = 0
    for end in _ENDS.finditer(line):
      if end['marks'] == '.' and _abbreviates(line, start, end):
        continue
      found.append(line[start : end.end()].strip())
      start = end.end()
    found.append(line[start:].strip())
  return [sentence for sentence in found if sentence] or ['']


def _abbreviates(line: str, start: int, end: regex.Match) -> bool:
  """Whether a period ends an abbreviation, in the sentence from `start`."""
  before = line[max(start, end.start() - _LONGEST_WORD) : end.start()].split()
  word = before[-1].lstrip(_OPENING) if before else ''
  if word.lower() in NUMBERED:
    return end['next'].isdigit()
  return word.lower() in ABBREVIATIONS or bool(_INITIALS.fullmatch(word))
