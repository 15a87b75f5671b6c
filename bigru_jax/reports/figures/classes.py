"""Draws the scores by class of runs, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
import numpy as np

from bigru_jax.reports.figures.panels import (
  HEIGHT,
  SHARES,
  WIDTH,
  add_legend,
  range_bars,
  short,
  styled,
)
from bigru_jax.reports.records import Groups, labels_of, report_of
from bigru_jax.reports.tables import columns_of

_MAX_COUNTED = 15  # The classes of a confusion matrix that shows its counts.
_MAX_BARS = 60  # The classes whose F1 is drawn.


def draw_confusion(axes: Axes, groups: Groups) -> None:
  """Draws the confusion matrix on test, with counts summed over the runs.

  Raises:
    ValueError: the runs have different labels, or no confusion matrix.
  """
  labels = labels_of(groups)
  reports = [report_of(x) for group in groups.values() for x in group]
  if not all('confusion' in report for report in reports):
    raise ValueError('parts=confusion: a run has no confusion matrix')
  counts = np.sum([report['confusion'] for report in reports], axis=0)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
  if len(labels) <= _MAX_COUNTED:
    for i, j in np.ndindex(counts.shape):
      color = 'white' if shares[i, j] > 0.5 else 'black'
      axes.text(
        j, i, f'{counts[i, j]:.6g}', ha='center', va='center', color=color,
        size='small',
      )  # fmt: skip
  names = [short(label) for label in labels]
  size = 'medium' if len(labels) <= _MAX_COUNTED else 'x-small'
  style: dict[str, Any] = {'parse_math': False, 'size': size}
  axes.set_xticks(
    range(len(labels)), names, rotation=60, ha='right',
    rotation_mode='anchor', **style,
  )  # fmt: skip
  axes.set_yticks(range(len(labels)), names, **style)
  axes.set(xlabel='prediction', ylabel='label')
  if len(reports) > 1:
    axes.set_title(f'the sum of {len(reports)} runs', size='medium')


def draw_f1(axes: Axes, groups: Groups) -> None:
  """Draws F1 by class on test, averaged over seeds, with a bar per group.

  A line at the end of a bar goes from the lowest to the highest seed. Of many
  classes, those with the lowest F1 are drawn.

  Raises:
    ValueError: the runs have different labels.
  """
  labels = labels_of(groups)
  # Of a group and a class, [R] runs.
  f1 = [
    np.array(
      [[report_of(x)['classes'][y]['f1'] for y in labels] for x in records]
    )
    for records in groups.values()
  ]
  means_C = np.mean([values_RxC.mean(0) for values_RxC in f1], 0)
  drawn = np.sort(np.argsort(means_C, kind='stable')[:_MAX_BARS])
  height = 0.8 / len(groups)
  for i, (_, style) in enumerate(styled(groups)):
    positions = np.arange(len(drawn)) + (i - (len(groups) - 1) / 2) * height
    values_RxC = f1[i][:, drawn]
    mean_C = values_RxC.mean(0)
    axes.barh(
      positions, mean_C, height * 0.9, xerr=range_bars(values_RxC, mean_C),
      capsize=2, color=style['color'], label=style['label'],
      error_kw={'lw': 1},
    )  # fmt: skip
  names = [short(labels[c]) for c in drawn]
  axes.set_yticks(range(len(drawn)), names, parse_math=False)
  axes.set(xlabel='F1', xlim=(0, SHARES[1]), ylim=(len(drawn) - 0.5, -0.5))
  if len(drawn) < len(labels):
    axes.set_ylabel(f'the worst {len(drawn)} of {len(labels)} classes')
  add_legend(axes)


def confusion_size(groups: Groups) -> tuple[float, float]:
  """Returns the width and the height of a confusion matrix, in inches."""
  labels = labels_of(groups)
  cell = 0.5 if len(labels) <= _MAX_COUNTED else 0.16
  side = 1.0 + 0.09 * _longest(labels) + cell * len(labels)
  return max(HEIGHT, side), max(HEIGHT, side)


def f1_size(groups: Groups) -> tuple[float, float]:
  """Returns the width and the height of a panel of F1, in inches."""
  labels = labels_of(groups)
  bars = max(0.2, 0.12 * len(groups)) * min(len(labels), _MAX_BARS)
  return WIDTH + 0.05 * _longest(labels), max(HEIGHT, 0.8 + bars)


def _longest(labels: list[str]) -> int:
  """Returns the length of the longest name at an axis."""
  return max(columns_of(short(label)) for label in labels)
