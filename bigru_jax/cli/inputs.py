"""The flags of the commands that read texts for a trained run."""

from collections.abc import Iterator
import dataclasses
import io
import os
import pathlib
import sys
from typing import Any

import bigru_jax
from bigru_jax.cli.command_flags import Flags
from bigru_jax.cli.outputs import is_device
from bigru_jax.data import (
  label_forms,
  labels,
  open_files,
  sources,
  tabular_files,
)
from bigru_jax.data.soft_labels import SoftLabel
from bigru_jax.data.splits import Example
from bigru_jax.data.table_columns import Columns
from bigru_jax.rundir import files as run_files, published
from bigru_jax.runtime import host

Model = bigru_jax.Run | bigru_jax.Ensemble

FLAGS = Flags()
WORKDIR = FLAGS.multi_string(
  'workdir',
  'The run directory. Repeat the flag, for example with one run per seed, to '
  'average the predicted probabilities.',
)
_TEXT_COLUMN = FLAGS.string(
  'text_column', "The input's column of texts; by default as in the run."
)
_ENCODING = FLAGS.string(
  'encoding', 'The encoding of the input; by default as in the run.'
)
_DELIMITER = FLAGS.string(
  'delimiter', 'The delimiter of a .csv input; by default as in the run.'
)
_CALIBRATED = FLAGS.boolean(
  'calibrated',
  'Divide the logits by the temperature that was fitted on validation.',
)
_EMBEDDINGS = FLAGS.path(
  'embeddings',
  'The vector file that the run started from, if it has moved, or its files, '
  'comma-separated, or the run of init_from; they give vectors to words '
  'outside the training set.',
)
# Of the commands that write predictions.
FLAGS_WITH_ID = Flags()
FLAGS_WITH_ID.append_flag_values(FLAGS)
_ID_COLUMN = FLAGS_WITH_ID.string(
  'id_column',
  "The input's column of ids; by default as in the run. Empty for none.",
)
FLAGS_WITH_ID.mark_as_parsed()  # Each command parses them as its own flags.
FLAGS.mark_as_parsed()


def workdirs() -> list[pathlib.Path]:
  """Returns the directories of the runs or published models of `--workdir`.

  Raises:
    FileNotFoundError, ValueError: no run is named; or see `published.find`.
  """
  if not WORKDIR.value:
    raise ValueError('workdir: name a run')
  return [published.find(name) for name in WORKDIR.value]


def check_flags(path: str, pipe_of_lines: bool = True) -> None:
  """Refuses the flags that this input would ignore.

  Args:
    path: the input, - for standard input, or empty where there is none.
    pipe_of_lines: whether a pipe has one text per line, instead of a table.

  Raises:
    FileNotFoundError, ValueError: there is such a flag, or no such file.
  """
  if not path:
    FLAGS.refuse('an input', 'text_column', 'encoding', 'delimiter')
    FLAGS_WITH_ID.refuse('an input', 'id_column')
    return
  kinds = {tabular_files.file_extension(name) or name for name in _files(path)}
  lines = {'-', '.txt', '.pipe'} if pipe_of_lines else {'.txt'}
  if not kinds - lines:
    FLAGS_WITH_ID.refuse('an input with columns', 'text_column', 'id_column')
  if not kinds - {'-', '.parquet'}:
    FLAGS.refuse('a text file as input', 'encoding')
  if not kinds & ({'.csv'} if pipe_of_lines else {'.csv', '.pipe'}):
    FLAGS.refuse('a .csv file as input', 'delimiter')


def load_model() -> Model:
  """Loads the run or the ensemble of the flags, and sets up the CPU for it.

  Raises:
    ValueError: calibrated is set for an ensemble, or calibrated or embeddings
      would be ignored.
  """
  host.configure_cpu()
  host.cache_compilations()
  vectors = _EMBEDDINGS.value or ''
  paths = workdirs()
  configs = map(run_files.read_config, paths)
  if not any(config.embeddings or config.init_from for config in configs):
    FLAGS.refuse('a run that started from vectors', 'embeddings')
  for path in paths if _CALIBRATED.value else ():
    if not (path / 'calibration.json').exists():
      raise ValueError(
        f'calibrated needs a temperature, and workdir={path} has none'
      )
  if len(paths) == 1:
    return bigru_jax.load(paths[0], vectors)
  if _CALIBRATED.value:
    raise ValueError('calibrated: the mean of several runs has no temperature')
  return bigru_jax.load_ensemble(paths, vectors)


def options() -> dict[str, Any]:
  """Returns the keyword arguments of `Run.predict` and `Run.evaluate`."""
  return {'calibrated': True} if _CALIBRATED.value else {}


def input_format(config: bigru_jax.Config) -> tuple[str, str, str]:
  """Returns the text column, encoding and delimiter of the input."""
  return (
    _TEXT_COLUMN.value or config.text_column,
    config.encoding if _ENCODING.value is None else _ENCODING.value,
    config.delimiter if _DELIMITER.value is None else _DELIMITER.value,
  )


def id_column(config: bigru_jax.Config, source: str) -> str:
  """Returns the column of the input's ids; '' if there is none.

  Args:
    config: the run's, which has the default.
    source: the input, see `read_texts`.
  """
  column = config.id_column if _ID_COLUMN.value is None else _ID_COLUMN.value
  return '' if all(map(_has_lines, _files(source))) else column


def read_texts(source: str, config: bigru_jax.Config) -> Iterator[str]:
  """Yields the texts of files or of standard input.

  Args:
    source: paths, see `tabular_files.expand_paths`; - for standard input.
    config: the run's, which has the default columns and encoding.

  Raises:
    FileNotFoundError, ValueError: the message names the file and the row.
  """
  return (text for text, _ in _texts_and_ids(source, config, ''))


def read_texts_and_ids(
  source: str, config: bigru_jax.Config
) -> Iterator[tuple[str, str]]:
  """Yields the texts and their ids, which are empty if there are none.

  Args:
    source, config: see `read_texts`.
  """
  return _texts_and_ids(source, config, id_column(config, source))


def _texts_and_ids(
  source: str, config: bigru_jax.Config, ids: str
) -> Iterator[tuple[str, str]]:
  column, encoding, delimiter = input_format(config)
  for path in _files(source):
    if path == '-':
      stdin = io.TextIOWrapper(sys.stdin.buffer, 'utf-8', 'replace', '\n')
      yield from ((line.removesuffix('\n'), '') for line in stdin)
    elif _has_lines(path):
      with open_files.open_lines(path, 'input', encoding) as lines:
        yield from ((line.removesuffix('\n'), '') for line in lines)
    else:
      examples = tabular_files.read_file(
        path, 'input', Columns(column, label='', id=ids), encoding, delimiter
      )
      yield from ((example.text, example.id) for example in examples)


def read_rows(
  source: str, config: bigru_jax.Config
) -> tuple[list[str], Iterator[list[str]]]:
  """Returns the columns of an input, and an iterator over its rows.

  CSV and TSV files keep all columns; other inputs keep the text, under the name
  of the text column, and the id, if there is one.

  Args:
    source, config: see `read_texts`.

  Raises:
    FileNotFoundError, ValueError: the message names the file and the row.
  """
  column, encoding, delimiter = input_format(config)
  ids = id_column(config, source)
  if all(
    tabular_files.file_extension(path) in ('.csv', '.tsv')
    and not is_device(os.fspath(path))
    for path in _files(source)
  ):
    columns = Columns(column, label='', id=ids)
    rows = tabular_files.read_table(
      source, 'input', encoding, delimiter, columns
    )
    return next(rows), rows
  pairs = read_texts_and_ids(source, config)
  if ids:
    return [ids, column], ([text_id, text] for text, text_id in pairs)
  return [column], ([text] for text, _ in pairs)


def _has_lines(path: str | os.PathLike[str]) -> bool:
  """Returns whether an input of texts has one per line, and no columns."""
  is_text = path == '-' or tabular_files.file_extension(path) == '.txt'
  return is_text or is_device(os.fspath(path))


def _files(source: str) -> list[str | os.PathLike[str]]:
  return ['-'] if source == '-' else tabular_files.expand_paths(source, 'input')


def labelled_file(
  path: str,
  model: Model,
  label_column: str | None = None,
  label_separator: str | None = None,
  weight_column: str | None = None,
  ids: str = '',
) -> list[Example]:
  """Reads the examples of a file; by default its columns are the run's.

  Args:
    path: the file.
    model: the run or the ensemble.
    label_column, label_separator: those of the file, if they are others.
    weight_column: the column of weights, or '' for none; None for the run's,
      which the file may lack.
    ids: the column of ids; '' for none.

  Raises:
    FileNotFoundError, ValueError: the message names the file and the row.
  """
  config = model.config
  run = model if isinstance(model, bigru_jax.Run) else model.members[0]
  form = label_forms.form_of(run_files.read_identity(run.workdir), run.labels)
  text_column, encoding, delimiter = input_format(config)
  if label_separator:
    config = dataclasses.replace(config, label_separator=label_separator)
  if label_column:
    config = dataclasses.replace(config, label_column=label_column)
  columns = sources.columns_of(config)._replace(
    text=text_column,
    weight=config.weight_column if weight_column is None else weight_column,
    id=ids,
    is_weight_optional=weight_column is None,
  )
  examples = tabular_files.read_file(
    path, 'input', columns, encoding, delimiter
  )
  return [
    example._replace(
      label=form.names_of(example.label, example.source, example.row)
    )
    if isinstance(example.label, labels.Flags)
    else example
    for example in examples
  ]


def label_names(example: Example) -> tuple[str, ...]:
  """Returns the labels of an example of `labelled_file`.

  Those of a soft label are all that have a value.
  """
  label = example.label
  if isinstance(label, SoftLabel):
    return tuple(label.values)
  assert not isinstance(label, labels.Flags)  # They are read as names.
  return (label,) if isinstance(label, str) else label
