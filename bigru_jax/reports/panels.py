"""The parts of a panel of a figure: spreads over seeds, legends, names."""

from __future__ import annotations

from collections.abc import Iterator
import textwrap
from typing import Any

from matplotlib.axes import Axes
import numpy as np

from bigru_jax.reports.records import Groups, Record

# The colours of Okabe and Ito, which the colour-blind can distinguish; dashes
# distinguish the lines in grey.
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00')
_DASHES = ('-', '--', ':', '-.')
WIDTH, HEIGHT = 4.5, 3.2  # Inches, of a panel of curves.
SHARES = (-0.02, 1.02)  # The limits of an axis, which cut no mark at 0 or 1.
_NAME = 24  # The maximal length of a name at an axis.
_LEGEND = 56  # The maximal length of a line of a legend.


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
  seeds = f'{num_seeds} seeds (mean and range)' if num_seeds > 1 else ''
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


def legend_height(axes: Axes) -> float:
  """Returns the height of the axes' legend in inches."""
  legend = axes.get_legend()
  lines = [x.get_text() for x in legend.get_texts()] if legend else []
  return 0.17 * sum(1 + line.count('\n') for line in lines)
