"""Tokenizers that give ids, from a vocabulary or a `tokenizer.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import itertools
import os
import pathlib
from typing import Any

from bigru_jax.data.open_files import check_file
from bigru_jax.data.spans import align, disjoint, with_marks
from bigru_jax.data.text import (
  PAD,
  TOKENIZERS,
  UNK,
  UNK_ID,
  Memo,
  with_replacements,
)
from bigru_jax.runtime.atomic import write_bytes, write_text


class _KnownIds(dict[str, int]):
  """The ids of the tokens of a vocabulary; any other token is unknown."""

  def __missing__(self, token: str) -> int:
    return UNK_ID


class _GrowingIds(dict[str, int]):
  """The ids of all tokens so far, in the order of first occurrence."""

  def __missing__(self, token: str) -> int:
    self[token] = token_id = len(self) + 1  # Id 0 is that of <pad>.
    return token_id


class VocabularyTokenizer:
  """A tokenizer of `TOKENIZERS` with a vocabulary.

  Attributes:
    name: its name in `TOKENIZERS`.
    replaces: whether it replaces URLs and user names.
    token_ids: the ids by token, without <pad>.
  """

  def __init__(
    self,
    name: str,
    vocabulary: list[str] | None = None,
    replaces: bool = False,
  ) -> None:
    """Makes a tokenizer.

    Args:
      name: a name of `TOKENIZERS`.
      vocabulary: the tokens, by id. If None, each new token is added to it.
      replaces: whether to replace URLs and user names, see
        `text.with_replacements`.
    """
    self.name, self.replaces, self._rules = name, replaces, TOKENIZERS[name]
    if replaces:
      self._rules = with_replacements(self._rules)
    self.token_ids: dict[str, int]
    if vocabulary is None:
      self.token_ids, self._vocabulary = _GrowingIds({UNK: UNK_ID}), None
    else:
      # A text that spells out <pad> has an unknown token, not that of row 0.
      self.token_ids = _KnownIds((t, i) for i, t in enumerate(vocabulary) if i)
      self._vocabulary = vocabulary
      self._add_normal_forms(vocabulary)
    self._tokens = Memo(self._rules.tokens)
    self._ids = Memo(self._ids_of_piece)

  def with_vocabulary(self, vocabulary: list[str]) -> VocabularyTokenizer:
    """Returns a tokenizer with the same rules and these tokens, by id."""
    return VocabularyTokenizer(self.name, vocabulary, self.replaces)

  @property
  def vocabulary(self) -> list[str]:
    """The tokens, by id."""
    if self._vocabulary is None:
      return [PAD, *self.token_ids]
    return self._vocabulary

  @property
  def size(self) -> int:
    """The number of ids."""
    return len(self.vocabulary)

  def encode(
    self, text: str, with_spans: bool = False
  ) -> tuple[list[Any], ...]:
    """Returns the tokens of a text and their ids; an empty text is one <unk>.

    With spans, a third list has the [start, end) of each token in the text, or
    (0, 0) for the <unk> of an empty text.
    """
    normal = self._rules.normalize(text)
    pieces = map(self._tokens.__getitem__, normal.split())
    surfaces = list(itertools.chain.from_iterable(pieces))
    tokens = list(self._rules.replaced(surfaces))
    ids = [self.token_ids.get(token, UNK_ID) for token in tokens]
    if not with_spans:
      return tokens or [UNK], ids or [UNK_ID]
    spans = align(surfaces, text, normal, self._rules.normalize)
    return tokens or [UNK], ids or [UNK_ID], spans or [(0, 0)]

  def ids(self, texts: Iterable[str]) -> Iterator[Iterator[int]]:
    """Returns the ids of each text, which are computed lazily."""
    return map(self._ids_of_text, texts)

  def save(self, workdir: pathlib.Path) -> None:
    """Writes vocabulary.txt, one token per line, completely or not at all."""
    write_text(workdir / 'vocabulary.txt', '\n'.join(self.vocabulary) + '\n')

  def _ids_of_text(self, text: str) -> Iterator[int]:
    pieces = self._rules.pieces(text)
    # Each piece between white space has at least one token.
    ids = itertools.chain.from_iterable(map(self._ids.__getitem__, pieces))
    return ids if pieces else iter([UNK_ID])

  def _ids_of_piece(self, piece: str) -> tuple[int, ...]:
    tokens = self._rules.replaced(self._rules.tokens(piece))
    return tuple(map(self.token_ids.__getitem__, tokens))

  def _add_normal_forms(self, vocabulary: list[str]) -> None:
    """Adds the NFC forms of tokens of other programs and older versions."""
    for i, token in enumerate(vocabulary):
      if not token.isascii() and not (
        self._rules.lowercase and token != token.lower()
      ):
        self.token_ids.setdefault(self._rules.normalize(token), i)


class JsonTokenizer:
  """A `tokenizer.json` of Hugging Face tokenizers, with ids shifted by two.

  Ids 0 and 1 are <pad> and <unk> as everywhere.

  Attributes:
    name: the path of the file.
    vocabulary: None, because the file contains it.
    size: the number of ids.
  """

  vocabulary: list[str] | None = None

  def __init__(self, path: str | os.PathLike, field: str = 'tokenizer') -> None:
    """Reads the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the library is missing, or the file is not a tokenizer.
    """
    check_file(path, field)
    self.name, self._path = os.fspath(path), pathlib.Path(path)
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

  def encode(
    self, text: str, with_spans: bool = False
  ) -> tuple[list[Any], ...]:
    """See `VocabularyTokenizer.encode`."""
    encoding = self._tokenizer.encode(text, add_special_tokens=False)
    tokens, ids = encoding.tokens or [UNK], [i + 2 for i in encoding.ids]
    if not with_spans:
      return tokens, ids or [UNK_ID]
    spans = with_marks(text, disjoint(encoding.offsets))
    return tokens, ids or [UNK_ID], spans or [(0, 0)]

  def ids(self, texts: Iterable[str]) -> Iterator[list[int]]:
    """Returns the ids of each text, computed on all cores."""
    encodings = self._tokenizer.encode_batch(
      list(texts), add_special_tokens=False
    )
    return ([i + 2 for i in e.ids] or [UNK_ID] for e in encodings)

  def tokens(self) -> list[str]:
    """Returns the file's tokens, by the file's own ids.

    Raises:
      ValueError: an id has no token.
    """
    ids = self._tokenizer.get_vocab()
    if sorted(ids.values()) != list(range(len(ids))):
      raise ValueError(f'tokenizer={self._path}: its ids have gaps')
    return sorted(ids, key=ids.__getitem__)

  def save(self, workdir: pathlib.Path) -> None:
    """Copies the file to tokenizer.json, completely or not at all."""
    write_bytes(workdir / 'tokenizer.json', self._path.read_bytes())


Tokenizer = VocabularyTokenizer | JsonTokenizer


def build_vocabulary(
  counts: Iterable[tuple[str, int]],
  max_size: int = 50_000,
  min_count: int = 1,
) -> list[str]:
  """Returns <pad>, <unk> and the tokens by frequency, ties alphabetically.

  Args:
    counts: the tokens, and how often each occurs in training.
    max_size: the maximum size, including the two special tokens.
    min_count: the minimum count of a token.
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


def vocabulary_lines(content: str) -> list[str]:
  """Returns the lines of a file with one token per line.

  Lines end with a line feed, or all of them with a carriage return and a line
  feed. Any other line break is part of a token, and so is a carriage return
  before only some of the line feeds.
  """
  if content.count('\n') == content.count('\r\n'):
    content = content.replace('\r\n', '\n')
  return content.removesuffix('\n').split('\n')


def check_token(tokenizer: Tokenizer, token: str, field: str) -> int:
  """Returns the id of a special token, `UNK_ID` outside the vocabulary.

  Raises:
    ValueError: the tokenizer splits it; the message begins with `field`.
  """
  tokens, ids = tokenizer.encode(token)
  if tokens != [token]:
    raise ValueError(f'{field}: tokenizer does not take {token} as one token')
  return ids[0]


def load_tokenizer(
  workdir: pathlib.Path, name: str, replaces: bool = False
) -> Tokenizer:
  """Loads the tokenizer of a run directory.

  Args:
    workdir: the run directory.
    name: the configuration's `tokenizer`.
    replaces: the configuration's `replace_urls_and_users`.

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
      f'{field} is not a run: it has no vocabulary.txt'
    ) from None
  except (OSError, UnicodeDecodeError) as error:
    raise ValueError(f'{field}: vocabulary.txt: {error}') from error
  vocabulary = vocabulary_lines(content)
  if vocabulary[:2] != [PAD, UNK]:
    raise ValueError(
      f'{field}: vocabulary.txt does not begin with {PAD} and {UNK}'
    )
  return VocabularyTokenizer(name, vocabulary, replaces)
