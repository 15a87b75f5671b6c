"""Where examples come from: memory, own files, or a named data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bigru_jax.data import files
from bigru_jax.data.corpora import CORPORA, tfds
from bigru_jax.data.splits import NAMES, Example

if TYPE_CHECKING:
  from bigru_jax.config import Config

# By split: texts and labels; for several labels a text, lists of them.
Corpus = Mapping[str, tuple[Sequence[str], Sequence[Any]]]


def read(
  config: Config, corpus: Corpus | None = None
) -> Mapping[str, Iterable[Example]]:
  """The splits that a corpus in memory, own files or a data set define.

  Own files are read while their split is iterated over.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  separator = label_separator(config)
  if corpus is not None:
    return _from_memory(corpus, separator)
  if config.train:
    paths = {name: getattr(config, name) for name in NAMES}
    for name, path in paths.items():
      if path:
        files.find(path, name)  # All are there before the first is read.
    return {
      name: files.read_file(
        path,
        name,
        config.text_column,
        config.label_column,
        config.encoding,
        config.delimiter,
        separator,
      )
      for name, path in paths.items()
      if path
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


def label_separator(config: Config) -> str | None:
  """What stands between the labels of a text; None where there is one."""
  return config.label_separator if config.task == 'multi_label' else None


def _from_memory(
  corpus: Corpus, separator: str | None
) -> dict[str, Iterator[Example]]:
  """The splits of a data set in memory."""
  unknown = sorted(set(corpus) - set(NAMES))
  if unknown or 'train' not in corpus:
    raise ValueError(
      f'corpus has the splits {", ".join(map(repr, corpus))}; it needs '
      "'train', and may have 'validation' and 'test'"
    )
  for name, (texts, labels) in corpus.items():
    if len(texts) != len(labels):
      raise ValueError(
        f'corpus[{name!r}]: {len(texts)} texts but {len(labels)} labels'
      )
  return {
    name: _examples(name, *pair, separator) for name, pair in corpus.items()
  }


def _examples(
  name: str,
  texts: Sequence[str],
  labels: Sequence[Any],
  separator: str | None,
) -> Iterator[Example]:
  source = f'corpus[{name!r}]'
  for row, (text, label) in enumerate(zip(texts, labels), 1):
    if not isinstance(text, str):
      raise ValueError(f'{source}, row {row}: {text!r:.60} is not a text')
    if isinstance(label, np.generic | np.ndarray):
      label = label.tolist()
    if separator is None:
      found: Any = files.as_label(label, source, row, 'label')
    else:
      found = files.as_labels(label, source, row, 'label', separator)
    yield Example(text, found, source, row)
