"""Formats tables of results as aligned text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
import unicodedata

_MAX_CLASSES = 60  # The maximum in a table; result.json has all classes.


def classification_table(report: dict[str, Any]) -> str:
  """Formats the scores by class, the averages and the confusion matrix.

  If there are many classes, only those with the lowest F1 are shown.

  Args:
    report: the result of `by_class.classification_report`.
  """
  classes = list(report['classes'].items())
  notes = ''
  if len(classes) > _MAX_CLASSES:
    occurring = [item for item in classes if item[1]['support']]
    classes = sorted(occurring, key=lambda item: item[1]['f1'])[:_MAX_CLASSES]
    notes = f'\n(the worst {len(classes)} of {len(occurring)} classes)'
  averages = [
    (name, report[name])
    for name in ('micro', 'macro', 'weighted', 'samples')
    if name in report
  ]
  rows = [
    [
      name,
      *(f'{scores[key]:.4f}' for key in ('precision', 'recall', 'f1')),
      _count(scores['support']),
    ]
    for name, scores in [*classes, *averages]
  ]
  head = ['class', 'precision', 'recall', 'F1', 'support']
  lines = aligned([head, *rows], left=1)
  lines.insert(1 + len(classes), '')
  confusion = report.get('confusion')
  if confusion and len(confusion) <= _MAX_CLASSES:
    names = list(report['classes'])
    width = 12  # A column of a confusion matrix may cut the name.
    head = ['label \\ prediction', *(name[:width] for name in names)]
    body = [[name, *map(_count, row)] for name, row in zip(names, confusion)]
    lines += ['', *aligned([head, *body], left=1)]
  return '\n'.join(lines) + notes


def _count(value: float) -> str:
  """Formats a number of texts, or a sum of their weights."""
  return f'{value:.2f}' if isinstance(value, float) else str(value)


def summary(scores: dict[str, Any]) -> str:
  """Describes the scores of a run on test in a sentence."""
  return (
    f'Accuracy {scores["accuracy"]:.4f} and macro F1 {scores["macro_f1"]:.4f} '
    f'on {scores["examples"]} test texts.'
  )


def metrics_table(metrics: dict[str, Any]) -> str:
  """Formats scalars by name, one per line."""
  rows = [
    [name, f'{value:.4f}' if isinstance(value, float) else str(value)]
    for name, value in metrics.items()
  ]
  return '\n'.join(aligned(rows, left=1))


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
  """Returns lines with aligned columns, the first `left` ones to the left."""
  widths = [max(map(columns_of, column)) for column in zip(*rows)]
  lines = []
  for row in rows:
    cells = []
    for i, (cell, width) in enumerate(zip(row, widths)):
      padding = ' ' * (width - columns_of(cell))
      cells.append(cell + padding if i < left else padding + cell)
    lines.append('  '.join(cells).rstrip())
  return lines


def markdown(rows: Sequence[Sequence[str]]) -> str:
  """Returns a Markdown table whose first row is its head."""

  def line(cells):
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'

  head, *body = rows
  return '\n'.join([line(head), line(['---'] * len(head)), *map(line, body)])


def columns_of(text: str) -> int:
  """Returns the number of terminal columns; Chinese characters take two."""
  wide = sum(unicodedata.east_asian_width(c) in 'WF' for c in text)
  return len(text) + wide
