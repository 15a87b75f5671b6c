"""The tables of an evaluation: scores by class, confusion matrix, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bigru_jax.reports.tables import Cell, Number, Rows, tables_as

# What a reader sees; CSV and JSON, like result.json, have all classes.
_MAX_CLASSES = 60
_NAME_COLUMNS = 12  # A column of a confusion matrix may cut the name.
_AVERAGES = ('micro', 'macro', 'weighted', 'samples')


def evaluation_as(
  report: dict[str, Any], metrics: Mapping[str, Any], format: str = 'text'
) -> str:
  """Returns the scores by class, the averages, the confusion and the metrics.

  If there are many classes, a reader sees only those with the lowest F1.

  Args:
    report: the result of `by_class.classification_report`.
    metrics: scalars by name.
    format: one of `tables.FORMATS`. CSV and JSON have four tables: classes,
      averages, confusion (if there is one) and metrics.
  """
  if format in ('csv', 'json'):
    return tables_as(_for_programs(report, metrics), format)
  tables: dict[str, Rows] = {'classes': _class_rows(report)}
  confusion = report.get('confusion')
  if confusion and len(confusion) <= _MAX_CLASSES:
    columns = _NAME_COLUMNS if format == 'text' else None
    tables['confusion'] = _confusion_rows(report, columns)
  head = [] if format == 'text' else [('metric', 'value')]
  tables['metrics'] = [*head, *metrics.items()]
  return tables_as(tables, format)


def _for_programs(
  report: dict[str, Any], metrics: Mapping[str, Any]
) -> dict[str, Rows]:
  def rows(name: str, scores: Mapping[str, dict[str, Any]]) -> Rows:
    keys = list(next(iter(scores.values())))
    return [[name, *keys], *([x, *scores[x].values()] for x in scores)]

  averages = {name: report[name] for name in _AVERAGES if name in report}
  tables = {
    'classes': rows('class', report['classes']),
    'averages': rows('average', averages),
  }
  if 'confusion' in report:
    tables['confusion'] = _confusion_rows(report)
  return {**tables, 'metrics': [list(metrics), list(metrics.values())]}


def _class_rows(report: dict[str, Any]) -> Rows:
  """Returns the rows of the classes and, after an empty row, the averages."""
  classes = list(report['classes'].items())
  head = 'class'
  if len(classes) > _MAX_CLASSES:
    occurring = [item for item in classes if item[1]['support']]
    classes = sorted(occurring, key=lambda item: item[1]['f1'])[:_MAX_CLASSES]
    head = f'the worst {len(classes)} of {len(occurring)} classes'
  averages = [(name, report[name]) for name in _AVERAGES if name in report]
  keys = ('precision', 'recall', 'f1')

  def row(name: str, scores: dict[str, Any]) -> Sequence[Cell]:
    return [name, *(scores[key] for key in keys), _count(scores['support'])]

  return [
    [head, 'precision', 'recall', 'F1', 'support'],
    *(row(*item) for item in classes),
    [],
    *(row(*item) for item in averages),
  ]


def _confusion_rows(report: dict[str, Any], columns: int | None = None) -> Rows:
  """Returns a row for each label, and a column for each prediction.

  Args:
    report: the result of `by_class.classification_report`.
    columns: the maximal length of a name in the head; None for no maximum.
  """
  names = list(report['classes'])
  return [
    ['label \\ prediction', *(name[:columns] for name in names)],
    *(
      [name, *map(_count, row)] for name, row in zip(names, report['confusion'])
    ),
  ]


def _count(value: float) -> Cell:
  """Returns a number of texts, or a sum of their weights."""
  return Number(value, 2) if isinstance(value, float) else value
