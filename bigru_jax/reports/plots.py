"""Plots results with matplotlib (the extra `plot`)."""

from __future__ import annotations

import os

from matplotlib.figure import Figure
import numpy as np

from bigru_jax.reports.comparison import Comparison

_SPLITS = (
  ('validation', 'tab:gray', 's', -0.15),
  ('test', 'tab:blue', 'D', 0.15),
)


def save_comparison(comparison: Comparison, path: str | os.PathLike) -> None:
  """Draws each run, and each setting's mean with its 95 % interval."""
  settings = comparison.settings
  figure = Figure(figsize=(7, 1.2 + 0.45 * len(settings)), layout='constrained')
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
      xerr=[0.0 if x.n == 1 else x.high - x.mean for x in summaries],
      fmt=marker, color=color, capsize=3, ms=5, label=split,
    )  # fmt: skip
  axes.set_yticks(range(len(settings)), list(settings), parse_math=False)
  axes.invert_yaxis()
  axes.set_xlabel(f'{comparison.metric}: runs, means and 95 % intervals')
  axes.legend(frameon=False)
  figure.savefig(path, dpi=110)
