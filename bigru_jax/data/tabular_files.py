"""A user's own files, read in one pass: CSV, TSV, JSON and Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
import contextlib
import csv
import glob
import io
import itertools
import json
import os
import re
from typing import Any

from bigru_jax.data.labels import (
  Label,
  as_label,
  as_labels,
  class_names,
  from_columns,
  is_missing,
  label_columns,
  named,
  unescaped,
)
from bigru_jax.data.open_files import WatchedFile, open_lines
from bigru_jax.data.splits import Example

_COMPRESSED = re.compile(r'\.(gz|zip|xz|bz2)$')
_LARGEST_FIELD = 2**24  # Characters of a CSV field.


def find(paths: str, field: str) -> list[str]:
  """The files that a field names: one, several with commas between, or a glob.

  The folders among the matches of a glob are left out.

  Raises:
    FileNotFoundError: a pattern matches no file.
    ValueError: a path is that of a folder, or is empty.
  """
  files = []
  # The name of a file or a folder may have a comma in it.
  for part in [paths] if _matches(paths) else paths.split(','):
    path = part if _matches(part) else part.strip()
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


def _matches(pattern: str) -> list[str]:
  """What a pattern matches; or the file of this name, if there is one."""
  if os.path.exists(pattern):
    return [pattern]
  return sorted(glob.glob(pattern, recursive=True))


def file_extension(path: str) -> str:
  """The extension of a file that says its format, in lower case.

  That of a compression is left out, and a pipe's is `.pipe`.
  """
  name = os.path.splitext(_COMPRESSED.sub('', path.lower()))[1]
  if not name and os.path.exists(path) and not os.path.isfile(path):
    return '.pipe'
  return name


def read_file(
  paths: str | os.PathLike,
  field: str = 'path',
  text_column: str = 'text',
  label_column: str | None = 'label',
  encoding: str = '',
  delimiter: str = '',
  label_separator: str | None = None,
) -> Iterator[Example]:
  """Reads examples in one pass; a file's format is inferred from its extension.

  A missing text (an empty field, null or NaN) is an empty one. A pipe, which
  has no extension, is JSON if it begins with `[` or `{`, and CSV if not.

  The row of an example, in messages too, is the number of the line at which its
  record begins in the file, as an editor shows it: the header and blank lines
  count. Of Parquet and of a JSON array it is the number of the record.

  Args:
    paths: a `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet` file, compressed
      or not (`.csv.gz`); or several, see `find`. JSON is an array of objects,
      which is held in memory, or one object per line.
    field: of the configuration that names the file, for messages.
    text_column: the column that holds the text.
    label_column: the column of the labels, or several, one for each label, see
      `labels.label_columns`; None reads texts alone.
    encoding: see `open_lines`.
    delimiter: between the fields of a `.csv` file; by default that of `, ; tab`
      with which its header has the columns.
    label_separator: where a text has any number of labels, what stands between
      them in a string; see `labels.as_labels`.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  columns = [text_column] + ([label_column] if label_column else [])
  for path in find(os.fspath(paths), field):
    where, row = f'{field}={path}', 0
    for row, values in _values(path, field, columns, encoding, delimiter):
      text, *of_text = values
      label: Label = ''
      if label_column:
        label = read_label(of_text, where, row, label_column, label_separator)
      text = as_text(text, where, row, text_column)
      yield Example(text, label, where, row)
    if not row:
      raise ValueError(f'{where} has no rows')


def read_label(
  values: Sequence[Any],
  where: str,
  row: int,
  label_column: str,
  separator: str | None,
) -> Label:
  """The label of a text, or its labels where a separator is given.

  Args:
    values: of the label's column, or of the column of each label.
    where, row: of the text, for messages.
    label_column: the name of the column, or those of the columns.
    separator: see `labels.as_labels`.

  Raises:
    ValueError: see `labels`; or several columns, but no separator.
  """
  if len(values) > 1:
    if separator is None:
      raise ValueError(
        f'label_column={label_column}: a column for each label needs '
        'task=multi_label'
      )
    return from_columns(values, where, row, label_columns(label_column, ()))
  if separator is None:
    return as_label(values[0], where, row, label_column)
  return as_labels(values[0], where, row, label_column, separator)


def read_table(
  paths: str, field: str, encoding: str, delimiter: str, column: str
) -> Iterator[list[str]]:
  """The header of CSV or TSV files, then all fields of each of their rows.

  Args:
    paths: one file, or several of the same columns, see `find`.
    field, encoding, delimiter: see `read_file`.
    column: a column that they must have.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  header: list[str] = []
  for path in find(paths, field):
    where = f'{field}={path}'
    if file_extension(path) == '.tsv':
      records = _tsv(path, field, encoding)
    else:
      records = _csv_file(path, field, [column], encoding, delimiter)
    _, names = next(records, (0, None))
    if names is None:
      raise ValueError(f'{where} is empty')
    (index,) = check_columns(names, where, [column])
    if header and names != header:
      raise ValueError(
        f'{where} has the columns {", ".join(map(repr, names))}; those of the '
        f'file before it are {", ".join(map(repr, header))}'
      )
    if not header:
      header = names
      yield names
    for row, fields in records:
      _check_width(fields, names, where, row, [index])
      missing = [''] * (len(names) - len(fields))
      yield fields[: len(names)] + missing


# The first row of a record, and its fields or the values of its columns.
_Records = Iterator[tuple[int, list[str]]]
_Values = Iterator[tuple[int, list[Any]]]


def _values(
  path: str, field: str, columns: list[str], encoding: str, delimiter: str
) -> _Values:
  """The values of the columns, in the format of the file."""
  where = f'{field}={path}'
  extension = file_extension(path)
  if extension == '.parquet':
    yield from _parquet(path, field, columns)
    return
  if extension not in ('.csv', '.tsv', '.jsonl', '.json', '.pipe'):
    raise ValueError(
      f'{where}: a file must end in .csv, .tsv, .jsonl, .json, .parquet or .gz'
    )
  if extension == '.tsv':
    yield from _select(_tsv(path, field, encoding), where, columns)
    return
  if extension == '.csv':
    records = _csv_file(path, field, columns, encoding, delimiter)
    yield from _select(records, where, columns)
    return
  with open_lines(path, field, encoding, newline='') as lines:
    first, lines = _first_line(lines, where)
    line = next(lines)
    lines = itertools.chain([line], lines)
    if extension == '.pipe' and line.lstrip()[0] not in '[{':
      records = _csv(lines, where, columns, delimiter, first)
      yield from _select(records, where, columns)
    else:
      yield from _json(lines, where, columns, first)


def _first_line(lines: Iterator[str], where: str) -> tuple[int, Iterator[str]]:
  """The row of the first line that is not blank, and the lines from it on."""
  for row, line in enumerate(lines, 1):
    if line.strip():
      return row, itertools.chain([line], lines)
  raise ValueError(f'{where} is empty')


def _csv_file(
  path: str, field: str, columns: list[str], encoding: str, delimiter: str
) -> _Records:
  """The records of a CSV file, the header first; see `_csv`."""
  where = f'{field}={path}'
  with open_lines(path, field, encoding, newline='') as lines:
    first, lines = _first_line(lines, where)
    yield from _csv(lines, where, columns, delimiter, first)


def _csv(
  lines: Iterator[str],
  where: str,
  columns: list[str],
  delimiter: str,
  first: int,
) -> _Records:
  """Records of delimited text whose fields may be quoted, the header first.

  Args:
    lines: of the file, from the header on.
    where: the field and the file.
    columns: that the header must have.
    delimiter: between fields; found if empty.
    first: the header's row.
  """
  header = next(lines)
  if not delimiter:
    names = {
      d: next(csv.reader([header], delimiter=d), []) for d in (',', ';', '\t')
    }
    fitting = (
      d for d in names if set(resolved(columns, names[d])) <= set(names[d])
    )
    delimiter = next(fitting, ',')
  lines = itertools.chain([header], lines)
  records = quoted_records(lines, delimiter, where, first)
  return (record for record in records if record[1])


def quoted_records(
  lines: Iterable[str], delimiter: str, where: str, first: int = 1
) -> _Records:
  """Records in the quoting of RFC 4180; a blank line is one without fields.

  Raises:
    ValueError: a quote is never closed, or text follows a closing one.
  """
  delimiter = unescaped(delimiter)
  if len(delimiter) != 1:
    raise ValueError(f'delimiter={delimiter!r} is not one character')
  reader = csv.reader(lines, delimiter=delimiter, strict=True)
  row, fault = first, ''
  while not fault:
    records = []
    # The limit of a field's size is the process's, so it is put back.
    limit = csv.field_size_limit(_LARGEST_FIELD)
    try:
      for fields in itertools.islice(reader, 1000):
        records.append((row, fields))
        row = first + reader.line_num
    except csv.Error as error:
      fault = str(error)
    finally:
      csv.field_size_limit(limit)
    yield from records
    if not records:
      break
  if fault == 'unexpected end of data':
    fault = 'a quote that opens here is never closed'
  if fault.startswith('field larger'):
    fault = f'a field has over {_LARGEST_FIELD} characters: an open quote?'
  if fault:
    raise ValueError(f'{where}, row {row}: {fault}')


def _tsv(path: str, field: str, encoding: str) -> _Records:
  """Records of a TSV file, the header first, quoted or not.

  pandas and Excel quote a field that holds a tab, a quote or a newline; GLUE
  quotes nothing, and its texts may begin with a quote. So a first pass looks
  for signs of quoting: a quoted header, lines of different widths, fields that
  only open a quote. With such a sign the file is read as quoted if that fits it
  whole. Without one, fields are unquoted that are quoted for a quote inside.
  """
  where = f'{field}={path}'

  def plain(lines: Iterable[str]) -> _Records:
    for row, line in enumerate(lines, 1):
      if line.strip():
        yield row, line.removesuffix('\n').removesuffix('\r').split('\t')

  widths: set[int] = set()
  signs = False
  with open_lines(path, field, encoding) as lines:
    for _, fields in plain(lines):
      header = not widths
      widths.add(len(fields))
      signs |= any(
        x[:1] == '"' and (header or x.count('"') % 2 or '\r' in x)
        for x in fields
      )
  is_quoted = False
  if signs or len(widths) > 1:
    quoted_lines = open_lines(path, field, encoding, newline='')
    with contextlib.suppress(ValueError), quoted_lines as lines:
      records = quoted_records(lines, '\t', where)
      is_quoted = len({len(fields) for _, fields in records if fields}) == 1
  newline = '' if is_quoted else '\n'
  with open_lines(path, field, encoding, newline) as lines:
    records = quoted_records(lines, '\t', where) if is_quoted else plain(lines)
    if not is_quoted and len(widths) == 1:
      records = ((row, list(map(_unquoted, x))) for row, x in records)
    yield from (record for record in records if record[1])


def _unquoted(field: str) -> str:
  if re.fullmatch(r'"(?:[^"]|"")*""(?:[^"]|"")*"', field):
    return field[1:-1].replace('""', '"')
  return field


def _select(records: _Records, where: str, columns: list[str]) -> _Values:
  """The values of the columns, which the first record names."""
  _, names = next(records, (0, None))
  if names is None:
    raise ValueError(f'{where} is empty')
  indices = check_columns(names, where, resolved(columns, names))
  for row, fields in records:
    _check_width(fields, names, where, row, indices)
    yield row, [fields[i] for i in indices]


def _check_width(
  fields: list[str], names: list[str], where: str, row: int, indices: list[int]
) -> None:
  """Refuses a record without these fields, or with surplus ones not empty."""
  if len(fields) <= max(indices) or any(fields[len(names) :]):
    raise ValueError(
      f'{where}, row {row}: {len(fields)} fields, the header has {len(names)}'
    )


def resolved(columns: list[str], names: Iterable[str]) -> list[str]:
  """The columns of the text and of the label, or of each label, among names.

  Raises:
    ValueError: a label is named twice.
  """
  text, *label = columns
  labels = [x for column in label for x in label_columns(column, names)]
  if len(set(labels)) < len(labels):
    raise ValueError(f'label_column={label[0]} names a column twice')
  return [text, *labels]


def check_columns(
  names: list[str], where: str, columns: list[str]
) -> list[int]:
  """The indices of the columns among the names.

  Raises:
    ValueError: there is none of that name, or there are two.
  """
  for column in columns:
    if names.count(column) != 1:
      raise ValueError(
        f'{where} has {"two columns" if column in names else "no column"} '
        f'{column!r}, of {", ".join(map(repr, names))}; see text_column and '
        'label_column'
      )
  return [names.index(column) for column in columns]


def _json(
  lines: Iterator[str], where: str, columns: list[str], first: int
) -> _Values:
  """The values of an array of objects, or of one object per line."""
  line = next(lines)
  lines = itertools.chain([line], lines)
  records: Iterator[tuple[int, Any]]
  if line.lstrip().startswith('['):
    records = enumerate(_loads(''.join(lines), where, first), 1)
  else:
    numbered = enumerate(lines, first)
    records = (
      (n, _loads(x.strip(), where, n)) for n, x in numbered if x.strip()
    )
  is_first = True
  for row, record in records:
    if not isinstance(record, dict):
      raise ValueError(f'{where}, row {row}: not a JSON object')
    if is_first:
      columns, is_first = resolved(columns, record), False
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


def _parquet(path: str, field: str, columns: list[str]) -> _Values:
  import pyarrow
  from pyarrow import parquet

  where = f'{field}={path}'
  if not os.path.isfile(path):
    raise FileNotFoundError(f'{where}: no such file')
  try:
    with io.BufferedReader(WatchedFile(path)) as binary:
      file = parquet.ParquetFile(binary)
      columns = resolved(columns, file.schema_arrow.names)
      check_columns(file.schema_arrow.names, where, columns)
      batches = file.iter_batches(1024, columns=columns)
      yield from arrow_rows(batches, file.schema_arrow, where, columns)
  except (pyarrow.ArrowException, OSError) as error:
    raise ValueError(f'{where}: not a Parquet file: {error}') from error


def arrow_rows(
  batches: Iterable[Any], schema: Any, where: str, columns: list[str]
) -> _Values:
  """The values of the columns of a text and its label in batches of Arrow.

  The names of the classes that the schema's metadata have stand for indices.
  """
  names = class_names(schema.metadata, columns[1]) if len(columns) == 2 else []
  row = 0
  for batch in batches:
    lists = [batch.column(column).to_pylist() for column in columns]
    for values in zip(*lists):
      row += 1
      if names:
        values = values[0], named(values[1], names, where, row, columns[1])
      yield row, list(values)


def as_text(value: Any, where: str, row: int, column: str) -> str:
  """The text of a row; a missing one is empty.

  Raises:
    ValueError: it is no string.
  """
  if isinstance(value, str):
    return value
  if is_missing(value):
    return ''
  raise ValueError(
    f'{where}, row {row}: {column!r} is not a text: {value!r:.60}'
  )
