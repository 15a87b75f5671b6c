"""Tokenisers and the vocabulary."""

import collections
import dataclasses

import numpy as np
import regex

PAD, UNK = '<pad>', '<unk>'
PAD_ID, UNK_ID = 0, 1

_WORDS = regex.compile(
  r"""\w+(?=n't\b)       # do|n't
    | n't\b
    | '(?:s|m|d|ll|re|ve)\b
    | \w+(?:[-.']\w+)*?(?='(?:s|m|d|ll|re|ve)\b)  # she|'s, rock'n'roll|'s
    | \w+(?:[-.']\w+)*   # father-in-law, u.s, o'clock
    | \.{2,}
    | [^\w\s]            # every other sign is a token: ! ?
  """,
  regex.VERBOSE,
)


def words(text):
  """Lower-cased words and signs; `n't` and `'s` stand alone, as in PTB."""
  return _WORDS.findall(text.lower().replace('\u2019', "'"))


def characters(text):
  """Every character but white space, for scripts without spaces."""
  return [c for c in text if not c.isspace()]


TOKENIZERS = {
  'words': words,
  'whitespace': str.split,
  'characters': characters,
}


def build_vocabulary(tokenized, max_size=50_000, min_count=1):
  """Tokens by falling frequency, ties by the alphabet, after <pad> and <unk>.

  Args:
    tokenized: an iterable of token lists.
    max_size: the most entries, the two special ones among them.
    min_count: a rarer token is left to <unk>.
  """
  counts = collections.Counter()
  for tokens in tokenized:
    counts.update(tokens)
  for special in (PAD, UNK):
    del counts[special]
  kept = sorted(
    (token for token, n in counts.items() if n >= min_count),
    key=lambda token: (-counts[token], token),
  )
  return [PAD, UNK, *kept[: max(max_size - 2, 0)]]


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Texts as ids in one flat array.

  Attributes:
    tokens: int32, the ids of all texts, one after another.
    offsets: int64, text i is tokens[offsets[i]:offsets[i + 1]].
    cut: how many texts were longer than the limit and lost their end.
  """

  tokens: np.ndarray
  offsets: np.ndarray
  cut: int

  @property
  def lengths(self):
    return np.diff(self.offsets)


def encode(texts, tokenize, vocabulary, max_length=512):
  """Turns texts to ids; an empty text becomes one <unk>.

  Args:
    texts: strings.
    tokenize: a text to its tokens.
    vocabulary: the list of tokens, or None where `tokenize` yields ids itself.
    max_length: what is longer is cut at its end.
  """
  ids = None
  if vocabulary is not None:
    ids = {token: i for i, token in enumerate(vocabulary)}
  flat, offsets, cut = [], [0], 0
  for text in texts:
    tokens = tokenize(text)
    cut += len(tokens) > max_length
    tokens = tokens[:max_length]
    if ids is not None:
      tokens = [ids.get(token, UNK_ID) for token in tokens]
    flat.append(np.asarray(tokens or [UNK_ID], np.int32))
    offsets.append(offsets[-1] + len(flat[-1]))
  tokens = np.concatenate(flat) if flat else np.zeros(0, np.int32)
  return Encoded(tokens, np.asarray(offsets, np.int64), cut)


def load_tokenizer_json(path):
  """A `tokenizer.json` of Hugging Face tokenizers, as ids shifted by two.

  Ids 0 and 1 stay <pad> and <unk>, whatever they are in the file.

  Returns:
    The functions text -> ids and text -> pieces, and the number of ids.

  Raises:
    ValueError: the library is missing, or the file is not such a tokeniser.
  """
  try:
    import tokenizers
  except ImportError as error:
    raise ValueError(
      f'--tokenizer={path} needs the tokenizers package: '
      'pip install "bigru_jax[tokenizers]"'
    ) from error
  try:
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
  except Exception as error:  # The library raises bare Exception.
    raise ValueError(f'--tokenizer={path}: {error}') from error

  def ids(text):
    encoding = tokenizer.encode(text, add_special_tokens=False)
    return [i + 2 for i in encoding.ids]

  def pieces(text):
    return tokenizer.encode(text, add_special_tokens=False).tokens

  return ids, pieces, tokenizer.get_vocab_size() + 2
