"""The rules that split texts into tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
import unicodedata

import regex

from bigru_jax.data import token_patterns

PAD, UNK = '<pad>', '<unk>'
PAD_ID, UNK_ID = 0, 1
# The position indicators of two entities, each of which is one token: Zhou et
# al., 2016, https://aclanthology.org/P16-2034.
MARKERS = ('<e1>', '</e1>', '<e2>', '</e2>')
# The token between the texts of several columns.
SEPARATOR = '<sep>'
_MARKER = regex.compile(r'(</?e[12]>|<sep>)')
# The places where a marker touches another character.
_EDGE = regex.compile(r'(?<=\S)(?=</?e[12]>)|(?<=</?e[12]>)(?=\S)')
_DOTTED_I = 'i\u0307'  # The lower case of U+0130.
_MEMO_SIZE = 2**18  # The number of pieces whose tokens are stored.


class WordTokenizer(NamedTuple):
  """Splits a text in three steps: normal form, pieces, tokens.

  The normal form is NFC, so that canonically equivalent texts have the same
  tokens: an accent may be composed with its letter or follow it. The text
  between two white spaces is a piece. A piece has the same tokens wherever it
  occurs, so its tokens are stored, which cuts the time to a third (on IMDB).

  Attributes:
    tokens: the function from a piece to its tokens, which contain all of its
      characters.
    lowercase: whether the normal form is in lower case, with straight
      apostrophes. The dotted capital I of Turkish becomes `i`, without the
      second dot of Unicode's lower case.
    pattern: a regular expression whose matches in a text's normal form are its
      tokens, see `token_patterns`. An exported model needs it.
    replace: the function from such a token to the one that replaces it, if any
      are replaced; see `with_replacements`.
  """

  tokens: Callable[[str], Sequence[str]]
  lowercase: bool = False
  pattern: str = ''
  replace: Callable[[str], str] | None = None

  def __call__(self, text: str) -> list[str]:
    """Returns the tokens of a text."""
    pieces = self.pieces(text)
    return [t for x in pieces for t in self.replaced(self.tokens(x))]

  def replaced(self, tokens: Sequence[str]) -> Sequence[str]:
    """Returns the tokens with those that are replaced as what replaces them."""
    return list(map(self.replace, tokens)) if self.replace else tokens

  def normalize(self, text: str) -> str:
    """Returns the normal form of a text.

    Example:
      >>> words.normalize('Cafe\u0301 \u0130yi')
      'caf\xe9 iyi'
    """
    if self.lowercase:
      text = text.lower().replace('\u2019', "'")
    if text.isascii():
      return text
    text = unicodedata.normalize('NFC', text)
    if self.lowercase and _DOTTED_I in text:
      # The character after the dot may compose with the letter.
      text = unicodedata.normalize('NFC', text.replace(_DOTTED_I, 'i'))
    return text

  def pieces(self, text: str) -> list[str]:
    """Returns the pieces between white space of a text's normal form."""
    return self.normalize(text).split()


def _words_pattern(letter: str) -> Any:
  """Returns the pattern of `words`, given the character class of letters."""
  return regex.compile(
    rf"""{letter}+(?=n't\b)   # do|n't
      | n't\b
      | '(?:s|m|d|ll|re|ve)\b
        # she|'s, rock'n'roll|'s
      | {letter}+(?:[-.']{letter}+)*?(?='(?:s|m|d|ll|re|ve)\b)
      | {letter}+(?:[-.']{letter}+)*   # father-in-law, u.s, o'clock
      | \.{{2,}}
      | \S   # any other character is a token: ! ? and those of Han
    """,
    regex.VERBOSE | regex.VERSION1,
  )


# The pattern for scripts that write spaces between words.
_WORDS = _words_pattern(r'[\w--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]')
# The same tokens for ASCII text; \w is a quarter faster than the class.
_ASCII_WORDS = _words_pattern(r'\w')


def _words_of_piece(piece: str) -> list[str]:
  return (_ASCII_WORDS if piece.isascii() else _WORDS).findall(piece)


def _with_markers(
  tokens: Callable[[str], Sequence[str]],
) -> Callable[[str], Sequence[str]]:
  """Makes each of `MARKERS` and `SEPARATOR` in a piece one token."""

  def tokens_of_piece(piece: str) -> Sequence[str]:
    if not _MARKER.search(piece):
      return tokens(piece)
    piece_tokens: list[str] = []
    for part in filter(None, _MARKER.split(piece)):
      piece_tokens += (part,) if _MARKER.fullmatch(part) else tokens(part)
    return piece_tokens

  return tokens_of_piece


# Lower-cased words and punctuation; `n't` and `'s` are tokens, as in PTB. Han,
# Hiragana, Katakana and Thai, which write no spaces, give one token per
# character; Latin words among them stay whole.
words = WordTokenizer(
  _with_markers(_words_of_piece),
  lowercase=True,
  pattern=token_patterns.WORDS,
)
# Every code point of the normal form except white space.
characters = WordTokenizer(
  _with_markers(tuple), pattern=token_patterns.CHARACTERS
)
TOKENIZERS: dict[str, WordTokenizer] = {
  'words': words,
  'whitespace': WordTokenizer(
    _with_markers(lambda piece: (piece,)), pattern=token_patterns.WHITESPACE
  ),
  'characters': characters,
}
URL, USER = '<url>', '<user>'  # As in the GloVe vectors of Twitter.
_URL = regex.compile(token_patterns.URL, regex.VERSION1)
_USER = regex.compile(token_patterns.USER, regex.VERSION1)
_REPLACED = regex.compile(
  f'({token_patterns.URL}|{token_patterns.USER}|{token_patterns.REPLACED})',
  regex.VERSION1,
)


def with_replacements(rules: WordTokenizer) -> WordTokenizer:
  """Replaces addresses by `<url>` and user names by `<user>`, one token each.

  An address begins with `http://`, `https://`, `ftp://` or `www.`, and a user
  name with `@`; that of an e-mail address is not one.

  Example:
    >>> with_replacements(words)('@ann see https://example.org/a_(b), it works')
    ['<user>', 'see', '<url>', ',', 'it', 'works']

  Args:
    rules: a tokenizer that replaces nothing.
  """

  def tokens_of_piece(piece: str) -> Sequence[str]:
    parts = _REPLACED.split(piece)
    if len(parts) == 1:
      return rules.tokens(piece)
    tokens = list[str]()
    for i, part in enumerate(parts):  # Every second one is a match.
      if part:
        tokens += (part,) if i % 2 else rules.tokens(part)
    return tokens

  return rules._replace(tokens=tokens_of_piece, replace=_replacement)


def _replacement(token: str) -> str:
  """Returns what replaces a token: `URL`, `USER` or the token itself."""
  if _URL.fullmatch(token):
    return URL
  return USER if _USER.fullmatch(token) else token


OWN_TOKENIZERS = frozenset(TOKENIZERS)  # Known to every process.


class Memo(dict[str, Any]):
  """The results of a function for the pieces that occurred first."""

  def __init__(self, function: Callable[[str], Any]) -> None:
    self._function = function

  def __missing__(self, piece: str) -> Any:
    value = self._function(piece)
    if len(self) < _MEMO_SIZE:
      self[piece] = value
    return value


def is_blank(text: str) -> bool:
  """Returns whether a text is missing or only white space."""
  return not text.strip()


def join_texts(texts: Sequence[str]) -> str:
  """Joins the texts of an example's columns by `SEPARATOR`.

  If all of several texts are blank, the result is empty.

  Example:
    >>> join_texts(['A title', 'Its body.'])
    'A title <sep> Its body.'
  """
  if len(texts) > 1 and all(map(is_blank, texts)):
    return ''
  return f' {SEPARATOR} '.join(texts)


def space_markers(text: str) -> str:
  """Returns the text with white space around each of `MARKERS`.

  Example:
    >>> space_markers('A <e1>cup</e1> of <e2>tea</e2>.')
    'A <e1> cup </e1> of <e2> tea </e2> .'
  """
  return _EDGE.sub(' ', text)
