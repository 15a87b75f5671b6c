"""A user's own files: CSV, TSV, JSON lines and Parquet, gzipped or not."""

import csv
import dataclasses
import gzip
import io
import json
import os
import sys
import zlib


@dataclasses.dataclass
class Split:
  """Examples of one split.

  Attributes:
    texts: strings.
    labels: the labels' names, as strings.
    rows: where each example stands in its source, from 1.
    name: the source, for messages.
  """

  texts: list
  labels: list
  rows: list
  name: str

  def __len__(self):
    return len(self.texts)

  def take(self, indices):
    return Split(*_pick(indices, self.texts, self.labels, self.rows), self.name)


def _pick(indices, *lists):
  return [[items[i] for i in indices] for items in lists]


def read_text(path, flag, encoding='utf-8', may_be_blank=False):
  """The text of a file, plain or gzipped.

  Raises:
    FileNotFoundError: there is none.
    ValueError: it is damaged, blank or not in this encoding; the row is named.
  """
  path = os.fspath(path)
  if not os.path.isfile(path):
    raise FileNotFoundError(f'{flag}: no such file: {path}')
  try:
    with (gzip.open if path.endswith('.gz') else open)(path, 'rb') as file:
      data = file.read()
  except (EOFError, gzip.BadGzipFile, zlib.error) as error:
    raise ValueError(f'{flag}: {path} is damaged: {error}') from error
  try:
    text = data.decode(encoding)
  except UnicodeDecodeError as error:
    row = data[: error.start].count(b'\n') + 1
    raise ValueError(
      f'{flag}: {path}, row {row}: not {encoding}: '
      f'byte 0x{data[error.start]:02x}'
    ) from error
  if not (may_be_blank or text.strip()):
    raise ValueError(f'{flag}: {path} is empty')
  return text.removeprefix('\ufeff')


def read_file(path, flag, text_column='text', label_column='label'):
  """Reads a file of examples; its format is told by its name.

  Args:
    path: `.csv`, `.tsv`, `.jsonl` or `.parquet`; `.gz` after the first three.
    flag: the flag that named the file, for messages.
    text_column: the column that holds the text.
    label_column: the column of the labels; None reads texts alone.

  Raises:
    FileNotFoundError, ValueError: with the flag, the file and the row.
  """
  plain = os.fspath(path).lower().removesuffix('.gz')
  columns = [text_column] + ([label_column] if label_column else [])
  readers = {
    '.csv': lambda: _delimited(path, flag, columns, ','),
    '.tsv': lambda: _delimited(path, flag, columns, '\t'),
    '.jsonl': lambda: _json_lines(path, flag, columns),
    '.parquet': lambda: _parquet(path, flag, columns),
  }
  extension = os.path.splitext(plain)[1]
  if extension not in readers:
    raise ValueError(
      f'{flag}: {path}: a file must end in {", ".join(readers)} (or .gz)'
    )
  split = Split([], [], [], os.fspath(path))
  for row, values in readers[extension]():
    split.texts.append(_as_text(values[0], flag, path, row, text_column))
    if label_column:
      split.labels.append(_as_label(values[1], flag, path, row, label_column))
    split.rows.append(row)
  if not split.texts:
    raise ValueError(f'{flag}: {path} has no rows')
  return split


def _no_column(flag, path, column, names):
  return ValueError(
    f'{flag}: {path} has no column {column!r}, only '
    f'{", ".join(map(repr, names))}; see --text_column and --label_column'
  )


def _as_text(value, flag, path, row, column):
  if value is None:
    return ''
  if not isinstance(value, str):
    raise ValueError(f'{flag}: {path}, row {row}: {column!r} is not a text')
  return value


def _as_label(value, flag, path, row, column):
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  if not isinstance(value, (str, int)) or str(value).strip() == '':
    raise ValueError(
      f'{flag}: {path}, row {row}: {column!r} is no label: {value!r:.60}'
    )
  return str(value).strip()


def _delimited(path, flag, columns, delimiter):
  csv.field_size_limit(sys.maxsize)
  text = read_text(path, flag)
  quoting = csv.QUOTE_MINIMAL if delimiter == ',' else csv.QUOTE_NONE
  rows = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, quoting=quoting
  )
  try:
    names = next(rows)
    for column in columns:
      if column not in names:
        raise _no_column(flag, path, column, names)
    indices = [names.index(column) for column in columns]
    for fields in rows:
      if not fields:
        continue
      if len(fields) <= max(indices):
        raise ValueError(
          f'{flag}: {path}, row {rows.line_num}: {len(fields)} columns, '
          f'where the header has {len(names)}'
        )
      yield rows.line_num, [fields[i] for i in indices]
  except csv.Error as error:
    raise ValueError(f'{flag}: {path}, row {rows.line_num}: {error}') from error


def _json_lines(path, flag, columns):
  for row, line in enumerate(read_text(path, flag).split('\n'), 1):
    if not line.strip():
      continue
    try:
      record = json.loads(line)
    except (ValueError, RecursionError) as error:
      raise ValueError(f'{flag}: {path}, row {row}: {error}') from error
    if not isinstance(record, dict):
      raise ValueError(f'{flag}: {path}, row {row}: not a JSON object')
    for column in columns:
      if column not in record:
        raise ValueError(f'{flag}: {path}, row {row}: no {column!r}')
    yield row, [record[column] for column in columns]


def _parquet(path, flag, columns):
  import pyarrow
  from pyarrow import parquet

  if not os.path.isfile(path):
    raise FileNotFoundError(f'{flag}: no such file: {path}')
  try:
    file = parquet.ParquetFile(path)
    for column in columns:
      if column not in file.schema_arrow.names:
        raise _no_column(flag, path, column, file.schema_arrow.names)
    row = 0
    for batch in file.iter_batches(columns=columns):
      lists = [batch.column(column).to_pylist() for column in columns]
      for values in zip(*lists):
        row += 1
        yield row, values
  except (pyarrow.ArrowException, OSError) as error:
    raise ValueError(f'{flag}: {path}: not a Parquet file: {error}') from error
