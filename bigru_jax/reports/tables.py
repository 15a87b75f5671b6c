"""Formats tables of results as text, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import csv
import io
import json
import math
import re
from typing import Any, NamedTuple
import unicodedata


class Number(NamedTuple):
  """A number in a table, with the decimals that a reader sees of it."""

  value: float
  decimals: int = 4


Cell = str | int | float | Number | None
# The first row is the head; an empty row separates groups of rows.
Rows = Sequence[Sequence[Cell]]


def summary(scores: dict[str, Any]) -> str:
  """Describes the scores of a run on test in a sentence."""
  return (
    f'Accuracy {scores["accuracy"]:.4f} and macro F1 {scores["macro_f1"]:.4f} '
    f'on {scores["examples"]} test texts.'
  )


def table_as(rows: Rows, format: str) -> str:
  """Returns a table in one of the `FORMATS`.

  Args:
    rows: the head, whose cells differ, and the rows. A float has four decimals
      and a `Number` its own in text, Markdown and LaTeX, and all digits in CSV
      and JSON. None and NaN are a dash, or an empty cell, or null. An empty row
      separates groups of rows; Markdown, CSV and JSON leave it out.
    format: `text` is aligned for a terminal; `latex` is a tabular of booktabs,
      with escaped characters; `json` is a list of objects by the head.

  Raises:
    ValueError: there is no such format.

  Example:
    >>> print(table_as([['run', 'F1'], ['a_b', 0.25]], 'latex'))
    \\begin{tabular}{lr}
    \\toprule  % of \\usepackage{booktabs}
    run & F1 \\\\
    \\midrule
    a\\_b & 0.2500 \\\\
    \\bottomrule
    \\end{tabular}
  """
  return tables_as({'': rows}, format)


def tables_as(tables: Mapping[str, Rows], format: str) -> str:
  """Returns several tables in one of the `FORMATS`.

  Args:
    tables: the tables by name. JSON is an object of them, unless the only one
      has no name; in the other formats, a blank line separates them.
    format: see `table_as`.

  Raises:
    ValueError: there is no such format.
  """
  if format not in FORMATS:
    raise ValueError(f'format={format!r}: choose {", ".join(FORMATS)}')
  if format == 'json':
    objects = {name: _objects(rows) for name, rows in tables.items()}
    value = objects[''] if list(objects) == [''] else objects
    return json.dumps(value, indent=2, ensure_ascii=False)
  return '\n\n'.join(map(_WRITERS[format], tables.values()))


def _objects(rows: Rows) -> list[dict[str, Any]]:
  head, *body = ([_value(cell) for cell in row] for row in rows if row)
  return [dict(zip(map(str, head), row)) for row in body]


def _text(rows: Rows) -> str:
  return '\n'.join(aligned([[*map(_shown, row)] for row in rows], left=1))


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
  """Returns lines with aligned columns, the first `left` ones to the left."""
  columns = zip(*filter(None, rows))
  widths = [max(map(columns_of, column)) for column in columns]
  lines = []
  for row in rows:
    cells = []
    for i, (cell, width) in enumerate(zip(row, widths)):
      padding = ' ' * (width - columns_of(cell))
      cells.append(cell + padding if i < left else padding + cell)
    lines.append('  '.join(cells).rstrip())
  return lines


def markdown(rows: Rows) -> str:
  """Returns a Markdown table whose first row is its head."""

  def line(cells):
    texts = (' '.join(_shown(cell).split()) for cell in cells)
    return '| ' + ' | '.join(x.replace('|', '\\|') for x in texts) + ' |'

  head, *body = filter(None, rows)
  return '\n'.join([line(head), line(['---'] * len(head)), *map(line, body)])


def _latex(rows: Rows) -> str:
  """Returns a tabular of booktabs; columns of numbers are right-aligned."""
  head, *body = [[*map(_shown, row)] for row in rows]
  columns = list(zip(*filter(None, body))) or [()] * len(head)
  kinds = ['r' if all(map(_NUMBER.fullmatch, x)) else 'l' for x in columns]
  lines = [
    ' & '.join(map(_escaped, row)) + r' \\' if row else r'\midrule'
    for row in body
  ]
  return '\n'.join([
    f'\\begin{{tabular}}{{l{"".join(kinds[1:])}}}',
    r'\toprule  % of \usepackage{booktabs}',
    ' & '.join(map(_escaped, head)) + r' \\',
    r'\midrule',
    *lines,
    r'\bottomrule',
    r'\end{tabular}',
  ])  # fmt: skip


# A number, also with its deviation and count, an interval, or a dash.
_NUMBER = re.compile(r'[-+]?\d[\d.]*( (±|to) -?[\d.]+)?( \(n = \d+\))?|–|')
_LATEX = {
  '\\': r'\textbackslash{}', '~': r'\textasciitilde{}',
  '^': r'\textasciicircum{}', '<': r'\textless{}', '>': r'\textgreater{}',
  '|': r'\textbar{}', '±': r'$\pm$', '–': '--',
  # A cell that begins with these would be an option of the line before it.
  '[': '{[}', '*': '{*}',
  **{character: f'\\{character}' for character in '&%$#_{}'},
}  # fmt: skip


def _escaped(text: str) -> str:
  """Returns a text for LaTeX, with the minus signs of its numbers."""
  escaped = ''.join(_LATEX.get(c, c) for c in ' '.join(text.split()))
  return re.sub(r'(?<![\w-])-(?=\d)', '$-$', escaped)


def _csv(rows: Rows) -> str:
  file = io.StringIO()
  writer = csv.writer(file, lineterminator='\n')
  writer.writerows([_value(cell) for cell in row] for row in rows if row)
  return file.getvalue().removesuffix('\n')


_WRITERS: dict[str, Callable[[Rows], str]] = {
  'text': _text,
  'markdown': markdown,
  'latex': _latex,
  'csv': _csv,
}
FORMATS = (*_WRITERS, 'json')


def _value(cell: Cell) -> str | int | float | None:
  """Returns a cell with all digits; None where it is not finite."""
  value = cell.value if isinstance(cell, Number) else cell
  is_missing = isinstance(value, float) and not math.isfinite(value)
  return None if is_missing else value


def _shown(cell: Cell) -> str:
  """Returns a cell as a reader sees it."""
  value = _value(cell)
  if value is None:
    return '–'
  if isinstance(cell, Number):
    return f'{cell.value:z.{cell.decimals}f}'
  return f'{value:z.4f}' if isinstance(value, float) else str(value)


def columns_of(text: str) -> int:
  """Returns the number of terminal columns; Chinese characters take two."""
  wide = sum(unicodedata.east_asian_width(c) in 'WF' for c in text)
  return len(text) + wide
