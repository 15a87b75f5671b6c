"""Draws texts with shaded tokens, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
import os
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bigru_jax.reports.figures.fonts import font_families, save
from bigru_jax.reports.shades import BLANK, LEAST, headline, reading, shades
from bigru_jax.reports.tables import columns_of

# The blue and orange of Okabe and Ito, which the colour-blind can distinguish.
# Black letters keep a contrast of at least 9 to 1.
_FOR, _AGAINST = '#0072b2', '#d55e00'
_ALPHA = 0.55
MIN_LINES = 12  # So that a short text has a panel as tall as a curve's.
_LINE = 48  # The columns of a line.
_WIDTH = 5.0  # Inches.


def draw_heat_map(
  axes: Axes,
  text: str,
  answer: dict[str, Any],
  families: list[str],
  min_lines: int = MIN_LINES,
) -> None:
  """Draws a text with the background of each token as dark as its weight.

  A token with a negative weight has another hue, and is underlined. Letters are
  drawn from left to right in one column each, or in two for Chinese, Japanese
  and Korean. Arabic and Hebrew need the page of a run.

  Args:
    axes: where to draw.
    text: the text.
    answer: its prediction, from `Run.predict` or `Run.explain`.
    families: see `fonts.font_families`.
    min_lines: the number of lines below which panels are as tall.
  """
  pieces, rows = _laid_out(text, answer)
  for piece, column, row, columns, shade in pieces:
    color = _FOR if shade >= 0 else _AGAINST
    axes.add_patch(
      Rectangle((column, row), columns, 0.85, color=color,
                alpha=_ALPHA * abs(shade), lw=0)
    )  # fmt: skip
    if shade <= -LEAST:
      axes.plot([column, column + columns], [row + 0.85] * 2, color=color, lw=1)
    axes.text(
      column + columns / 2, row + 0.42, piece, ha='center', va='center',
      size=9, parse_math=False, family=['DejaVu Sans Mono', *families],
    )  # fmt: skip
  axes.set(xlim=(0, _LINE), ylim=(max(rows, min_lines), 0))
  axes.set_axis_off()
  title = '\n'.join(_title_lines(answer))
  axes.set_title(title, size=9, parse_math=False, family=families)


def heat_map_height(
  text: str, answer: dict[str, Any], min_lines: int = MIN_LINES
) -> float:
  """Returns the height of a heat map in inches."""
  lines = max(_laid_out(text, answer)[1], min_lines)
  return 0.3 + 0.2 * (lines + len(_title_lines(answer)))


def write_heat_maps(
  output: str | os.PathLike,
  texts: Sequence[str],
  answers: Sequence[dict[str, Any]],
) -> None:
  """Draws the heat maps of texts, one below the other, into a file.

  Args:
    output: a .png, .svg or .pdf file.
    texts, answers: see `draw_heat_map`.
  """
  labels = [label for x in answers for label in x['probabilities']]
  families = font_families([*texts, *labels])
  heights = [heat_map_height(*pair, 2) for pair in zip(texts, answers)]
  figure = Figure(figsize=(_WIDTH, sum(heights)), layout='constrained')
  panels = figure.subplots(len(texts), squeeze=False, height_ratios=heights)[
    :, 0
  ]
  for axes, text, answer in zip(panels, texts, answers):
    draw_heat_map(axes, text, answer, families, 2)
  save(figure, output)


def _title_lines(answer: dict[str, Any]) -> list[str]:
  """Returns the prediction and how to read the shades, in lines that fit."""
  how = reading(answer, 'blue', 'underlined orange')
  return [y for x in (headline(answer), how) for y in textwrap.wrap(x, 60)]


def _laid_out(text: str, answer: dict[str, Any]) -> tuple[list[tuple], int]:
  """Returns pieces (text, column, row, columns, shade), and the row count."""
  column, row, last_end, pieces = 0, 0, 0, []
  shades_T = shades(answer) or [0.0] * len(answer['spans'])
  for (start, end), shade in zip(answer['spans'], shades_T):
    column += bool(column and text[last_end:start])
    last_end = end
    for i in range(start, end, _LINE // 2):
      piece = text[i : min(end, i + _LINE // 2)]
      columns = columns_of(piece)
      if column + columns > _LINE:
        column, row = 0, row + 1
      pieces.append((piece, column, row, columns, shade))
      column += columns
  if not text.strip():
    pieces = [(BLANK, 0, 0, columns_of(BLANK), 0.0)]
  return pieces, row + 1
