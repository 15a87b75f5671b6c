"""Reads a user's own files: CSV, TSV, JSON and Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import glob
import io
import itertools
import json
import os
import re
from typing import Any

from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.buckets.download import fetch
from bigru_jax.data.csv_files import (
  Records,
  csv_file_records,
  csv_records,
  tsv_records,
)
from bigru_jax.data.open_files import PathName, WatchedFile, open_below_blanks
from bigru_jax.data.splits import Example
from bigru_jax.data.table_columns import (
  TEXT_AND_LABEL,
  Columns,
  Rows,
  Selected,
  arrow_rows,
)

_COMPRESSED = re.compile(r'\.(gz|zip|xz|bz2)$')


def expand_paths(paths: str, field: str) -> list[PathName]:
  """Returns the files that a field names by comma-separated paths or patterns.

  Folders that a pattern matches are skipped. Objects in buckets are copied to
  the cache.

  Raises:
    FileNotFoundError: a pattern matches no file.
    ValueError: a path is empty or a folder.
    OSError: a bucket cannot be read.
  """
  files: list[PathName] = []
  # The name of a file or folder may contain a comma.
  for part in [paths] if _matches(paths) else paths.split(','):
    path = part if _matches(part) else part.strip()
    if is_bucket(path):
      files += fetch(path, field)
      continue
    if not path:
      raise ValueError(f'{field}={paths!r} has an empty path between commas')
    if os.path.isdir(path):
      raise ValueError(
        f'{field}={path} is a folder: give a pattern such as '
        f'{os.path.join(path, "*.csv")}'
      )
    matches = [match for match in _matches(path) if not os.path.isdir(match)]
    if not matches:
      raise FileNotFoundError(f'{field}={path}: no such file')
    files += matches
  return files


def without_folders(paths: str) -> str:
  """Returns comma-separated paths, reduced to the names of their files.

  Example:
    >>> without_folders('data/tweets.csv,more/*.csv')
    'tweets.csv,*.csv'
  """
  return ','.join(os.path.basename(x.rstrip('/')) for x in paths.split(','))


def _matches(pattern: str) -> list[str]:
  """Returns the file of this name, or else all matches of the pattern."""
  if os.path.exists(pattern):
    return [pattern]
  return sorted(glob.glob(pattern, recursive=True))


def file_extension(path: str | os.PathLike) -> str:
  """Returns the extension that shows a file's format, in lower case.

  Extensions of compression are skipped; a pipe has `.pipe`.
  """
  name = os.path.splitext(_COMPRESSED.sub('', os.fspath(path).lower()))[1]
  if not name and os.path.exists(path) and not os.path.isfile(path):
    return '.pipe'
  return name


def read_file(
  paths: str | os.PathLike,
  field: str = 'path',
  columns: Columns = TEXT_AND_LABEL,
  encoding: str = '',
  delimiter: str = '',
) -> Iterator[Example]:
  """Reads examples, in the format that a file's extension shows.

  A missing text (an empty field, null or NaN) becomes an empty one. A pipe has
  no extension: it is JSON if it begins with `[` or `{`, and else CSV.

  The row of an example, also in messages, is the number of the line at which
  its record begins in the file, as an editor shows it: the header and blank
  lines count. In Parquet and JSON arrays, it is the number of the record.

  Args:
    paths: a `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet` file, compressed
      or not (`.csv.gz`); or more than one, see `expand_paths`. JSON is an array
      of objects, which is held in memory, or one object per line.
    field: the field of the configuration that names the file, for messages.
    columns: the columns of the text and the label.
    encoding: see `open_lines`.
    delimiter: the character between the fields of a `.csv` file; by default the
      one of `, ; tab` that splits the header into the columns.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  for path in expand_paths(os.fspath(paths), field):
    where = f'{field}={path}'
    example: Example | None = None
    for example in _examples(path, field, columns, encoding, delimiter):
      yield example
    if not example:
      raise ValueError(f'{where} has no rows')


def read_table(
  paths: str, field: str, encoding: str, delimiter: str, columns: Columns
) -> Iterator[list[str]]:
  """Reads the header of CSV or TSV files, then all fields of each row.

  Args:
    paths: files with the same columns, see `expand_paths`.
    field, encoding, delimiter: see `read_file`.
    columns: the columns that the files must have.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  header: list[str] = []
  for path in expand_paths(paths, field):
    where = f'{field}={path}'
    if file_extension(path) == '.tsv':
      records = tsv_records(path, field, encoding)
    else:
      records = csv_file_records(path, field, columns, encoding, delimiter)
    names, _, records = _below_header(records, where, columns)
    if header and names != header:
      raise ValueError(
        f'{where} has the columns {", ".join(map(repr, names))}; those of the '
        f'file before it are {", ".join(map(repr, header))}'
      )
    if not header:
      header = names
      yield names
    for _, fields in records:
      missing = [''] * (len(names) - len(fields))
      yield fields[: len(names)] + missing


def _examples(
  path: PathName, field: str, columns: Columns, encoding: str, delimiter: str
) -> Iterator[Example]:
  """Reads the examples of one file, in its format."""
  where, extension = f'{field}={path}', file_extension(path)
  if extension == '.parquet':
    yield from _parquet(path, field, columns)
  elif extension == '.tsv':
    yield from _select(tsv_records(path, field, encoding), where, columns)
  elif extension == '.csv':
    records = csv_file_records(path, field, columns, encoding, delimiter)
    yield from _select(records, where, columns)
  elif extension in ('.jsonl', '.json', '.pipe'):
    with open_below_blanks(path, field, encoding) as (first, line, lines):
      if extension == '.pipe' and line.lstrip()[0] not in '[{':
        records = csv_records(line, lines, where, columns, delimiter, first)
        yield from _select(records, where, columns)
      else:
        yield from _json(line, lines, where, columns, first)
  else:
    raise ValueError(
      f'{where}: a file must end in .csv, .tsv, .jsonl, .json or .parquet, or '
      'in one of these and .gz, .zip, .xz or .bz2'
    )


def _select(
  records: Records, where: str, columns: Columns
) -> Iterator[Example]:
  """Reads the examples of records, of which the first names the columns."""
  names, selected, records = _below_header(records, where, columns)
  indices = list(map(names.index, selected.names))
  rows = ((row, [fields[i] for i in indices]) for row, fields in records)
  return selected.examples(rows, where)


def _below_header(
  records: Records, where: str, columns: Columns
) -> tuple[list[str], Selected, Records]:
  """Returns the header, the columns in it that are read, and the records.

  Raises:
    ValueError: the file is empty or lacks a column. Iterating over the records
      raises it if one lacks these columns or has surplus fields with content.
  """
  records = (record for record in records if record[1])
  _, names = next(records, (0, None))
  if names is None:
    raise ValueError(f'{where} is empty')
  selected = columns.check(names, where)
  last = max(map(names.index, selected.names))

  def checked() -> Records:
    for row, fields in records:
      if len(fields) <= last or any(fields[len(names) :]):
        raise ValueError(
          f'{where}, row {row}: {len(fields)} fields, the header has '
          f'{len(names)}'
        )
      yield row, fields

  return names, selected, checked()


def _json(
  line: str, lines: Iterable[str], where: str, columns: Columns, first: int
) -> Iterator[Example]:
  """Reads the examples of an array of objects, or of one object per line.

  Args:
    line, lines, where, columns, first: see `csv_records`.
  """
  records: Iterable[tuple[int, Any]]
  if line.lstrip().startswith('['):
    records = enumerate(_loads(''.join(lines), where, first), 1)
  else:
    numbered = enumerate(lines, first)
    records = (
      (n, _loads(x.strip(), where, n)) for n, x in numbered if x.strip()
    )
  objects = _checked_objects(records, where)
  for first_row, first_record in objects:
    selected = columns.among(first_record)
    objects = itertools.chain([(first_row, first_record)], objects)
    yield from selected.examples(_values(objects, selected.names, where), where)


def _checked_objects(
  records: Iterable[tuple[int, Any]], where: str
) -> Iterator[tuple[int, dict[str, Any]]]:
  for row, record in records:
    if not isinstance(record, dict):
      raise ValueError(f'{where}, row {row}: not a JSON object')
    yield row, record


def _values(
  objects: Iterable[tuple[int, dict[str, Any]]], names: list[str], where: str
) -> Rows:
  for row, record in objects:
    for name in names:
      if name not in record:
        raise ValueError(f'{where}, row {row}: no {name!r}')
    yield row, [record[name] for name in names]


def _loads(text: str, where: str, row: int) -> Any:
  try:
    return json.loads(text)
  except json.JSONDecodeError as error:
    row += error.lineno - 1
    raise ValueError(f'{where}, row {row}: {error.msg}') from error
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{where}, row {row}: {error}') from error


def _parquet(path: PathName, field: str, columns: Columns) -> Iterator[Example]:
  import pyarrow
  from pyarrow import parquet

  where = f'{field}={path}'
  if not os.path.isfile(path):
    raise FileNotFoundError(f'{where}: no such file')
  try:
    with io.BufferedReader(WatchedFile(path)) as binary:
      file = parquet.ParquetFile(binary)
      schema = file.schema_arrow
      selected = columns.check(schema.names, where)
      batches = file.iter_batches(1024, columns=selected.names)
      rows = arrow_rows(batches, schema, where, selected)
      yield from selected.examples(rows, where)
  except (pyarrow.ArrowException, OSError) as error:
    raise ValueError(f'{where}: not a Parquet file: {error}') from error
