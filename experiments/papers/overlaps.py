"""Counts the sentences that share word sequences with texts without labels.

  python experiments/overlaps.py --data_root=data

A language model may have read the sentences that it is later tested on. For
each data set, the table has the share of its sentences of which a sequence of
eight tokens occurs in the reviews of IMDB's train.parquet and
unlabelled.parquet, and of which all such sequences do. Shorter sentences are
not counted. The sequences are compared by 64-bit hashes.
"""

from collections.abc import Iterable, Iterator
import pathlib

import numpy as np
import pyarrow.parquet

from bigru_jax.cli import outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config
from bigru_jax.data.corpora import CORPORA
from bigru_jax.data.open_files import check_file
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.reports.tables import table_as

from .papers import ROWS

LENGTH = 8  # Of a sequence, in tokens.
FILES = 'imdb/train.parquet', 'imdb/unlabelled.parquet'
_FACTOR = np.uint64(0x9E3779B97F4A7C15)

FLAGS = Flags()
_DATA_ROOT = FLAGS.path(
  'data_root', 'The folder that contains a folder for each data set.', 'data'
)
_DATASETS = FLAGS.list(
  'datasets', 'The data sets of sentences.', ['mr', 'sst2', 'trec']
)
_FORMAT = outputs.define_format(FLAGS, 'markdown')


def sequences(ids: np.ndarray) -> np.ndarray:
  """Returns a hash of each sequence of `LENGTH` tokens of a text, uint64."""
  count = max(len(ids) - LENGTH + 1, 0)
  hashes = np.zeros(count, np.uint64)
  for i in range(LENGTH):
    hashes = (hashes + ids[i : i + count]) * _FACTOR
    hashes ^= hashes >> np.uint64(29)
  return hashes


def encoded(texts: Iterable[str], ids: dict[str, int]) -> Iterator[np.ndarray]:
  """Yields the ids of each text's tokens; new tokens get new ids."""
  words = TOKENIZERS['words']
  for text in texts:
    tokens = (x for piece in words.pieces(text) for x in words.tokens(piece))
    yield np.array([ids.setdefault(x, len(ids) + 1) for x in tokens], np.uint64)


def shares(
  sentences: Iterable[np.ndarray], known: np.ndarray
) -> tuple[int, float, float]:
  """Returns how many sentences are long enough, and which shares are known.

  Args:
    sentences: the ids of each sentence's tokens.
    known: the sorted hashes of the other texts' sequences.

  Returns:
    The number of sentences of `LENGTH` tokens or more; the share of those that
    have a known sequence; and of those that have no other.
  """
  some, whole = [], []
  for ids in sentences:
    hashes = sequences(ids)
    if not len(hashes):
      continue
    indices = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    is_known = known[indices] == hashes
    some.append(is_known.any())
    whole.append(is_known.all())
  return len(some), float(np.mean(some)), float(np.mean(whole))


def main() -> None:
  """Prints the table."""
  root = pathlib.Path(_DATA_ROOT.value)
  for name in FILES:
    check_file(root / name, 'data_root')
  FLAGS.check_choices('datasets', CORPORA.keys() & ROWS.keys())
  ids: dict[str, int] = {}
  hashes = []
  for name in FILES:
    table = pyarrow.parquet.read_table(root / name, columns=['text'])
    for tokens in encoded(table['text'].to_pylist(), ids):
      hashes.append(sequences(tokens))
  known = np.unique(np.concatenate(hashes))
  rows = [['sentences of', 'split', 'number', 'some shared', 'all shared']]
  for dataset in _DATASETS.value:
    config = Config(dataset=dataset, data_dir=str(root / ROWS[dataset].folder))
    for split, examples in CORPORA[dataset].read(config).items():
      texts = (example.text for example in examples)
      number, some, whole = shares(encoded(texts, ids), known)
      rows.append([dataset, split, str(number), f'{some:.1%}', f'{whole:.1%}'])
  print(table_as(rows, _FORMAT.value))
