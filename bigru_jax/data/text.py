"""Tokenisers and the vocabulary."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence
import dataclasses
import os
import pathlib
import shutil
from typing import Any

import numpy as np
import regex

PAD, UNK = '<pad>', '<unk>'
PAD_ID, UNK_ID = 0, 1


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


def words(text: str) -> list[str]:
  """Lower-cased words and punctuation; `n't` and `'s` are tokens, as in PTB.

  Han, Hiragana, Katakana and Thai, which write no spaces, give one token per
  character; Latin words among them stay whole.
  """
  text = text.lower().replace('\u2019', "'")
  return (_ASCII_WORDS if text.isascii() else _WORDS).findall(text)


def characters(text: str) -> list[str]:
  """Every character but white space, for scripts without spaces."""
  return [c for c in text if not c.isspace()]


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
  'words': words,
  'whitespace': str.split,
  'characters': characters,
}


def build_vocabulary(
  tokenized: Iterable[list[str]], max_size: int = 50_000, min_count: int = 1
) -> list[str]:
  """<pad>, <unk>, then tokens by decreasing frequency, ties alphabetically.

  Args:
    tokenized: an iterable of token lists.
    max_size: its maximum size, with the two special tokens.
    min_count: a token that occurs less often is left out.
  """
  counts: collections.Counter[str] = collections.Counter()
  for tokens in tokenized:
    counts.update(tokens)
  for special in (PAD, UNK):
    del counts[special]
  kept = sorted(
    (token for token, n in counts.items() if n >= min_count),
    key=lambda token: (-counts[token], token),
  )
  return [PAD, UNK, *kept[: max(max_size - 2, 0)]]


class VocabularyTokenizer:
  """A function of `TOKENIZERS` with a vocabulary.

  Attributes:
    vocabulary: the tokens, by id.
    size: the number of ids.
  """

  def __init__(self, name: str, vocabulary: list[str]) -> None:
    self.vocabulary = vocabulary
    self.size = len(vocabulary)
    self._tokenize = TOKENIZERS[name]
    self._ids = {token: i for i, token in enumerate(vocabulary)}

  def encode(self, text: str) -> tuple[list[str], list[int]]:
    """The tokens of a text and their ids; an empty text is one <unk>."""
    tokens = self._tokenize(text) or [UNK]
    ids = self._ids
    return tokens, [ids.get(token, UNK_ID) for token in tokens]

  def save(self, workdir: pathlib.Path) -> None:
    """Writes vocabulary.txt, one token per line, completely or not at all."""
    partial = workdir / 'vocabulary.txt.partial'
    content = '\n'.join(self.vocabulary) + '\n'
    partial.write_text(content, encoding='utf-8', errors='surrogatepass')
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

  def save(self, workdir: pathlib.Path) -> None:
    """Copies the file to tokenizer.json, completely or not at all."""
    partial = workdir / 'tokenizer.json.partial'
    shutil.copyfile(self._path, partial)
    os.replace(partial, workdir / 'tokenizer.json')


Tokenizer = VocabularyTokenizer | JsonTokenizer


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
    content = path.read_text(encoding='utf-8', errors='surrogatepass')
  except FileNotFoundError:
    raise FileNotFoundError(
      f'{field} is no run: it has no vocabulary.txt'
    ) from None
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f'{field}: vocabulary.txt: {error}') from error
  vocabulary = content.split('\n')[:-1]
  if vocabulary[:2] != [PAD, UNK]:
    raise ValueError(
      f'{field}: vocabulary.txt does not begin with {PAD} and {UNK}'
    )
  return VocabularyTokenizer(name, vocabulary)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Texts as ids in one flat array.

  Attributes:
    tokens: int32, the ids of all texts, one after another.
    offsets: int64, text i is tokens[offsets[i]:offsets[i + 1]].
    truncated: how many texts were longer than the limit and lost their end.
  """

  tokens: np.ndarray
  offsets: np.ndarray
  truncated: int

  @property
  def lengths(self) -> np.ndarray:
    """Tokens of each text."""
    return np.diff(self.offsets)


def pack(
  ids: Iterable[Sequence[int] | np.ndarray], max_length: int = 512
) -> Encoded:
  """Packs the ids of texts, truncated to `max_length`, into one array."""
  flat, offsets, truncated = [], [0], 0
  for text_ids in ids:
    truncated += len(text_ids) > max_length
    flat.append(np.asarray(text_ids[:max_length], np.int32))
    offsets.append(offsets[-1] + len(flat[-1]))
  tokens = np.concatenate(flat) if flat else np.zeros(0, np.int32)
  return Encoded(tokens, np.asarray(offsets, np.int64), truncated)


def encode(
  texts: Iterable[str], tokenizer: Tokenizer, max_length: int = 512
) -> Encoded:
  """The ids of texts; see `pack`."""
  return pack((tokenizer.encode(text)[1] for text in texts), max_length)
