"""Plots of results, with matplotlib, which is the extra `plot`."""

from __future__ import annotations

import os

from matplotlib.figure import Figure
import numpy as np

from bigru_jax.reports.comparison import Comparison

_SPLITS = (('validation', 'tab:gray', -0.15), ('test', 'tab:blue', 0.15))


def save_comparison(comparison: Comparison, path: str | os.PathLike) -> None:
  """Draws each run, and each setting's mean with its 95 % interval."""
  names = list(comparison.cells)
  figure = Figure(figsize=(7, 1.2 + 0.45 * len(names)), layout='constrained')
  axes = figure.subplots()
  for split, color, shift in _SPLITS:
    for place, name in enumerate(names):
      cells = comparison.cells[name]
      values = [getattr(cell, split)[comparison.metric] for cell in cells]
      summary = getattr(comparison, split)[name]
      heights = np.full(len(values), place + shift)
      axes.plot(values, heights, 'o', color=color, alpha=0.3, ms=4)
      half = 0.0 if summary.n == 1 else summary.high - summary.mean
      axes.errorbar(
        summary.mean,
        place + shift,
        xerr=half,
        fmt='D' if split == 'test' else 's',
        color=color,
        capsize=3,
        ms=5,
        label=split if not place else None,
      )
  axes.set_yticks(range(len(names)), names, parse_math=False)
  axes.invert_yaxis()
  axes.set_xlabel(f'{comparison.metric}: runs, means and 95 % intervals')
  axes.legend(frameon=False)
  figure.savefig(path, dpi=110)
