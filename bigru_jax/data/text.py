"""Tokenisers and the vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import itertools
import os
import pathlib
import shutil
from typing import Any, NamedTuple
import unicodedata

import regex

from bigru_jax.data import token_patterns
from bigru_jax.data.open_files import check_file
from bigru_jax.data.spans import Span, disjoint, walk, with_marks

PAD, UNK = '<pad>', '<unk>'
PAD_ID, UNK_ID = 0, 1
# The position indicators of two entities, each of which is one token: Zhou et
# al., 2016, https://aclanthology.org/P16-2034.
MARKERS = ('<e1>', '</e1>', '<e2>', '</e2>')
_MARKER = regex.compile(r'(</?e[12]>)')
# Where a marker touches another character.
_EDGE = regex.compile(r'(?<=\S)(?=</?e[12]>)|(?<=</?e[12]>)(?=\S)')
_DOTTED_I = 'i\u0307'  # The lower case of U+0130.
_MEMO_SIZE = 2**18  # Pieces whose tokens are kept.


class WordTokenizer(NamedTuple):
  """Text to tokens in three steps: normal form, pieces, tokens.

  The normal form is NFC, so that texts that are canonically equivalent have the
  same tokens: an accent may be composed with its letter or follow it. A piece,
  which is what stands between white space, has the same tokens wherever it
  occurs, so they are looked up when it is met again, which takes a third of the
  time (measured on IMDB).

  Attributes:
    tokens: a piece to its tokens, which hold all of its characters.
    lowercase: whether the normal form is in lower case, with straight
      apostrophes. The dotted capital I of Turkish becomes `i`, without the
      second dot that the lower case of Unicode gives it.
    pattern: a regular expression whose matches in a text's normal form are its
      tokens, see `token_patterns`. An exported model needs it.
  """

  tokens: Callable[[str], Sequence[str]]
  lowercase: bool = False
  pattern: str = ''

  def __call__(self, text: str) -> list[str]:
    """The tokens of a text."""
    return [t for piece in self.pieces(text) for t in self.tokens(piece)]

  def normalize(self, text: str) -> str:
    """The normal form of a text.

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
      # What follows the dot may compose with the letter.
      text = unicodedata.normalize('NFC', text.replace(_DOTTED_I, 'i'))
    return text

  def pieces(self, text: str) -> list[str]:
    """What stands between the white space of a text, in its normal form."""
    return self.normalize(text).split()


def _words_pattern(letter: str) -> Any:
  """The tokens of `words`, given the class of what a word is made of."""
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


# Of scripts that write spaces between words.
_WORDS = _words_pattern(r'[\w--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]')
# The same tokens where all is ASCII; \w is a quarter faster than the class.
_ASCII_WORDS = _words_pattern(r'\w')


def _words_of_piece(piece: str) -> list[str]:
  return (_ASCII_WORDS if piece.isascii() else _WORDS).findall(piece)


def _with_markers(
  tokens: Callable[[str], Sequence[str]],
) -> Callable[[str], Sequence[str]]:
  """The tokens of a piece, of which each of `MARKERS` in it is one."""

  def tokens_of_piece(piece: str) -> Sequence[str]:
    if not _MARKER.search(piece):
      return tokens(piece)
    found: list[str] = []
    for part in filter(None, _MARKER.split(piece)):
      found += (part,) if part in MARKERS else tokens(part)
    return found

  return tokens_of_piece


# Lower-cased words and punctuation; `n't` and `'s` are tokens, as in PTB. Han,
# Hiragana, Katakana and Thai, which write no spaces, give one token per
# character; Latin words among them stay whole.
words = WordTokenizer(
  _with_markers(_words_of_piece),
  lowercase=True,
  pattern=token_patterns.WORDS,
)
# Every code point of the normal form but white space.
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
OWN_TOKENIZERS = frozenset(TOKENIZERS)  # Those that any process knows.


class Memo(dict[str, Any]):
  """What a function gives for a piece, kept for the pieces met first."""

  def __init__(self, function: Callable[[str], Any]) -> None:
    self._function = function

  def __missing__(self, piece: str) -> Any:
    value = self._function(piece)
    if len(self) < _MEMO_SIZE:
      self[piece] = value
    return value


def is_blank(text: str) -> bool:
  """Whether a text is missing, or nothing but white space."""
  return not text.strip()


def space_markers(text: str) -> str:
  """The text with white space around each of `MARKERS`.

  Example:
    >>> space_markers('A <e1>cup</e1> of <e2>tea</e2>.')
    'A <e1> cup </e1> of <e2> tea </e2> .'
  """
  return _EDGE.sub(' ', text)


def build_vocabulary(
  counts: Iterable[tuple[str, int]],
  max_size: int = 50_000,
  min_count: int = 1,
) -> list[str]:
  """<pad>, <unk>, then tokens by decreasing frequency, ties alphabetically.

  Args:
    counts: tokens, and how often each occurs in training.
    max_size: its maximum size, with the two special tokens.
    min_count: a token that occurs less often is left out.
  """
  kept = sorted(
    (
      (token, n)
      for token, n in counts
      if n >= max(min_count, 1) and token not in (PAD, UNK)
    ),
    key=lambda pair: (-pair[1], pair[0]),
  )
  return [PAD, UNK, *(token for token, _ in kept[: max(max_size - 2, 0)])]


class VocabularyTokenizer:
  """A tokenizer of `TOKENIZERS` with a vocabulary.

  Attributes:
    vocabulary: the tokens, by id.
    size: the number of ids.
  """

  def __init__(self, name: str, vocabulary: list[str]) -> None:
    self.vocabulary = vocabulary
    self.size = len(vocabulary)
    self._rules = TOKENIZERS[name]
    self._tokens = Memo(self._rules.tokens)
    # Row 0 is no token's: a text that spells <pad> out has an unknown one.
    self._ids = {token: i for i, token in enumerate(vocabulary) if i}
    for i, token in enumerate(vocabulary):
      # Vocabularies of other programs, and of versions before NFC.
      if not token.isascii() and not (
        self._rules.lowercase and token != token.lower()
      ):
        self._ids.setdefault(self._rules.normalize(token), i)

  def encode(self, text: str) -> tuple[list[str], list[int]]:
    """The tokens of a text and their ids; an empty text is one <unk>."""
    tokens = self._tokenize(text)
    if not tokens:
      return [UNK], [UNK_ID]
    return tokens, [self._ids.get(token, UNK_ID) for token in tokens]

  def spans(self, text: str) -> list[Span]:
    """Where each token stands; the <unk> of an empty text has (0, 0)."""
    tokens = self._tokenize(text)
    return walk(text, tokens, self._rules.normalize) or [(0, 0)]

  def _tokenize(self, text: str) -> list[str]:
    pieces = map(self._tokens.__getitem__, self._rules.pieces(text))
    return list(itertools.chain.from_iterable(pieces))

  def save(self, workdir: pathlib.Path) -> None:
    """Writes vocabulary.txt, one token per line, completely or not at all."""
    partial = workdir / 'vocabulary.txt.partial'
    content = '\n'.join(self.vocabulary) + '\n'
    partial.write_bytes(content.encode('utf-8', 'surrogatepass'))
    os.replace(partial, workdir / 'vocabulary.txt')


class JsonTokenizer:
  """A `tokenizer.json` of Hugging Face tokenizers, its ids shifted by two.

  Ids 0 and 1 stay <pad> and <unk>, whatever they are in the file.

  Attributes:
    vocabulary: None, for the file holds it.
    size: the number of ids.
  """

  vocabulary: list[str] | None = None

  def __init__(self, path: str | os.PathLike, field: str = 'tokenizer') -> None:
    """Reads the file.

    Raises:
      FileNotFoundError: there is none.
      ValueError: the library is missing, or the file is no such tokenizer.
    """
    check_file(path, field)
    self._path = pathlib.Path(path)
    if not self._path.is_file():
      raise FileNotFoundError(f'{field}={path}: no such file')
    try:
      import tokenizers
    except ImportError as error:
      raise ValueError(
        f'{field}={path} needs the tokenizers package: '
        'pip install "bigru_jax[tokenizers]"'
      ) from error
    try:
      self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises bare Exception.
      raise ValueError(f'{field}={path}: {error}') from error
    self.size = self._tokenizer.get_vocab_size() + 2

  def encode(self, text: str) -> tuple[list[str], list[int]]:
    """The tokens of a text and their ids; an empty text is one <unk>."""
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    if not encoding.ids:
      return [UNK], [UNK_ID]
    return encoding.tokens, [i + 2 for i in encoding.ids]

  def tokens(self) -> list[str]:
    """The file's tokens, by its own ids.

    Raises:
      ValueError: there is an id without a token.
    """
    ids = self._tokenizer.get_vocab()
    if sorted(ids.values()) != list(range(len(ids))):
      raise ValueError(f'tokenizer={self._path}: its ids have gaps')
    return sorted(ids, key=ids.__getitem__)

  def spans(self, text: str) -> list[Span]:
    """Where each token stands; the <unk> of an empty text has (0, 0)."""
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    return with_marks(text, disjoint(encoding.offsets)) or [(0, 0)]

  def encode_ids(self, texts: list[str]) -> list[list[int]]:
    """The ids of texts, on all cores."""
    encodings = self._tokenizer.encode_batch(texts, add_special_tokens=False)
    return [[i + 2 for i in e.ids] or [UNK_ID] for e in encodings]

  def save(self, workdir: pathlib.Path) -> None:
    """Copies the file to tokenizer.json, completely or not at all."""
    partial = workdir / 'tokenizer.json.partial'
    shutil.copyfile(self._path, partial)
    os.replace(partial, workdir / 'tokenizer.json')


Tokenizer = VocabularyTokenizer | JsonTokenizer


def vocabulary_lines(content: str) -> list[str]:
  """The lines of a file with one token per line.

  They end with a line feed, or all of them with a carriage return before it.
  Any other character that ends a line elsewhere is part of a token, as is a
  carriage return before some of the line feeds.
  """
  if content.count('\n') == content.count('\r\n'):
    content = content.replace('\r\n', '\n')
  return content.removesuffix('\n').split('\n')


def load_tokenizer(workdir: pathlib.Path, name: str) -> Tokenizer:
  """The tokenizer of a run directory.

  Args:
    workdir: the run directory.
    name: the configuration's `tokenizer`.

  Raises:
    FileNotFoundError, ValueError: its file is missing or corrupt.
  """
  field = f'workdir={workdir}'
  if name not in TOKENIZERS:
    return JsonTokenizer(workdir / 'tokenizer.json', f'{field}: tokenizer')
  path = workdir / 'vocabulary.txt'
  try:
    content = path.read_bytes().decode('utf-8', 'surrogatepass')
  except FileNotFoundError:
    raise FileNotFoundError(
      f'{field} is no run: it has no vocabulary.txt'
    ) from None
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f'{field}: vocabulary.txt: {error}') from error
  vocabulary = vocabulary_lines(content)
  if vocabulary[:2] != [PAD, UNK]:
    raise ValueError(
      f'{field}: vocabulary.txt does not begin with {PAD} and {UNK}'
    )
  return VocabularyTokenizer(name, vocabulary)
