"""Draws figures of runs for a paper, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
import numpy as np

from bigru_jax.reports.rates import PRECISION_RECALL, ROC, Curve, draw_rates
from bigru_jax.reports.records import Groups, Record, learning_rates

# The colours of Okabe and Ito, which the colour-blind can distinguish; dashes
# distinguish the lines in grey.
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00')
_DASHES = ('-', '--', ':', '-.')


def draw_loss(axes: Axes, groups: Groups) -> None:
  """Draws the loss by epoch: a line per group, and the band of its seeds."""
  records = [record for group in groups.values() for record in group]
  if len(records) == 1:
    points = []
    for split, color in (('train', 'tab:gray'), ('validation', _COLORS[0])):
      points = _points(records[0], split, 'loss')
      axes.plot(*zip(*points), '.-', color=color, label=split)
    best = min(points, key=lambda point: point[1])
    axes.plot(*best, 'o', color=_COLORS[0], label='best')
  else:
    _draw_curves(axes, groups, 'loss')
  axes.set(xlabel='epoch', ylabel='cross entropy', ylim=(0, None))
  _finish(axes)


def draw_accuracy(axes: Axes, groups: Groups) -> None:
  """Draws the accuracy on validation by epoch, like `draw_loss`."""
  _draw_curves(axes, groups, 'accuracy')
  axes.set(xlabel='epoch', ylabel='validation accuracy')
  _finish(axes)


def draw_learning_rate(axes: Axes, groups: Groups) -> None:
  """Draws the learning rate by step of the first run of each group."""
  for (record, *_), style in _styled(groups):
    points = learning_rates(record.config, record.lines)
    axes.plot(*zip(*points), **style)
  axes.set(xlabel='step', ylabel='learning rate', ylim=(0, None))
  _finish(axes)


def draw_confusion(axes: Axes, groups: Groups) -> None:
  """Draws the confusion matrix on test, with counts summed over the runs.

  Raises:
    ValueError: the runs have different labels, or no confusion matrix.
  """
  labels = _labels(groups)
  reports = [_report(x) for group in groups.values() for x in group]
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


def draw_f1(axes: Axes, groups: Groups) -> None:
  """Draws F1 by class on test, averaged over seeds, with a bar per group.

  Raises:
    ValueError: the runs have different labels.
  """
  labels = _labels(groups)
  height = 0.8 / len(groups)
  for i, (records, style) in enumerate(_styled(groups)):
    reports = [_report(record)['classes'] for record in records]
    f1 = [np.mean([report[x]['f1'] for report in reports]) for x in labels]
    positions = np.arange(len(labels)) + (i - (len(groups) - 1) / 2) * height
    axes.barh(
      positions, f1, height * 0.9, color=style['color'], label=style['label']
    )
  axes.set_yticks(range(len(labels)), labels)
  axes.invert_yaxis()
  axes.set(xlabel='F1', xlim=(0, 1))
  _add_legend(axes)


def draw_reliability(axes: Axes, groups: Groups) -> None:
  """Draws the accuracy by confidence on test, over all seeds of a group."""
  axes.plot([0, 1], [0, 1], color='tab:gray', lw=0.8)
  for records, style in _styled(groups):
    sums: dict[float, np.ndarray] = {}
    for record in records:
      for x in _diagnostics(record)['reliability']:
        values = np.array([1, x['confidence'], x['accuracy']]) * x['count']
        sums[x['low']] = sums.get(x['low'], np.zeros(3)) + values
    counts, confidences, accuracies = zip(*(sums[low] for low in sorted(sums)))
    axes.plot(
      np.divide(confidences, counts), np.divide(accuracies, counts),
      marker='o', ms=4, **style,
    )  # fmt: skip
  axes.set(xlabel='probability', ylabel='accuracy', xlim=(0, 1), ylim=(0, 1))
  _add_legend(axes)


def draw_roc(axes: Axes, groups: Groups) -> None:
  """Draws ROC curves on test, with the area and the point of the threshold.

  A single run has all of its curves; of more runs, each has its first curve, of
  the positive label or of all labels together.

  Raises:
    ValueError: a run has no curve, or the runs have other positive labels.
  """
  axes.plot([0, 1], [0, 1], color='tab:gray', lw=0.8)
  draw_rates(axes, _lines(groups), ROC)
  _add_legend(axes)


def draw_precision_recall(axes: Axes, groups: Groups) -> None:
  """Draws precision by recall on test, like `draw_roc`."""
  draw_rates(axes, _lines(groups), PRECISION_RECALL)
  _add_legend(axes)


def draw_length(axes: Axes, groups: Groups) -> None:
  """Draws the accuracy by length on test, averaged over seeds."""
  for records, style in _styled(groups):
    bins = [_diagnostics(record)['by_length'] for record in records]
    middles = [(x['low'] + x['high']) / 2 for x in bins[0]]
    means = np.mean([[x['accuracy'] for x in of_run] for of_run in bins], 0)
    axes.plot(middles, means, marker='o', ms=4, **style)
  axes.set(xlabel='tokens', ylabel='accuracy', ylim=(0, 1))
  _finish(axes)


# The parts of a figure, by name.
PARTS: dict[str, Callable[..., None]] = {
  'loss': draw_loss,
  'accuracy': draw_accuracy,
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
  for records, style in _styled(groups):
    of_runs = [dict(_points(x, 'validation', metric)) for x in records]
    # Runs may stop early, so the mean is over the epochs that all runs have.
    epochs = sorted(set.intersection(*(set(x) for x in of_runs)))
    values = np.array([[x[epoch] for epoch in epochs] for x in of_runs])
    if len(records) > 1:
      seeds = f'{len(records)} seeds'
      style['label'] = ', '.join(filter(None, (style['label'], seeds)))
      band = values.min(0), values.max(0)
      axes.fill_between(epochs, *band, color=style['color'], alpha=0.2, lw=0)
    axes.plot(epochs, values.mean(0), marker='.', **style)


def _styled(groups: Groups) -> Iterator[tuple[list[Record], dict[str, Any]]]:
  """Yields the runs of each group, with the style of the group's line."""
  for i, (name, records) in enumerate(groups.items()):
    yield records, _style(i, name)


def _style(i: int, name: str) -> dict[str, Any]:
  return {
    'color': _COLORS[i % len(_COLORS)],
    'linestyle': _DASHES[i % len(_DASHES)],
    'label': name or None,
  }


def _lines(groups: Groups) -> list[tuple[list[Curve], dict[str, Any]]]:
  """Returns the curves of the runs of each line, and its style."""
  curves = [[_curves(x) for x in records] for records in groups.values()]
  first = curves[0][0]
  if sum(map(len, curves)) == 1:
    return [([x], _style(i, x['name'])) for i, x in enumerate(first)]
  if {x[0]['name'] for group in curves for x in group} != {first[0]['name']}:
    raise ValueError('parts: the runs have different positive labels')
  return [
    ([x[0] for x in group], style)
    for group, (_, style) in zip(curves, _styled(groups))
  ]


def _points(record: Record, split: str, key: str) -> list[tuple[int, float]]:
  return [(x['epoch'], x[key]) for x in record.lines if x['split'] == split]


def _labels(groups: Groups) -> list[str]:
  """Returns the labels, which all runs must share."""
  first, *rest = (x.labels for group in groups.values() for x in group)
  if any(labels != first for labels in rest):
    raise ValueError('parts: the runs have different labels')
  return first


def _report(record: Record) -> dict[str, Any]:
  if record.report is None:
    raise ValueError('parts: a run is not finished')
  return record.report


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
  _add_legend(axes)


def _add_legend(axes: Axes) -> None:
  if axes.get_legend_handles_labels()[0]:
    axes.legend(frameon=False, fontsize='small')
