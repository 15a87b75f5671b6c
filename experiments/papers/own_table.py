"""A table of own results beside the published and the recorded ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from bigru_jax.reports.tables import Cell, table_as

from .papers import Published, Row
from .results import Record
from .tables import cost, our_score, published_score


def own_table(
  chosen: Sequence[Row],
  recorded: Mapping[str, Record],
  own: Mapping[str, Record],
  notes: Mapping[str, str],
  format: str,
) -> str:
  """Returns a line for each published score, or one for a row without any.

  Args:
    chosen: the rows.
    recorded: the results of this repository by row; a row may have none.
    own: those of the own runs.
    notes: remarks on the own results, by row.
    format: one of `tables.FORMATS`. In CSV and JSON, scores are fractions with
      a column for each number, and `row` is the row's name.
  """
  make = _numbers if format in ('csv', 'json') else _texts
  lines = []
  for row in chosen:
    mine, note = own.get(row.name), notes.get(row.name)
    for paper in row.published or [None]:
      lines.append(make(row, paper, recorded.get(row.name), mine, note))
      if make is _texts:
        note = None  # Only the first line of a row has its note.
  return table_as([list(lines[0]), *(list(x.values()) for x in lines)], format)


def _texts(
  row: Row,
  paper: Published | None,
  recorded: Record | None,
  mine: Record | None,
  note: str | None,
) -> dict[str, Cell]:
  """Returns the cells of a line in percent, by the heads of their columns."""
  own_score = our_score(mine) if mine else None
  return {
    'paper': paper.paper if paper else None,
    'row': row.heading,
    'published': published_score(paper) if paper else None,
    'recorded': our_score(recorded) if recorded else None,
    'mine': '; '.join(filter(None, (own_score, note))) or None,
    'mine minus published': _difference(mine, paper.value if paper else None),
    'mine minus recorded': _difference(
      mine, recorded['mean'] if recorded else None
    ),
    'minutes, on': cost(mine) if mine else None,
  }


def _difference(mine: Record | None, other: float | None) -> str | None:
  if mine is None or other is None:
    return None
  return f'{100 * (mine["mean"] - other):+.2f}'


def _numbers(
  row: Row,
  paper: Published | None,
  recorded: Record | None,
  mine: Record | None,
  note: str | None,
) -> dict[str, Cell]:
  """Returns the cells of a line as single values, by their columns."""

  def of(record: Record | None, key: str) -> Any:
    return record[key] if record else None

  return {
    'row': row.name,
    'metric': f'{row.split} {row.metric}',
    'paper': paper.paper if paper else None,
    'published': paper.value if paper else None,
    'published_std': paper.std if paper else None,
    'published_kind': (paper.kind or None) if paper else None,
    **{f'recorded_{key}': of(recorded, key) for key in ('mean', 'std', 'n')},
    **{f'mine_{key}': of(mine, key) for key in ('mean', 'std', 'n')},
    'minutes': of(mine, 'minutes'),
    'hardware': of(mine, 'hardware'),
    'note': note,
  }
