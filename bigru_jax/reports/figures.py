"""Figures of runs for a paper, with matplotlib, which is the extra `plot`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import pathlib
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
import numpy as np

from bigru_jax.config import Config
from bigru_jax.reports.records import (
  learning_rates,
  read_diagnostics,
  read_metrics,
)
from bigru_jax.reports.shades import headline, shades
from bigru_jax.reports.tables import columns_of
from bigru_jax.rundir import files as run_files

# Okabe and Ito's, which the colour-blind can tell apart, and lines that differ
# in grey, too.
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00')
_DASHES = ('-', '--', ':', '-.')
_HEAT = '#0072b2'
_LINE, _LINES = 48, 12  # Columns of a heat map, and its fewest lines.


@dataclasses.dataclass(frozen=True)
class Record:
  """A run as it is drawn.

  Attributes:
    config: its configuration.
    lines: of its metrics.jsonl.
    diagnostics: of `diagnostics.diagnose`, None where it has none.
    report: by class, of its result; None where it is not finished.
    labels: the classes' names.
  """

  config: Config
  lines: list[dict[str, Any]]
  diagnostics: dict[str, Any] | None
  report: dict[str, Any] | None
  labels: list[str]


def read_record(workdir: pathlib.Path) -> Record:
  """Reads a run, which need not be finished.

  Raises:
    FileNotFoundError, ValueError: it has nothing to draw, or is corrupt.
  """
  lines = read_metrics(workdir)
  finished = (workdir / 'result.json').exists()
  report = (
    run_files.read_result(workdir).get('test_report') if finished else None
  )
  return Record(
    run_files.read_config(workdir),
    lines,
    read_diagnostics(workdir),
    report,
    run_files.read_labels(workdir),
  )


def by_seed(records: Sequence[Record]) -> dict[str, list[Record]]:
  """Runs that differ in the seed alone, by what tells them from the others.

  Raises:
    ValueError: two runs have the same seed, too.
  """
  if len({record.config for record in records}) < len(records):
    raise ValueError('workdir: two runs have the same configuration and seed')
  groups: dict[Config, list[Record]] = {}
  for record in records:
    config = dataclasses.replace(record.config, seed=0)
    groups.setdefault(config, []).append(record)
  configs = list(groups)
  told = [
    name
    for name in (field.name for field in dataclasses.fields(Config))
    if len({getattr(config, name) for config in configs}) > 1
  ]
  return {
    ', '.join(f'{name}={getattr(config, name)}' for name in told): found
    for config, found in groups.items()
  }


def draw_loss(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """The loss by epoch: a line per group, in a band from seed to seed."""
  if len(groups) == 1 and len(next(iter(groups.values()))) == 1:
    ((record,),) = groups.values()
    points = []
    for split, color in (('train', 'tab:gray'), ('validation', _COLORS[0])):
      points = _points(record, split, 'loss')
      axes.plot(*zip(*points), '.-', color=color, label=split)
    best = min(points, key=lambda point: point[1])
    axes.plot(*best, 'o', color=_COLORS[0], label='best')
  else:
    _curves(axes, groups, 'loss')
  axes.set(xlabel='epoch', ylabel='cross entropy', ylim=(0, None))
  _finish(axes)


def draw_accuracy(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """The accuracy on validation by epoch, as `draw_loss`."""
  _curves(axes, groups, 'accuracy')
  axes.set(xlabel='epoch', ylabel='validation accuracy')
  _finish(axes)


def draw_learning_rate(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """The learning rate by step, of the first run of each group."""
  for i, (name, records) in enumerate(groups.items()):
    points = learning_rates(records[0].config, records[0].lines)
    axes.plot(*zip(*points), _dash(i), color=_color(i), label=name or None)
  axes.set(xlabel='step', ylabel='learning rate', ylim=(0, None))
  _finish(axes, legend=len(groups) > 1)


def draw_confusion(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """The confusion matrix on test, its counts added over the runs.

  Raises:
    ValueError: the runs have different labels, or no confusion matrix.
  """
  records = [record for group in groups.values() for record in group]
  labels = _labels(groups)
  reports = [_report(record) for record in records]
  if not all('confusion' in report for report in reports):
    raise ValueError('parts=confusion: a run has no confusion matrix')
  counts = np.sum([report['confusion'] for report in reports], axis=0)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
  if len(labels) <= 15:
    for i, j in np.ndindex(counts.shape):
      color = 'white' if shares[i, j] > 0.5 else 'black'
      axes.text(j, i, str(counts[i, j]), ha='center', va='center', color=color)
  axes.set_xticks(range(len(labels)), labels, rotation=60, ha='right')
  axes.set_yticks(range(len(labels)), labels)
  axes.set(xlabel='prediction', ylabel='label')


def draw_f1(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """F1 by class on test, the mean over seeds, with a bar per group.

  Raises:
    ValueError: the runs have different labels.
  """
  labels = _labels(groups)
  height = 0.8 / len(groups)
  for i, (name, records) in enumerate(groups.items()):
    f1 = [
      np.mean([_report(record)['classes'][x]['f1'] for record in records])
      for x in labels
    ]
    places = np.arange(len(labels)) + (i - (len(groups) - 1) / 2) * height
    axes.barh(places, f1, height * 0.9, color=_color(i), label=name or None)
  axes.set_yticks(range(len(labels)), labels)
  axes.invert_yaxis()
  axes.set(xlabel='F1', xlim=(0, 1))
  if len(groups) > 1:
    axes.legend(frameon=False, fontsize='small')


def draw_reliability(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """Accuracy by confidence on test, over all seeds of a group."""
  axes.plot([0, 1], [0, 1], color='tab:gray', lw=0.8)
  for i, (name, records) in enumerate(groups.items()):
    sums: dict[float, np.ndarray] = {}
    for record in records:
      for x in _diagnostics(record)['reliability']:
        found = np.array([1, x['confidence'], x['accuracy']]) * x['count']
        sums[x['low']] = sums.get(x['low'], np.zeros(3)) + found
    rows = np.array([sums[low] for low in sorted(sums)])
    axes.plot(
      rows[:, 1] / rows[:, 0], rows[:, 2] / rows[:, 0], 'o' + _dash(i),
      color=_color(i), label=name or None, ms=4,
    )  # fmt: skip
  axes.set(xlabel='probability', ylabel='accuracy', xlim=(0, 1), ylim=(0, 1))
  if len(groups) > 1:
    axes.legend(frameon=False, fontsize='small')


def draw_length(axes: Axes, groups: dict[str, list[Record]]) -> None:
  """Accuracy by length on test, the mean over seeds."""
  for i, (name, records) in enumerate(groups.items()):
    bins = [_diagnostics(record)['by_length'] for record in records]
    middles = [(x['low'] + x['high']) / 2 for x in bins[0]]
    means = np.mean([[x['accuracy'] for x in of_run] for of_run in bins], 0)
    axes.plot(
      middles, means, 'o' + _dash(i), color=_color(i), label=name or None, ms=4
    )
  axes.set(xlabel='tokens', ylabel='accuracy', ylim=(0, 1))
  _finish(axes, legend=len(groups) > 1)


# What is drawn of runs, by its name.
PARTS: dict[str, Callable[..., None]] = {
  'loss': draw_loss,
  'accuracy': draw_accuracy,
  'learning_rate': draw_learning_rate,
  'confusion': draw_confusion,
  'f1': draw_f1,
  'reliability': draw_reliability,
  'length': draw_length,
}


def draw_heat_map(
  axes: Axes, text: str, answer: dict[str, Any], families: list[str]
) -> None:
  """A text, each of its tokens before a background as dark as its weight.

  Letters stand from left to right in columns of one width, or two for Chinese,
  Japanese and Korean; the page of a run renders Arabic and Hebrew correctly.
  """
  pieces, rows = _laid_out(text, answer)
  for piece, column, row, columns, shade in pieces:
    axes.add_patch(
      Rectangle((column, row), columns, 0.85, color=_HEAT, alpha=0.55 * shade,
                lw=0)
    )  # fmt: skip
    axes.text(
      column + columns / 2, row + 0.42, piece, ha='center', va='center',
      size=9, parse_math=False, family=['DejaVu Sans Mono', *families],
    )  # fmt: skip
  axes.set(xlim=(0, _LINE), ylim=(max(rows, _LINES), 0))
  axes.set_axis_off()
  axes.set_title(headline(answer), parse_math=False, family=families)


def heat_map_height(text: str, answer: dict[str, Any]) -> float:
  """The inches that a heat map needs."""
  return 0.6 + 0.2 * max(_laid_out(text, answer)[1], _LINES)


def _laid_out(text: str, answer: dict[str, Any]) -> tuple[list[tuple], int]:
  """The pieces of a heat map: text, column, row, columns, shade; and rows."""
  column, row, place, pieces = 0, 0, 0, []
  of_tokens = shades(answer) or [0.0] * len(answer['spans'])
  for (start, end), shade in zip(answer['spans'], of_tokens):
    column += bool(column and text[place:start])
    place = end
    for at in range(start, end, _LINE // 2):
      piece = text[at : min(end, at + _LINE // 2)]
      columns = columns_of(piece)
      if column + columns > _LINE:
        column, row = 0, row + 1
      pieces.append((piece, column, row, columns, shade))
      column += columns
  return pieces, row + 1


def _curves(axes: Axes, groups: dict[str, list[Record]], metric: str) -> None:
  for i, (name, records) in enumerate(groups.items()):
    of_runs = [dict(_points(x, 'validation', metric)) for x in records]
    # Runs stop early, so the mean is over the epochs that all have.
    epochs = sorted(set.intersection(*(set(x) for x in of_runs)))
    values = np.array([[x[epoch] for epoch in epochs] for x in of_runs])
    seeds = f'{len(records)} seeds' if len(records) > 1 else ''
    label = ', '.join(filter(None, (name, seeds)))
    axes.plot(
      epochs, values.mean(0), '.' + _dash(i), color=_color(i), label=label
    )
    if len(records) > 1:
      axes.fill_between(
        epochs, values.min(0), values.max(0), color=_color(i), alpha=0.2, lw=0
      )


def _points(record: Record, split: str, key: str) -> list[tuple[int, float]]:
  return [(x['epoch'], x[key]) for x in record.lines if x['split'] == split]


def _labels(groups: dict[str, list[Record]]) -> list[str]:
  """The labels that all runs have."""
  found = [record.labels for group in groups.values() for record in group]
  if any(labels != found[0] for labels in found):
    raise ValueError('parts: the runs have different labels')
  return found[0]


def _report(record: Record) -> dict[str, Any]:
  if record.report is None:
    raise ValueError('parts: a run is not finished')
  return record.report


def _diagnostics(record: Record) -> dict[str, Any]:
  if record.diagnostics is None:
    raise ValueError('parts: a run has no diagnostics.json')
  return record.diagnostics


def _finish(axes: Axes, legend: bool = True) -> None:
  axes.xaxis.set_major_locator(MaxNLocator(integer=True))
  if legend and axes.get_legend_handles_labels()[0]:
    axes.legend(frameon=False, fontsize='small')


def _color(i: int) -> str:
  return _COLORS[i % len(_COLORS)]


def _dash(i: int) -> str:
  return _DASHES[i % len(_DASHES)]
