"""The sources of examples: memory, own files, or a named data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bigru_jax.data import corpora, memory, tabular_files
from bigru_jax.data.config import DataConfig
from bigru_jax.data.label_forms import ListForm
from bigru_jax.data.labels import named_columns, unescaped
from bigru_jax.data.memory import Corpus
from bigru_jax.data.splits import NAMES, Example
from bigru_jax.data.table_columns import Columns


def read(
  config: DataConfig, corpus: Corpus | None = None
) -> Mapping[str, Iterable[Example]]:
  """Returns the splits of a corpus in memory, of own files or of a data set.

  Own files are read when their split is iterated over.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  columns = columns_of(config)
  if corpus is not None:
    return memory.read(corpus, columns)
  if config.train:
    paths = {name: getattr(config, name) for name in NAMES}
    paths = {name: path for name, path in paths.items() if path}
    for name, path in paths.items():  # All must exist before one is read.
      tabular_files.expand_paths(path, name)
    return {
      name: tabular_files.read_file(
        path, name, columns, config.encoding, config.delimiter
      )
      for name, path in paths.items()
    }
  for name in ('validation', 'test'):
    if getattr(config, name):
      raise ValueError(f'{name}={getattr(config, name)} needs train as well')
  return corpora.find(config.dataset).read(config)


def read_texts(config: DataConfig, paths: str, field: str) -> Iterator[Example]:
  """Reads texts without labels from files; a column of labels is ignored.

  Args:
    config: its fields name the columns, the encoding and the delimiter.
    paths, field: see `tabular_files.read_file`.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  columns = Columns(config.text_column, label='')
  return tabular_files.read_file(
    paths, field, columns, config.encoding, config.delimiter
  )


def name_of(config: DataConfig, corpus: Corpus | None = None) -> str:
  """Returns the name of the data.

  It is `corpus` in memory, the files of train without their folders, or the
  name of the data set.
  """
  if corpus is not None:
    return 'corpus'
  return tabular_files.without_folders(config.train) or config.dataset


def columns_of(config: DataConfig) -> Columns:
  """Returns the columns that a configuration reads from tables.

  A language model reads no labels.
  """
  if config.task == 'language_model':
    return Columns(config.text_column, label='')
  return Columns(
    config.text_column,
    config.label_column,
    label_separator(config),
    config.weight_column,
    config.id_column,
    soft_names(config),
  )


def label_separator(config: DataConfig) -> str | None:
  """Returns the separator of labels; None if each text has one label."""
  if config.task != 'multi_label':
    return None
  return unescaped(config.label_separator)


def soft_names(config: DataConfig) -> tuple[str, ...] | None:
  """Returns the names of the probabilities of a text; None without soft labels.

  They are those of `label_names` or of the columns; empty if there are none.
  """
  if not config.soft_labels:
    return None
  if config.label_names:
    return tuple(name.strip() for name in config.label_names.split(','))
  names = named_columns('label_column', config.label_column)
  return tuple(names) if len(names) > 1 else ()


def label_form(config: DataConfig) -> ListForm | None:
  """Returns the form of lists of labels; None if each text has one label."""
  if config.task != 'multi_label':
    return None
  names = config.label_names.split(',') if config.label_names else []
  return ListForm([name.strip() for name in names])
