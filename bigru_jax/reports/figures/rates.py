"""Draws ROC and precision-recall curves, with the points of the thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
import numpy as np

from bigru_jax.reports.figures.panels import SHARES, draw_mean

Curve = dict[str, Any]  # See `evaluation.curves.curve`.
# The names of the horizontal and the vertical rate, and of the area.
ROC = 'false_positive_rate', 'recall', 'roc_auc'
PRECISION_RECALL = 'recall', 'precision', 'average_precision'
_GRID = np.linspace(0, 1, 401)


def draw_rates(
  axes: Axes,
  lines: Iterable[tuple[list[Curve], dict[str, Any]]],
  rates: tuple[str, str, str],
) -> None:
  """Draws lines of rates, and the points of the thresholds.

  The line of several runs is their mean at equal horizontal rates, with a band
  from the lowest to the highest; each run has a point.

  Args:
    axes: where it is drawn.
    lines: for each line, the curves of its runs, and its style.
    rates: `ROC` or `PRECISION_RECALL`.
  """
  x, y, area = rates
  for curves, style in lines:
    name = style['label'] or curves[0]['name']
    areas = [curve[area] for curve in curves]
    text = f'{np.mean(areas):.3f}'
    if len(areas) > 1:
      text += f', {min(areas):.3f} to {max(areas):.3f}'
    style = {**style, 'label': f'{name} (area {text})'}
    if len(curves) == 1:
      axes.plot(*_points(curves[0], x, y), **style)
    else:
      values = [
        np.interp(_GRID, *_points(curve, x, y), left=np.nan) for curve in curves
      ]
      # Where a curve has not begun, there is no mean.
      draw_mean(axes, _GRID, np.array(values), style)
    for curve in curves:
      point = curve['point']
      if point[y] is not None:
        axes.plot(
          point[x], point[y], 'o', color=style['color'], mec='black', ms=6,
          clip_on=False,
        )  # fmt: skip
  words = [rate.replace('_', ' ') for rate in (x, y)]
  axes.set(xlabel=words[0], ylabel=words[1], xlim=SHARES, ylim=SHARES)


def _points(curve: Curve, x: str, y: str) -> tuple[list[float], list[float]]:
  """Returns the positions of a curve; that of ROC begins at the origin."""
  start = [0.0] if y == 'recall' else []
  return [*start, *curve[x]], [*start, *curve[y]]
