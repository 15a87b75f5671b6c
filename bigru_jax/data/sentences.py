"""Splits texts into sentences, by rules.

A sentence ends

  1. at a line break, and after HTML's `<br>`;
  2. after `.`, `!`, `?` and the ellipsis, one or several, with the closing
     quotes and brackets that follow them, before white space and an upper-case
     letter, a letter of a script that has no case, a digit, or an opening quote
     or bracket. A single period ends none after an abbreviation: a word of
     `ABBREVIATIONS`, one of `NUMBERED` before a digit, an upper-case initial
     (`J. Smith`), or letters with periods between them (`e.g.`, `U.S.`); nor
     after the number of a list, an ordinal or a date, see below;
  3. after such marks between white space (`good . but`), as in tokenised text,
     where closing quotes and brackets are separate as well;
  4. after the full-width marks of Chinese and Japanese, with the closing quotes
     and brackets that follow, whatever comes next;
  5. after the other marks that Unicode calls Sentence_Terminal, such as those
     of Hindi (danda), Arabic and Urdu, Armenian, Ethiopic, Burmese and Khmer,
     with the closing quotes and brackets that follow, before white space or a
     letter of a script that has no case. Abbreviations may contain the full
     stops of Urdu and Khmer, which end a sentence only before white space.

So a mark before a lower-case letter ends no sentence unless it is separate or
rule 4 or 5 applies. A semicolon ends none, nor does the Greek question mark.

A number before a single period is

  a. the number of a list, and belongs to the text after it, if it begins the
     sentence or follows a semicolon, or is the first (`1`, `a`, `i`) and
     follows a colon. Such a number has one or two digits, or several of these
     with periods between them (`1.2.`), or is one small letter, or Roman (of I,
     V and X only);
  b. an ordinal of German, if it has one to three digits or is Roman, after one
     of `DETERMINERS`, after another ordinal and one of `CONJUNCTIONS`, or, if
     it has digits, before one of `COUNTED`: `der 2. Weltkrieg`, `im XIX.
     Jahrhundert`, `der 1. und 2. Platz`, `am 3. Mai`. Languages that continue
     with a small letter, such as Danish and Czech, need no such rule;
  c. part of a date in digits: `3. 5. 2020`.

After any other number a sentence ends as after a word: `It was 1999. Then came
the war.`, `I am 42. She is 40.`

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
# Some, such as `no`, are also words, so they are abbreviations only before a
# digit.
NUMBERED = frozenset('no nos p pp vol vols fig figs ch sec eq art'.split())
# Words before an ordinal; of English words, only `am`, which follows `I`.
DETERMINERS = frozenset(
  'der die das den dem des am im zum zur vom beim ins jeder jede jedes jedem '
  'jeden dieser diese dieses diesem diesen mein meine meinem meinen meiner '
  'sein seine seinem seinen seiner ihr ihre ihrem ihren ihrer unser unsere '
  'unserem unseren unserer det'.split()
)
CONJUNCTIONS = frozenset('und oder bis sowie og och'.split())
# Words after an ordinal: months, and nouns that follow no other number.
COUNTED = frozenset(
  'januar jänner jan februar feber feb märz mrz april apr mai juni jun juli '
  'jul august aug september sept sep oktober okt november nov dezember dez '
  'jahrhundert jahrhunderts jahrtausend jahrtausends weltkrieg weltkriegs '
  'weltkrieges lebensjahr geburtstag bundesliga liga auflage halbzeit'.split()
)

_OPENING = '"\'\u201c\u2018\u00ab\u201e([{\u00bf\u00a1'
_CONTEXT = 32  # The maximal number of characters of an abbreviation.
# The quantifiers are possessive, so that the time is linear in the text.
_RULES = r"""
  (?i: <br \s*+ /?> \s*+ )++
  | [。！？｡]++ ["'”’»)\]}」』）】]*+
  | (?<=\s) [.!?…]++ (?!\S)
    (?: \s++ (?: [.!?…]++ | '' | [”’»)\]}]++ ) (?!\S) )*+
  | (?<![.!?…]) (?P<marks>[.!?…]++) ["'”’»)\]}]*+
    (?= \s++ (?P<next>[\p{Lu}\p{Lt}\p{Lo}\p{N}"'“‘«„(\[{¿¡]) )
"""
_OTHER = r'[\p{STerm}--[.!?]]'
_RULE_5 = rf"""
  | (?<![…\p{{STerm}}])
    [.!?…]*+ {_OTHER} […\p{{STerm}}]*+ ["'”’»)\]}}]*+
    (?: (?!\S) | (?<![۔។]) (?=\p{{Lo}}) )
"""
_FLAGS = regex.VERBOSE | regex.VERSION1
_ENDS = regex.compile(_RULES, _FLAGS)
# Rule 5 takes half as much time in addition; few texts need it.
_OTHER_MARK = regex.compile(_OTHER, _FLAGS)
_ALL_ENDS = regex.compile(_RULES + _RULE_5, _FLAGS)
# Initials with optional accents, and all numbers that have a rule.
_SHORT = regex.compile(
  r'(?P<initials>\p{Lu}\p{M}*+|(?:\p{L}\p{M}*+\.)+\p{L}\p{M}*+)'
  r'|\d{1,3}(?:\.\d{1,2})*+|\p{Ll}\p{M}*+|[IVX]++|[ivx]++'
)
_OF_LIST = regex.compile(
  r'\d{1,2}(?:\.\d{1,2})*+|\p{Ll}\p{M}*+|[IVX]++|[ivx]++'
)
_ORDINAL = regex.compile(r'\d{1,3}|[IVX]++')
_BEFORE_ORDINAL = regex.compile(
  rf'(?<!\bI )\b(?:{"|".join(DETERMINERS)})$'
  rf'|\b(?:\d{{1,3}}|[IVX]++)\. (?:{"|".join(CONJUNCTIONS)})$',
  regex.IGNORECASE,
)
_AFTER_ORDINAL = regex.compile(
  rf'\s++(?:{"|".join(COUNTED)})\b', regex.IGNORECASE
)
_DATE = regex.compile(r'\d{1,2}\.\s*+\d{1,2}\.\s*+\d{2,4}\b')


def split_sentences(text: str) -> list[str]:
  """Returns the sentences of a text, by the rules of the module.

  Example:
    >>> split_sentences('Mr. Lee came at 5 p.m. to see it. "Why?" Nobody knew.')
    ['Mr. Lee came at 5 p.m. to see it.', '"Why?"', 'Nobody knew.']

  Args:
    text: any string.

  Returns:
    At least one sentence, which is empty for a blank text.
  """
  needs_all = not text.isascii() and _OTHER_MARK.search(text)
  ends = _ALL_ENDS if needs_all else _ENDS
  sentences = []
  for line in map(str.strip, text.splitlines()):
    start = 0
    for end in ends.finditer(line):
      if end['marks'] == '.' and _continues(line, start, end):
        continue
      sentences.append(line[start : end.end()].strip())
      start = end.end()
    sentences.append(line[start:].strip())
  return list(filter(None, sentences)) or ['']


def _continues(line: str, start: int, end: regex.Match) -> bool:
  """Returns whether the sentence from `start` continues after a period."""
  before = line[max(start, end.start() - _CONTEXT) : end.start()].split()
  if not before:
    return False
  word = before.pop().lstrip(_OPENING)
  if word.lower() in NUMBERED:
    return end['next'].isdigit()
  if word.lower() in ABBREVIATIONS:
    return True
  short = _SHORT.fullmatch(word)
  if not short or short['initials']:
    return bool(short)
  begins = not before and end.start() - start <= _CONTEXT
  return _is_of_list(word, before[-1] if before else '', begins) or _is_ordinal(
    word, ' '.join(before), line[end.end() : end.end() + _CONTEXT]
  )


def _is_of_list(word: str, before: str, begins: bool) -> bool:
  """Returns whether a word is the number of a list, after `before`."""
  if before.endswith(':'):
    return word in ('1', 'a', 'i')
  return (begins or before.endswith(';')) and bool(_OF_LIST.fullmatch(word))


def _is_ordinal(word: str, before: str, after: str) -> bool:
  """Returns whether a word is an ordinal, or a day or month in digits."""
  if not _ORDINAL.fullmatch(word):
    return False
  if _BEFORE_ORDINAL.search(before):
    return True
  last = before.rsplit(maxsplit=1)[-1:]
  return word.isdecimal() and bool(
    _AFTER_ORDINAL.match(after)
    or _DATE.match(f'{word}.{after}')
    or last
    and _DATE.match(f'{last[0]}{word}.{after}')
  )
