"""Writes the output of commands, completely and never over their input."""

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import csv
import json
import os
import sys
from typing import Any, TextIO

from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.cli.command_flags import Flag, Flags
from bigru_jax.data import tabular_files
from bigru_jax.reports.tables import FORMATS
from bigru_jax.rundir import published
from bigru_jax.runtime.atomic import replacing


def define_format(flags: Flags, default: str) -> Flag:
  """Defines the flag for the form of a command's tables."""
  return flags.enum(
    'format',
    'The form in which the tables are printed: for a terminal, for a page, for '
    'a paper (tables of booktabs), or for a program.',
    FORMATS,
    default,
  )


def stream_of_notes(format: str) -> TextIO:
  """Returns where a command prints what is not a table.

  A paper or a program reads the tables alone from standard output.
  """
  return sys.stdout if format in ('text', 'markdown') else sys.stderr


def check_local(output: str) -> None:
  """Raises ValueError where an output is in a bucket."""
  if is_bucket(output):
    raise ValueError(f'output={output}: name a file that is not in a bucket')


def check_can_write(name: str, problem: str) -> None:
  """Checks that a run is not a copy, which is only read.

  Args:
    name: the run, as the user names it.
    problem: why the command would write to the run.

  Raises:
    ValueError: it is a run in a bucket, or a published one.
  """
  if is_bucket(name) or name.startswith(published.HUB):
    raise ValueError(f'{problem}, and workdir={name} is only read')


def check_output(output: str, source: str = '') -> None:
  """Refuses an output that cannot be written or that the command reads.

  Args:
    output: a path, or - for standard output.
    source: the input, see `tabular_files.expand_paths`; - for standard input,
      empty for none.

  Raises:
    FileNotFoundError: a source is missing.
    ValueError: the output is a folder, is in no folder or in a bucket, or is a
      source.
  """
  check_local(output)
  folder = os.path.dirname(output) or '.'
  if os.path.isdir(output):
    raise ValueError(f'output={output} is a folder')
  if not os.path.isdir(folder):
    raise ValueError(f'output={output}: there is no folder {folder}')
  paths = (
    tabular_files.expand_paths(source, 'input')
    if source not in ('', '-')
    else []
  )
  if os.path.isfile(output) and any(
    os.path.samefile(path, output) for path in paths
  ):
    raise ValueError(f'output={output} is the input')


def is_csv(output: str) -> bool:
  """Returns whether an output is a CSV file; otherwise it is JSON lines.

  Raises:
    ValueError: its extension is neither .csv nor .jsonl.
  """
  if output == '-' or is_device(output) or output.lower().endswith('.jsonl'):
    return False
  if not output.lower().endswith('.csv'):
    raise ValueError(f'output={output}: a file must end in .jsonl or .csv')
  return True


@contextlib.contextmanager
def open_output(output: str) -> Iterator[TextIO]:
  """Opens an output; a file is written completely or not at all.

  Args:
    output: a path that `check_output` accepts; - for standard output.
  """
  if output == '-':
    yield sys.stdout
    sys.stdout.flush()
    return
  keep_device = contextlib.nullcontext(output)
  with (
    keep_device if is_device(output) else replacing(output) as path,
    open(path, 'w', encoding='utf-8', newline='') as file,
  ):
    yield file


def write_csv(output: str, rows: Iterable[Sequence[Any]]) -> None:
  """Writes the rows of a table; the first row is its header.

  Raises:
    ValueError: a text contains a lone surrogate.
  """
  number = 0

  def counted() -> Iterator[Sequence[Any]]:
    nonlocal number
    for row in rows:
      yield row
      number += 1

  with open_output(output) as file:
    try:
      csv.writer(file).writerows(counted())
    except UnicodeEncodeError as error:
      raise ValueError(
        f'output={output}: text {number} has a lone surrogate, which UTF-8 '
        'cannot hold; name a .jsonl file'
      ) from error


def write_json_lines(output: str, values: Iterable[Any]) -> None:
  """Writes values as lines of JSON."""
  with open_output(output) as file:
    file.writelines(json.dumps(value) + '\n' for value in values)


def is_device(path: str) -> bool:
  """Returns whether a path is a pipe or a device, such as /dev/null."""
  return os.path.exists(path) and not (
    os.path.isfile(path) or os.path.isdir(path)
  )
