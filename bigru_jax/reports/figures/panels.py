"""Panels of a figure: their sizes, spreads over seeds, legends and names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
import os
import textwrap
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np

from bigru_jax.reports.figures.fonts import save
from bigru_jax.reports.records import Groups, Record

# The colours of Okabe and Ito, which the colour-blind can distinguish; dashes
# distinguish the lines in grey.
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00')
_DASHES = ('-', '--', ':', '-.')
WIDTH, HEIGHT = 4.5, 3.2  # Inches, of a panel of curves.
SHARES = (-0.02, 1.02)  # The limits of an axis, which cut no mark at 0 or 1.
_BORDER = 0.8  # Inches of a panel beside its axes.
_NAME = 24  # The maximal length of a name at an axis.
_LEGEND = 50  # The maximal length of a line of a legend.


class Panel(NamedTuple):
  """A panel: how it is drawn, and its size without a legend in inches."""

  draw: Callable[[Axes], None]
  width: float = WIDTH
  height: float = HEIGHT


def write_panels(
  panels: Sequence[Panel], output: str | os.PathLike, families: Sequence[str]
) -> None:
  """Draws panels side by side into a file, in these families of fonts."""
  widths = [panel.width for panel in panels]
  with matplotlib.rc_context({'font.family': list(families)}):
    figure = Figure(layout='constrained')
    # Each is laid out by itself, whatever the others have around their axes.
    parts = figure.subfigures(
      1, len(panels), squeeze=False, width_ratios=widths
    )
    all_axes = [part.subplots() for part in parts[0]]
    heights = []
    for axes, panel in zip(all_axes, panels):
      panel.draw(axes)
      heights.append(panel.height + _legend_height(axes))
    figure.set_size_inches(sum(widths), max(heights))
    for axes, panel in zip(all_axes, panels):
      if panel.height < max(heights) - 1:  # Beside a higher panel.
        axes.set_box_aspect((panel.height - _BORDER) / (panel.width - _BORDER))
        axes.set_anchor('N')
    save(figure, output)


def draw_mean(
  axes: Axes, x: Any, values_RxN: np.ndarray, style: dict[str, Any]
) -> None:
  """Draws the mean of runs as a line, and a band from the lowest to highest."""
  if len(values_RxN) > 1:
    band = values_RxN.min(0), values_RxN.max(0)
    axes.fill_between(x, *band, color=style['color'], alpha=0.2, lw=0)
  axes.plot(x, values_RxN.mean(0), **style)


def range_bars(values_RxN: np.ndarray, mean_N: np.ndarray) -> np.ndarray | None:
  """Returns the distances of the lowest and the highest run from the mean.

  Args:
    values_RxN: the values of R runs; NaN where a run has none.
    mean_N: their mean.

  Returns:
    The distances [2, N], as `Axes.errorbar` takes them; None for one run.
  """
  if len(values_RxN) < 2:
    return None
  low_N, high_N = np.nanmin(values_RxN, 0), np.nanmax(values_RxN, 0)
  # The mean of equal values may be above them by a rounding.
  return np.maximum([mean_N - low_N, high_N - mean_N], 0)


def styled(groups: Groups) -> Iterator[tuple[list[Record], dict[str, Any]]]:
  """Yields the runs of each group, with the style of the group's line."""
  for i, (name, records) in enumerate(groups.items()):
    yield records, style_of(i, _of_seeds(name, len(records)))


def style_of(i: int, name: str) -> dict[str, Any]:
  """Returns the style of the line of group i."""
  return {
    'color': COLORS[i % len(COLORS)],
    'linestyle': _DASHES[i % len(_DASHES)],
    'label': name or None,
  }


def _of_seeds(name: str, num_seeds: int) -> str:
  """Returns the name of a group in a legend, with its number of seeds."""
  seeds = f'mean and range of {num_seeds} seeds' if num_seeds > 1 else ''
  return ', '.join(filter(None, (name, seeds)))


def short(name: str) -> str:
  """Returns a name for an axis, which a long one does not squeeze."""
  return name if len(name) <= _NAME else f'{name[: _NAME - 1]}…'


def add_legend(axes: Axes) -> None:
  """Adds a legend above the axes, where it covers nothing that is drawn."""
  handles, labels = axes.get_legend_handles_labels()
  if handles:
    # A dollar sign in a name does not begin a formula.
    wrapped = [textwrap.fill(x.replace('$', r'\$'), _LEGEND) for x in labels]
    axes.legend(
      handles, wrapped, frameon=False, fontsize='small', loc='lower left',
      bbox_to_anchor=(0, 1), borderaxespad=0.2,
    )  # fmt: skip


def _legend_height(axes: Axes) -> float:
  """Returns the height of the axes' legend in inches."""
  legend = axes.get_legend()
  lines = [x.get_text() for x in legend.get_texts()] if legend else []
  return 0.17 * sum(1 + line.count('\n') for line in lines)
