"""Plots the comparison of a sweep with matplotlib (the extra `plot`)."""

from __future__ import annotations

import os

from matplotlib.figure import Figure
import numpy as np

from bigru_jax.reports.comparison.settings import Comparison
from bigru_jax.reports.figures.fonts import font_families, save
from bigru_jax.reports.figures.panels import add_legend
from bigru_jax.reports.tables import columns_of

_SPLITS = (
  ('validation', 'tab:gray', 's', -0.15),
  ('test', 'tab:blue', 'D', 0.15),
)
_INCHES = 0.085  # A letter of a setting's name.


def save_comparison(comparison: Comparison, path: str | os.PathLike) -> None:
  """Draws each run, and each setting's mean with its 95 % interval."""
  settings = comparison.settings
  longest = max(map(columns_of, settings))
  size = 5 + _INCHES * longest, 1.5 + 0.45 * len(settings)
  figure = Figure(figsize=size, layout='constrained')
  axes = figure.subplots()
  for split, color, marker, shift in _SPLITS:
    heights = np.arange(len(settings)) + shift
    for height, setting in zip(heights, settings.values()):
      values = [getattr(run, split)[comparison.metric] for run in setting.runs]
      axes.plot(
        values, [height] * len(values), 'o', color=color, alpha=0.3, ms=4
      )
    summaries = [getattr(setting, split) for setting in settings.values()]
    axes.errorbar(
      [x.mean for x in summaries], heights,
      # A single run has no ends: they are NaN. An end at the metric's bound is
      # nearer to the mean than the other.
      xerr=[[x.mean - x.low for x in summaries],
            [x.high - x.mean for x in summaries]],
      fmt=marker, color=color, capsize=3, ms=5, label=split,
    )  # fmt: skip
  axes.set_yticks(
    range(len(settings)), list(settings), parse_math=False,
    family=font_families(settings),
  )  # fmt: skip
  axes.set_ylim(len(settings) - 0.5, -0.5)
  axes.set_xlabel(f'{comparison.metric}: runs, means and 95 % intervals')
  add_legend(axes)
  save(figure, path)
