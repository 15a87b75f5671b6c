"""Where examples come from: memory, own files, or a named data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bigru_jax.data.corpora import CORPORA, tfds
from bigru_jax.data.files import read_file
from bigru_jax.data.splits import NAMES, Split, empty_split

if TYPE_CHECKING:
  from bigru_jax.config import Config

# By split: texts and labels.
Corpus = Mapping[str, tuple[Sequence[str], Sequence[str]]]


def read(config: Config, corpus: Corpus | None = None) -> dict[str, Split]:
  """The splits that a corpus in memory, own files or a data set define.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  if corpus is not None:
    return _from_memory(corpus)
  if config.train:
    return {
      name: read_file(
        path,
        name,
        config.text_column,
        config.label_column,
        config.encoding,
        config.delimiter,
      )
      for name in NAMES
      if (path := getattr(config, name))
    }
  for name in ('validation', 'test'):
    if getattr(config, name):
      raise ValueError(f'{name}={getattr(config, name)} needs train as well')
  if config.dataset.startswith('tfds:'):
    return tfds.read(
      config.dataset.removeprefix('tfds:'),
      config.data_dir,
      config.text_column,
      config.label_column,
    )
  if config.dataset not in CORPORA:
    raise ValueError(
      f'dataset={config.dataset!r}: choose {", ".join(CORPORA)} or tfds:<name>'
    )
  return CORPORA[config.dataset](config)


def _from_memory(corpus: Corpus) -> dict[str, Split]:
  """The splits of a data set in memory."""
  unknown = sorted(set(corpus) - set(NAMES))
  if unknown or 'train' not in corpus:
    raise ValueError(
      f'corpus has the splits {", ".join(map(repr, corpus))}; it needs '
      "'train', and may have 'validation' and 'test'"
    )
  splits = {}
  for name, (texts, labels) in corpus.items():
    if len(texts) != len(labels):
      raise ValueError(
        f'corpus[{name!r}]: {len(texts)} texts but {len(labels)} labels'
      )
    splits[name] = split = empty_split(f'corpus[{name!r}]')
    for row, (example, label) in enumerate(zip(texts, labels), 1):
      if not isinstance(example, str):
        raise ValueError(
          f'corpus[{name!r}], row {row}: {example!r:.60} is not a text'
        )
      split.add(example, str(label), row)
  return splits
