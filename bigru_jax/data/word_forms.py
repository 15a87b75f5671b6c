"""Other forms of a word, under which a file of vectors may have it.

A word without a vector takes that of the first form that the file has:

1. the word in lower case, capitalised, and in upper case;
2. without its possessive ending (`film's`, `films'`), in any case;
3. without its plural ending (`films`, `stories`, `boxes`), in any case;
4. with its digits as the file writes them: 1997 as `####` if it has `##` and no
   `10`, as word2vec's vectors of Google News; as `0000` if it has `00` and no
   `10`; as `<number>` if it has that, as GloVe's vectors of Twitter;
5. a contraction: with a straight apostrophe, as the mean of its parts (`do`
   and `n't`), or of the words that these stand for (`do` and `not`);
6. a word with hyphens: as the mean of its parts.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping
import re

import numpy as np

from bigru_jax.data import text

_CASES = 'in lower case', 'capitalised', 'in upper case'
_POSSESSIVE = 'without a possessive ending'
_PLURAL = 'without a plural ending'
_CONTRACTION = 'as a contraction'
_COMPOUND = 'as a word with hyphens'
# What a file has that writes all digits in this way, and no `_USUAL_NUMBER`.
_DIGITS = {
  'with # for digits': '##',
  'with 0 for digits': '00',
  'with <number> for digits': '<number>',
}
_USUAL_NUMBER = '10'
_DIGIT, _RUN_OF_DIGITS = re.compile(r'\d'), re.compile(r'\d+')
_NUMBER = re.compile(r'\d[\d.,]*')
_SINGULAR = (  # The endings of a plural, and those of its singular.
  ('ies', 'y'), ('ches', 'ch'), ('shes', 'sh'), ('ses', 's'), ('xes', 'x'),
  ('zes', 'z'), ('oes', 'o'), ('s', ''),
)  # fmt: skip
_NO_PLURAL = 'ss', 'us', 'is', "'s"
_WHOLE_WORDS = {
  "n't": 'not', "'ll": 'will', "'re": 'are', "'ve": 'have', "'m": 'am',
  "'d": 'would', 'ca': 'can', 'wo': 'will', 'sha': 'shall',
}  # fmt: skip


def forms_of(word: str) -> dict[tuple[str, ...], str]:
  """Returns the other forms of a word, in the order in which they are tried.

  Example:
    >>> for form, kind in list(forms_of('films').items())[:3]:
    ...   print(*form, kind)
    Films capitalised
    FILMS in upper case
    film without a plural ending

  Returns:
    A form -> its kind, for the log. The vector of a form of several words is
    the mean of theirs.
  """
  forms: dict[tuple[str, ...], str] = {}
  for form, kind in zip(_cases(word), _CASES):
    forms.setdefault((form,), kind)
  singulars: Iterable[str] = ()
  if word.isalpha():  # Most words are, and need only what follows.
    singulars = _singulars(word)
  else:
    straight = word.replace('\u2019', "'")
    base = straight.removesuffix("'").removesuffix("'s").removesuffix("'S")
    if base != straight:
      _add_cases(forms, base, _POSSESSIVE)
    singulars = _singulars(base)
  for singular in singulars:
    _add_cases(forms, singular, _PLURAL)
  if not word.isalpha():
    _add_digits(forms, word)
    _add_contractions(forms, word, straight)
    if '-' in word:
      parts = tuple(filter(None, word.split('-')))
      forms.setdefault(parts or (word,), _COMPOUND)
  forms.pop((word,), None)
  return forms


def candidates(words: Iterable[str]) -> dict[str, str]:
  """Returns the words of all forms, each with the word that it is for.

  A word that is needed for several is with the empty string.
  """
  owners = dict.fromkeys([_USUAL_NUMBER, *_DIGITS.values()], '')
  for word in words:
    for form in forms_of(word):
      for part in form:
        owners[part] = '' if part in owners else word
  return owners


def lookup(
  words: Iterable[str], vectors: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], collections.Counter[str]]:
  """Looks up the forms of words that a file does not have.

  Args:
    words: the words.
    vectors: the vectors that the file has of `candidates(words)`.

  Returns:
    The vectors of the words that the file has in another form, and how many of
    them it has in each kind of form.
  """
  of_forms: dict[str, np.ndarray] = {}
  counts = collections.Counter[str]()
  unused = {
    kind
    for kind, number in _DIGITS.items()
    if number not in vectors or _USUAL_NUMBER in vectors
  }
  for word in words:
    for form, kind in forms_of(word).items():
      if kind not in unused and all(part in vectors for part in form):
        of_forms[word] = np.mean([vectors[part] for part in form], axis=0)
        counts[kind] += 1
        break
  return of_forms, counts


def describe(counts: Mapping[str, int]) -> str:
  """Returns the counts of `lookup` for the log, in the order of the forms."""
  kinds = *_CASES, _POSSESSIVE, _PLURAL, *_DIGITS, _CONTRACTION, _COMPOUND
  return ', '.join(f'{counts[x]} {x}' for x in kinds if counts.get(x))


def _cases(word: str) -> tuple[str, str, str]:
  return word.lower(), word.capitalize(), word.upper()


def _add_cases(forms: dict[tuple[str, ...], str], word: str, kind: str) -> None:
  for form in (word, *_cases(word)) if word else ():
    forms.setdefault((form,), kind)


def _singulars(word: str) -> Collection[str]:
  """Returns the words whose plural a word of at least four letters may be."""
  lower = word.lower()
  if len(word) < 4 or lower[-1] != 's' or lower.endswith(_NO_PLURAL):
    return ()
  return [
    word[: -len(ending)] + singular
    for ending, singular in _SINGULAR
    if lower.endswith(ending)
  ]


def _add_digits(forms: dict[tuple[str, ...], str], word: str) -> None:
  if not _RUN_OF_DIGITS.search(word):
    return
  # Google's vectors have at most five.
  hashes = _RUN_OF_DIGITS.sub(lambda run: '#' * min(len(run[0]), 5), word)
  zeros = _DIGIT.sub('0', word)
  number = '<number>' if _NUMBER.fullmatch(word) else word
  for form, kind in zip((hashes, zeros, number), _DIGITS):
    forms.setdefault((form,), kind)


def _add_contractions(
  forms: dict[tuple[str, ...], str], word: str, straight: str
) -> None:
  if word in _WHOLE_WORDS:
    forms.setdefault((_WHOLE_WORDS[word],), _CONTRACTION)
  elif "'" in straight:
    forms.setdefault((straight,), _CONTRACTION)
    parts = tuple(text.words(straight))
    if len(parts) > 1:
      forms.setdefault(parts, _CONTRACTION)
      whole = tuple(_WHOLE_WORDS.get(part, part) for part in parts)
      forms.setdefault(whole, _CONTRACTION)
