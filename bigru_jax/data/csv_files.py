"""Reads records of CSV and TSV files, with the row at which each begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import csv
import itertools
import re

from bigru_jax.data.labels import unescaped
from bigru_jax.data.open_files import PathName, open_below_blanks, open_lines
from bigru_jax.data.table_columns import Columns

_LARGEST_FIELD = 2**24  # Characters of a CSV field.

# The first row of a record, and its fields.
Records = Iterator[tuple[int, list[str]]]


def csv_file_records(
  path: PathName,
  field: str,
  columns: Columns,
  encoding: str,
  delimiter: str,
) -> Records:
  """Reads the records of a CSV file, the header first; see `csv_records`."""
  with open_below_blanks(path, field, encoding) as (first, header, lines):
    where = f'{field}={path}'
    yield from csv_records(header, lines, where, columns, delimiter, first)


def csv_records(
  header: str,
  lines: Iterable[str],
  where: str,
  columns: Columns,
  delimiter: str,
  first: int,
) -> Records:
  """Reads records of delimited text with optional quotes, the header first.

  Args:
    header, lines: the first line, and all lines including it.
    where: the field and the file, for messages.
    columns: the columns that the header must have.
    delimiter: the character between fields; if empty, the first of comma,
      semicolon and tab that splits the header into these columns.
    first: the header's row.
  """
  if not delimiter:
    names = {
      d: next(csv.reader([header], delimiter=d), []) for d in (',', ';', '\t')
    }
    fitting = (
      d for d in names if {*columns.among(names[d]).names} <= {*names[d]}
    )
    delimiter = next(fitting, ',')
  return quoted_records(lines, delimiter, where, first)


def quoted_records(
  lines: Iterable[str], delimiter: str, where: str, first: int = 1
) -> Records:
  """Reads records quoted as in RFC 4180; a blank line has no fields.

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
    # The limit on a field's size applies to the process, so it is restored.
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


def tsv_records(path: PathName, field: str, encoding: str) -> Records:
  """Reads records of a TSV file, the header first, with or without quoting.

  pandas and Excel quote a field with a tab, a quote or a newline; GLUE quotes
  nothing, and its texts may begin with a quote. So a first pass looks for signs
  of quoting: a quoted header, lines of different widths, or fields that only
  open a quote. A file with a sign is read as quoted if all of it can be. In a
  file without one, only fields that are quoted because of a quote inside are
  unquoted.
  """
  where = f'{field}={path}'
  widths: set[int] = set()
  has_signs = False
  with open_lines(path, field, encoding) as lines:
    for _, fields in _unquoted_records(lines):
      is_header = not widths
      widths.add(len(fields))
      has_signs |= any(
        x[:1] == '"' and (is_header or x.count('"') % 2 or '\r' in x)
        for x in fields
      )
  is_quoted = False
  if has_signs or len(widths) > 1:
    quoted_lines = open_lines(path, field, encoding, newline='')
    with contextlib.suppress(ValueError), quoted_lines as lines:
      records = quoted_records(lines, '\t', where)
      is_quoted = len({len(fields) for _, fields in records if fields}) == 1
  newline = '' if is_quoted else '\n'
  with open_lines(path, field, encoding, newline) as lines:
    if is_quoted:
      yield from quoted_records(lines, '\t', where)
    elif len(widths) > 1:
      yield from _unquoted_records(lines)
    else:
      for row, fields in _unquoted_records(lines):
        yield row, list(map(_unquoted, fields))


def _unquoted_records(lines: Iterable[str]) -> Records:
  for row, line in enumerate(lines, 1):
    if line.strip():
      yield row, line.removesuffix('\n').removesuffix('\r').split('\t')


def _unquoted(field: str) -> str:
  if re.fullmatch(r'"(?:[^"]|"")*""(?:[^"]|"")*"', field):
    return field[1:-1].replace('""', '"')
  return field
