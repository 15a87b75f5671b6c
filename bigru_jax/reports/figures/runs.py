"""Draws figures of runs for a paper, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
import numpy as np

from bigru_jax.reports.figures.classes import (
  confusion_size,
  draw_confusion,
  draw_f1,
  f1_size,
)
from bigru_jax.reports.figures.panels import (
  COLORS,
  HEIGHT,
  SHARES,
  WIDTH,
  Panel,
  add_legend,
  draw_mean,
  range_bars,
  style_of,
  styled,
)
from bigru_jax.reports.figures.rates import (
  PRECISION_RECALL,
  ROC,
  Curve,
  draw_rates,
)
from bigru_jax.reports.records import Groups, Record, learning_rates


def draw_loss(axes: Axes, groups: Groups) -> None:
  """Draws the loss by epoch: a line per group, and the band of its seeds."""
  records = [record for group in groups.values() for record in group]
  if len(records) == 1:
    points = []
    for split, color in (('train', 'tab:gray'), ('validation', COLORS[0])):
      points = _points(records[0], split, 'loss')
      axes.plot(*zip(*points), '.-', color=color, label=split)
    best = min(points, key=lambda point: point[1])
    axes.plot(*best, 'o', color=COLORS[0], label='best')
  else:
    _draw_curves(axes, groups, 'loss')
  axes.set(xlabel='epoch', ylabel='cross entropy')
  axes.set_ylim(0, 1.05 * axes.dataLim.ymax)
  _finish(axes)


def draw_accuracy(axes: Axes, groups: Groups) -> None:
  """Draws the accuracy on validation by epoch, like `draw_loss`."""
  _draw_curves(axes, groups, 'accuracy')
  axes.set(xlabel='epoch', ylabel='validation accuracy')
  _finish(axes)


def draw_perplexity(axes: Axes, groups: Groups) -> None:
  """Draws the perplexity on validation by epoch, like `draw_loss`."""
  _draw_curves(axes, groups, 'perplexity')
  axes.set(xlabel='epoch', ylabel='validation perplexity')
  _finish(axes)


def draw_learning_rate(axes: Axes, groups: Groups) -> None:
  """Draws the learning rate by step of the first run of each group."""
  for (record, *_), style in styled(groups):
    points = learning_rates(record.config, record.lines)
    axes.plot(*zip(*points), **style)
  axes.set(xlabel='step', ylabel='learning rate')
  axes.set_ylim(0, 1.05 * axes.dataLim.ymax)
  _finish(axes)


def draw_reliability(axes: Axes, groups: Groups) -> None:
  """Draws the accuracy by confidence on test, over all seeds of a group.

  A vertical line goes from the lowest to the highest seed that has texts of
  this confidence.
  """
  axes.plot([0, 1], [0, 1], color='tab:gray', lw=0.8)
  for records, style in styled(groups):
    of_runs = [
      {bar['low']: bar for bar in _diagnostics(record)['reliability']}
      for record in records
    ]
    lows = sorted(set().union(*of_runs))
    missing = {'count': 0, 'confidence': np.nan, 'accuracy': np.nan}
    counts_RxB, confidences_RxB, accuracies_RxB = (
      np.array([[bars.get(x, missing)[key] for x in lows] for bars in of_runs])
      for key in missing
    )
    shares_RxB = counts_RxB / counts_RxB.sum(0)
    mean_B = np.nansum(shares_RxB * accuracies_RxB, 0)
    axes.errorbar(
      np.nansum(shares_RxB * confidences_RxB, 0), mean_B,
      yerr=range_bars(accuracies_RxB, mean_B), marker='o', ms=4, capsize=2,
      **style,
    )  # fmt: skip
  axes.set(xlabel='probability', ylabel='accuracy', xlim=SHARES, ylim=SHARES)
  add_legend(axes)


def draw_roc(axes: Axes, groups: Groups) -> None:
  """Draws ROC curves on test, with the area and the point of the threshold.

  A single run has all of its curves; of more runs, each has its first curve, of
  the positive label or of all labels together.

  Raises:
    ValueError: a run has no curve, or the runs have other positive labels.
  """
  axes.plot([0, 1], [0, 1], color='tab:gray', lw=0.8)
  draw_rates(axes, _lines(groups), ROC)
  add_legend(axes)


def draw_precision_recall(axes: Axes, groups: Groups) -> None:
  """Draws precision by recall on test, like `draw_roc`."""
  draw_rates(axes, _lines(groups), PRECISION_RECALL)
  add_legend(axes)


def draw_length(axes: Axes, groups: Groups) -> None:
  """Draws the accuracy by length on test, averaged over seeds.

  A vertical line goes from the lowest to the highest seed.
  """
  for records, style in styled(groups):
    bins = [_diagnostics(record)['by_length'] for record in records]
    middles = [(x['low'] + x['high']) / 2 for x in bins[0]]
    values_RxB = np.array([[x['accuracy'] for x in of_run] for of_run in bins])
    mean_B = values_RxB.mean(0)
    axes.errorbar(
      middles, mean_B, yerr=range_bars(values_RxB, mean_B), marker='o', ms=4,
      capsize=2, **style,
    )  # fmt: skip
  axes.set(xlabel='tokens', ylabel='accuracy', ylim=SHARES)
  _finish(axes)


def panel_of(part: str, groups: Groups) -> Panel:
  """Returns the panel of one of the `PARTS`."""
  draw = functools.partial(PARTS[part], groups=groups)
  size = _SIZES[part](groups) if part in _SIZES else (WIDTH, HEIGHT)
  return Panel(draw, *size)


# The sizes of panels that grow with the number of classes.
_SIZES = {'confusion': confusion_size, 'f1': f1_size}
# The parts of a figure, by name.
PARTS: dict[str, Callable[..., None]] = {
  'loss': draw_loss,
  'accuracy': draw_accuracy,
  'perplexity': draw_perplexity,
  'learning_rate': draw_learning_rate,
  'confusion': draw_confusion,
  'f1': draw_f1,
  'reliability': draw_reliability,
  'roc': draw_roc,
  'precision_recall': draw_precision_recall,
  'length': draw_length,
}


def _draw_curves(axes: Axes, groups: Groups, metric: str) -> None:
  """Draws a metric on validation by epoch, like `draw_loss`."""
  for records, style in styled(groups):
    of_runs = [dict(_points(x, 'validation', metric)) for x in records]
    # Runs may stop early, so the mean is over the epochs that all runs have.
    epochs = sorted(set.intersection(*(set(x) for x in of_runs)))
    values = np.array([[x[epoch] for epoch in epochs] for x in of_runs])
    draw_mean(axes, epochs, values, {'marker': '.', **style})


def _lines(groups: Groups) -> list[tuple[list[Curve], dict[str, Any]]]:
  """Returns the curves of the runs of each line, and its style."""
  curves = [[_curves(x) for x in records] for records in groups.values()]
  first = curves[0][0]
  if sum(map(len, curves)) == 1:
    return [([x], style_of(i, x['name'])) for i, x in enumerate(first)]
  if {x[0]['name'] for group in curves for x in group} != {first[0]['name']}:
    raise ValueError('parts: the runs have different positive labels')
  return [
    ([x[0] for x in group], style)
    for group, (_, style) in zip(curves, styled(groups))
  ]


def _points(record: Record, split: str, key: str) -> list[tuple[int, float]]:
  lines = [line for line in record.lines if line['split'] == split]
  if any(key not in line for line in lines):
    raise ValueError(f'parts: a run of task={record.config.task} has no {key}')
  return [(line['epoch'], line[key]) for line in lines]


def _diagnostics(record: Record) -> dict[str, Any]:
  if record.diagnostics is None:
    raise ValueError('parts: a run has no diagnostics.json')
  return record.diagnostics


def _curves(record: Record) -> list[Curve]:
  curves = _diagnostics(record).get('curves')
  if curves is None:
    raise ValueError('parts: a run of an older version has no curves')
  if not curves:
    raise ValueError('parts: only two classes or several labels have curves')
  return curves


def _finish(axes: Axes) -> None:
  """Gives the horizontal axis integer ticks, and adds a legend."""
  axes.xaxis.set_major_locator(MaxNLocator(integer=True))
  add_legend(axes)
