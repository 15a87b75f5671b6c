"""A user's own files: CSV, TSV, JSON and Parquet, gzipped or not."""

from __future__ import annotations

import bz2
import codecs
from collections.abc import Callable, Iterable, Iterator
import csv
import functools
import gzip
import io
import json
import lzma
import os
import re
from typing import Any, BinaryIO
import zipfile
import zlib

from bigru_jax.data.splits import Split

COMPRESSION_ERRORS = (
  EOFError,
  gzip.BadGzipFile,
  lzma.LZMAError,
  zipfile.BadZipFile,
  zlib.error,
)
# How a file of each form is opened, by its first bytes.
_CONTAINERS: dict[bytes, Callable[[Any], Any]] = {
  b'\x1f\x8b': gzip.open,
  b'\xfd7zXZ\x00': lzma.open,
  b'BZh': bz2.open,
  b'PK\x03\x04': lambda path: _open_zip(path),
}


def open_binary(path: str | os.PathLike, field: str) -> BinaryIO:
  """Opens a file, plain or compressed (known by its first bytes).

  Args:
    path: the file; plain, gzip, xz, bzip2, or a zip archive of one file.
    field: of the configuration, for the message.

  Raises:
    FileNotFoundError: there is none.
    ValueError: the archive holds several files.
  """
  if not os.path.isfile(path):
    raise FileNotFoundError(f'{field}={path}: no such file')
  with open(path, 'rb') as file:
    start = file.read(6)
  for magic, opener in _CONTAINERS.items():
    if start.startswith(magic):
      try:
        return opener(path)
      except ValueError as error:
        raise ValueError(f'{field}={path}: {error}') from error
  return open(path, 'rb')


def _open_zip(path: str | os.PathLike) -> Any:
  archive = zipfile.ZipFile(path)
  names = [name for name in archive.namelist() if not name.endswith('/')]
  if len(names) != 1:
    raise ValueError(f'it holds {", ".join(names)}; unpack the one you want')
  return archive.open(names[0])


def read_text(
  path: str | os.PathLike,
  field: str,
  encoding: str = '',
  may_be_blank: bool = False,
) -> str:
  """The text of a file, plain or gzipped.

  Args:
    path: the file.
    field: of the configuration that names the file, for messages.
    encoding: of the text; by default UTF-8, or UTF-16 where the file begins
      with its byte-order mark.
    may_be_blank: whether a blank file is right.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it is corrupt, blank or not in this encoding; the row is named.
  """
  try:
    with open_binary(path, field) as file:
      data = file.read()
  except COMPRESSION_ERRORS as error:
    raise ValueError(f'{field}={path} is corrupt: {error}') from error
  if not encoding:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = 'utf-16' if utf16 else 'utf-8'
  try:
    text = data.decode(encoding)
  except LookupError as error:
    raise ValueError(f'encoding={encoding!r} is unknown') from error
  except UnicodeDecodeError as error:
    row = data[: error.start].count(b'\n') + 1
    raise ValueError(
      f'{field}={path}, row {row}: not {encoding}: '
      f'byte 0x{data[error.start]:02x}; see encoding'
    ) from error
  if not (may_be_blank or text.strip()):
    raise ValueError(f'{field}={path} is empty')
  return text.removeprefix('\ufeff')


def read_lines(
  path: str | os.PathLike, field: str, encoding: str = ''
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
  encoding: str = '',
  delimiter: str = '',
) -> Split:
  """Reads a file of examples; its format is inferred from the extension.

  A missing text (an empty field, null or NaN) is an empty one.

  Args:
    path: `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet`, and `.gz` after all
      but the last. JSON is an array of objects or one object per line.
    field: of the configuration that names the file, for messages.
    text_column: the column that holds the text.
    label_column: the column of the labels; None reads texts alone.
    encoding: see `read_text`.
    delimiter: between the fields of a `.csv` file; by default that of `, ; tab`
      with which its header has the columns.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  where = f'{field}={path}'
  columns = [text_column] + ([label_column] if label_column else [])
  text = functools.partial(read_text, path, field, encoding)
  readers = {
    '.csv': lambda: _csv(text(), where, columns, delimiter),
    '.tsv': lambda: _select(_tsv(text(), where), where, columns),
    '.jsonl': lambda: _json(text(), where, columns),
    '.json': lambda: _json(text(), where, columns),
    '.parquet': lambda: _parquet(path, field, columns),
  }
  extension = os.path.splitext(os.fspath(path).lower().removesuffix('.gz'))[1]
  if extension not in readers:
    raise ValueError(f'{where}: a file must end in {", ".join(readers)} or .gz')
  split = Split([], [], [], os.fspath(path))
  for row, values in readers[extension]():
    split.texts.append(_as_text(values[0], where, row, text_column))
    if label_column:
      split.labels.append(_as_label(values[1], where, row, label_column))
    split.rows.append(row)
  if not split.texts:
    raise ValueError(f'{where} has no rows')
  return split


# The first row of a record, and its fields.
_Record = tuple[int, list[str]]
_Values = Iterator[tuple[int, list[Any]]]


def _csv(text: str, where: str, columns: list[str], delimiter: str) -> _Values:
  """The values of the columns of delimited text whose fields may be quoted."""
  if delimiter:
    return _select(_quoted(text, delimiter, where), where, columns)
  header = text.lstrip().partition('\n')[0]
  for candidate in ',;\t':
    names = next(csv.reader([header], delimiter=candidate), [])
    if set(columns) <= set(names):
      return _select(_quoted(text, candidate, where), where, columns)
  return _select(_quoted(text, ',', where), where, columns)


def _quoted(text: str, delimiter: str, where: str) -> list[_Record]:
  """Records in the quoting of RFC 4180.

  Raises:
    ValueError: a quote is never closed, or text follows a closing one.
  """
  if delimiter == '\\t':  # As one types it in a shell.
    delimiter = '\t'
  if len(delimiter) != 1:
    raise ValueError(f'delimiter={delimiter!r} is not one character')
  lines = io.StringIO(text, newline='')
  reader = csv.reader(lines, delimiter=delimiter, strict=True)
  records: list[_Record] = []
  row = 1
  # The limit of a field's size is the process's, so it is put back.
  limit = csv.field_size_limit(max(len(text), 1))
  try:
    for fields in reader:
      records.append((row, fields))
      row = reader.line_num + 1
  except csv.Error as error:
    reason = str(error)
    if reason == 'unexpected end of data':
      reason = 'a quote that opens here is never closed'
    raise ValueError(f'{where}, row {row}: {reason}') from error
  finally:
    csv.field_size_limit(limit)
  return records


def _tsv(text: str, where: str) -> list[_Record]:
  """Records of a TSV file, as pandas and Excel quote them, or unquoted.

  pandas and Excel quote a field that holds a tab, a quote or a newline; GLUE
  quotes nothing, and its texts may begin with a quote. Where each line has as
  many fields as the header, only fields that are quoted for a quote inside are
  unquoted; where not, the file is read as quoted if that fits.
  """
  lines = enumerate(text.replace('\r\n', '\n').split('\n'), 1)
  plain = [(row, line.split('\t')) for row, line in lines if line.strip()]
  width = len(plain[0][1])
  if all(len(fields) == width for _, fields in plain):
    return [(row, [_unquoted(x) for x in fields]) for row, fields in plain]
  try:
    quoted = _quoted(text, '\t', where)
  except ValueError:
    return plain
  fits = all(len(fields) == width for _, fields in quoted if fields)
  return quoted if fits else plain


def _unquoted(field: str) -> str:
  if re.fullmatch(r'"(?:[^"]|"")*""(?:[^"]|"")*"', field):
    return field[1:-1].replace('""', '"')
  return field


def _select(
  records: Iterable[_Record], where: str, columns: list[str]
) -> _Values:
  """The values of the columns, which the first record names."""
  (_, names), *rows = records
  indices = _indices(names, where, columns)
  for row, fields in rows:
    if not fields:
      continue
    if len(fields) <= max(indices) or any(fields[len(names) :]):
      raise ValueError(
        f'{where}, row {row}: {len(fields)} fields, the header has {len(names)}'
      )
    yield row, [fields[i] for i in indices]


def _indices(names: list[str], where: str, columns: list[str]) -> list[int]:
  """The places of the columns among the names."""
  for column in columns:
    if names.count(column) != 1:
      raise ValueError(
        f'{where} has {"two columns" if column in names else "no column"} '
        f'{column!r}, of {", ".join(map(repr, names))}; see text_column and '
        'label_column'
      )
  return [names.index(column) for column in columns]


def _json(text: str, where: str, columns: list[str]) -> _Values:
  """The values of an array of objects, or of one object per line."""
  records: list[tuple[int, Any]]
  if text.lstrip().startswith('['):
    records = list(enumerate(_loads(text, where, 1), 1))
  else:
    lines = enumerate(text.split('\n'), 1)
    records = [(n, _loads(x, where, n)) for n, x in lines if x.strip()]
  for row, record in records:
    if not isinstance(record, dict):
      raise ValueError(f'{where}, row {row}: not a JSON object')
    for column in columns:
      if column not in record:
        raise ValueError(f'{where}, row {row}: no {column!r}')
    yield row, [record[column] for column in columns]


def _loads(text: str, where: str, row: int) -> Any:
  try:
    return json.loads(text)
  except json.JSONDecodeError as error:
    row += error.lineno - 1
    raise ValueError(f'{where}, row {row}: {error.msg}') from error
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{where}, row {row}: {error}') from error


def _parquet(
  path: str | os.PathLike, field: str, columns: list[str]
) -> _Values:
  import pyarrow
  from pyarrow import parquet

  where = f'{field}={path}'
  if not os.path.isfile(path):
    raise FileNotFoundError(f'{where}: no such file')
  try:
    file = parquet.ParquetFile(path)
    _indices(file.schema_arrow.names, where, columns)
    row = 0
    for batch in file.iter_batches(columns=columns):
      lists = [batch.column(column).to_pylist() for column in columns]
      for values in zip(*lists):
        row += 1
        yield row, list(values)
  except (pyarrow.ArrowException, OSError) as error:
    raise ValueError(f'{where}: not a Parquet file: {error}') from error


def _as_text(value: Any, where: str, row: int, column: str) -> str:
  if value is None or value != value:  # NaN, as pandas writes a missing text.
    return ''
  if not isinstance(value, str):
    raise ValueError(f'{where}, row {row}: {column!r} is not a text')
  return value


def _as_label(value: Any, where: str, row: int, column: str) -> str:
  """One name per label, whatever the format: whole numbers without `.0`."""
  if not isinstance(value, str | int | float) or value != value:
    raise ValueError(
      f'{where}, row {row}: {column!r} is no label: {value!r:.60}'
    )
  label = str(value).strip()
  if not label:
    raise ValueError(f'{where}, row {row}: {column!r} is no label: it is empty')
  return re.sub(r'^(-?\d+)\.0+$', r'\1', label)
