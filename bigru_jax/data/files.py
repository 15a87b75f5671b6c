"""A user's own files: CSV, TSV, JSON lines and Parquet, gzipped or not."""

from __future__ import annotations

from collections.abc import Iterator
import csv
import gzip
import io
import json
import os
from typing import Any, BinaryIO, cast
import zlib

from bigru_jax.data.splits import Split

_COMPRESSION_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


def open_binary(path: str | os.PathLike, field: str) -> BinaryIO:
  """Opens a file, plain or gzipped (known by its first two bytes).

  Args:
    path: the file.
    field: of the configuration, for the message.

  Raises:
    FileNotFoundError: there is none.
  """
  if not os.path.isfile(path):
    raise FileNotFoundError(f'{field}={path}: no such file')
  with open(path, 'rb') as file:
    zipped = file.read(2) == b'\x1f\x8b'
  return cast(BinaryIO, gzip.open(path)) if zipped else open(path, 'rb')


def read_text(
  path: str | os.PathLike,
  field: str,
  encoding: str = 'utf-8',
  may_be_blank: bool = False,
) -> str:
  """The text of a file, plain or gzipped.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it is corrupt, blank or not in this encoding; the row is named.
  """
  try:
    with open_binary(path, field) as file:
      data = file.read()
  except _COMPRESSION_ERRORS as error:
    raise ValueError(f'{field}={path} is corrupt: {error}') from error
  try:
    text = data.decode(encoding)
  except UnicodeDecodeError as error:
    row = data[: error.start].count(b'\n') + 1
    raise ValueError(
      f'{field}={path}, row {row}: not {encoding}: '
      f'byte 0x{data[error.start]:02x}'
    ) from error
  if not (may_be_blank or text.strip()):
    raise ValueError(f'{field}={path} is empty')
  return text.removeprefix('\ufeff')


def read_lines(
  path: str | os.PathLike, field: str, encoding: str = 'utf-8'
) -> Iterator[tuple[int, str]]:
  """The lines of a text file that are not blank, with their rows from 1."""
  for row, line in enumerate(read_text(path, field, encoding).split('\n'), 1):
    if line.strip():
      yield row, line


def read_file(
  path: str | os.PathLike,
  field: str = 'path',
  text_column: str = 'text',
  label_column: str | None = 'label',
) -> Split:
  """Reads a file of examples; its format is inferred from the extension.

  Args:
    path: `.csv`, `.tsv`, `.jsonl` or `.parquet`; `.gz` after the first three.
    field: of the configuration that names the file, for messages.
    text_column: the column that holds the text.
    label_column: the column of the labels; None reads texts alone.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  plain = os.fspath(path).lower().removesuffix('.gz')
  columns = [text_column] + ([label_column] if label_column else [])
  readers = {
    '.csv': lambda: _delimited(path, field, columns, ','),
    '.tsv': lambda: _delimited(path, field, columns, '\t'),
    '.jsonl': lambda: _json_lines(path, field, columns),
    '.parquet': lambda: _parquet(path, field, columns),
  }
  extension = os.path.splitext(plain)[1]
  if extension not in readers:
    raise ValueError(
      f'{field}={path}: a file must end in {", ".join(readers)} (or .gz)'
    )
  split = Split([], [], [], os.fspath(path))
  for row, values in readers[extension]():
    split.texts.append(_as_text(values[0], field, path, row, text_column))
    if label_column:
      split.labels.append(_as_label(values[1], field, path, row, label_column))
    split.rows.append(row)
  if not split.texts:
    raise ValueError(f'{field}={path} has no rows')
  return split


def _no_column(
  field: str, path: str | os.PathLike, column: str, names: list[str]
) -> ValueError:
  return ValueError(
    f'{field}={path} has no column {column!r}, only '
    f'{", ".join(map(repr, names))}; see text_column and label_column'
  )


def _as_text(
  value: Any, field: str, path: str | os.PathLike, row: int, column: str
) -> str:
  if value is None:
    return ''
  if not isinstance(value, str):
    raise ValueError(f'{field}={path}, row {row}: {column!r} is not a text')
  return value


def _as_label(
  value: Any, field: str, path: str | os.PathLike, row: int, column: str
) -> str:
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  if not isinstance(value, (str, int)) or str(value).strip() == '':
    raise ValueError(
      f'{field}={path}, row {row}: {column!r} is no label: {value!r:.60}'
    )
  return str(value).strip()


def _delimited(path, field, columns, delimiter):
  quoting = csv.QUOTE_MINIMAL if delimiter == ',' else csv.QUOTE_NONE
  records = _records(path, field, delimiter, quoting)
  _, names = records[0]
  for column in columns:
    if column not in names:
      raise _no_column(field, path, column, names)
  indices = [names.index(column) for column in columns]
  for row, fields in records[1:]:
    if not fields:
      continue
    if len(fields) <= max(indices):
      raise ValueError(
        f'{field}={path}, row {row}: {len(fields)} columns, '
        f'the header has {len(names)}'
      )
    yield row, [fields[i] for i in indices]


def _records(path, field, delimiter, quoting):
  """The last row and the fields of each record."""
  text = read_text(path, field)
  reader = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, quoting=quoting
  )
  # The limit of a field's size is the process's, so it is put back.
  limit = csv.field_size_limit(max(len(text), 1))
  try:
    return [(reader.line_num, fields) for fields in reader]
  except csv.Error as error:
    raise ValueError(
      f'{field}={path}, row {reader.line_num}: {error}'
    ) from error
  finally:
    csv.field_size_limit(limit)


def _json_lines(path, field, columns):
  for row, line in read_lines(path, field):
    try:
      record = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise ValueError(f'{field}={path}, row {row}: {error}') from error
    if not isinstance(record, dict):
      raise ValueError(f'{field}={path}, row {row}: not a JSON object')
    for column in columns:
      if column not in record:
        raise ValueError(f'{field}={path}, row {row}: no {column!r}')
    yield row, [record[column] for column in columns]


def _parquet(path, field, columns):
  import pyarrow
  from pyarrow import parquet

  if not os.path.isfile(path):
    raise FileNotFoundError(f'{field}={path}: no such file')
  try:
    file = parquet.ParquetFile(path)
    for column in columns:
      if column not in file.schema_arrow.names:
        raise _no_column(field, path, column, file.schema_arrow.names)
    row = 0
    for batch in file.iter_batches(columns=columns):
      lists = [batch.column(column).to_pylist() for column in columns]
      for values in zip(*lists):
        row += 1
        yield row, values
  except (pyarrow.ArrowException, OSError) as error:
    raise ValueError(f'{field}={path}: not a Parquet file: {error}') from error
