"""Draws the curves and scores of runs, and their attention on texts.

  bigru plot --workdir=RUN --text="A gentle, funny film."
  bigru plot --workdir=RUN --workdir=OTHER \\
      --parts=loss,accuracy,f1,reliability --output=runs.svg

Runs that differ only in their seed are drawn as their mean, with a band or a
line from the lowest to the highest. The output is a .png, .svg or .pdf file.
The command needs matplotlib, the extra `plot`. Characters that matplotlib's
default font lacks are drawn in an installed font that has them.
"""

import functools
import itertools
import pathlib
import textwrap
from typing import Any

from matplotlib.axes import Axes
import numpy as np

import bigru_jax
from bigru_jax.cli import outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.reports import records
from bigru_jax.reports.figures import runs as figures
from bigru_jax.reports.figures.fonts import font_families
from bigru_jax.reports.figures.heat_map import draw_heat_map, heat_map_height
from bigru_jax.reports.figures.panels import (
  HEIGHT,
  WIDTH,
  Panel,
  short,
  write_panels,
)
from bigru_jax.reports.shades import headline
from bigru_jax.reports.tables import columns_of
from bigru_jax.rundir import files as run_files, published

FLAGS = Flags()
_WORKDIR = FLAGS.multi_string(
  'workdir', 'The run directory; repeat the flag to draw more runs.'
)
_CHOICES = (*figures.PARTS, 'attention', 'heatmap')
_PARTS = FLAGS.list(
  'parts',
  f'The panels to draw: {", ".join(_CHOICES)}; the last two have one panel for '
  'each text.',
  ['loss', 'attention'],
)
_TEXT = FLAGS.multi_string('text', 'A text to draw; the flag may be repeated.')
_OUTPUT = FLAGS.path(
  'output',
  'The image file; an existing file is overwritten only if this flag names it.',
  'run.png',
)
_BORDER, _TOKEN = 1.0, 0.22  # Inches beside the axes, and of a token.


def plot_attention(axes: Axes, prediction: dict[str, Any]) -> None:
  """Plots each token's weight, with one bar for each attention head."""
  tokens = prediction['tokens']
  names = prediction.get('attention_labels', prediction.get('attention_heads'))
  heads_KxT = np.array(prediction['attention'].get('words', []))
  width = 0.8 / max(len(heads_KxT), 1)
  for head, weights_T in enumerate(heads_KxT):
    offset = (head - (len(heads_KxT) - 1) / 2) * width
    axes.bar(
      np.arange(len(tokens)) + offset,
      weights_T,
      width,
      color=f'C{(head + 1) % 10}',
      label=names[head] if names else None,
    )
  if names:
    # Beside the bars, which it would cover.
    axes.legend(
      frameon=False, fontsize='x-small', loc='center left',
      bbox_to_anchor=(1, 0.5),
    )  # fmt: skip
  # A dollar sign in a text does not begin a formula.
  axes.set_xticks(
    range(len(tokens)), list(map(short, tokens)), rotation=60, ha='right',
    rotation_mode='anchor', parse_math=False,
  )  # fmt: skip
  axes.set_xlim(-0.6, len(tokens) - 0.4)
  title = textwrap.fill(headline(prediction), 50)
  axes.set_title(title, parse_math=False)
  axes.set_ylabel('attention')


def panels_of(
  workdirs: list[pathlib.Path], texts: list[str], parts: list[str]
) -> tuple[list[Panel], list[str]]:
  """Returns the panels, and the families of fonts that have their letters."""
  panels: list[Panel] = []
  strings: set[str] = set()
  of_runs = [part for part in parts if part in figures.PARTS]
  if of_runs:  # A converted or published model has no record.
    runs = [records.read_record(path) for path in workdirs]
    groups = records.by_seed(runs)
    panels += [figures.panel_of(part, groups) for part in of_runs]
    strings.update(groups, *(run.labels for run in runs))
  # Only these need the models.
  of_texts = [part for part in parts if part not in figures.PARTS]
  if of_texts and texts:
    _check_weights(workdirs, of_texts[0])
  predictions = [
    pair
    for path in (workdirs if of_texts and texts else ())
    for pair in zip(texts, bigru_jax.load(path).predict(texts))
  ]
  for text, prediction in predictions:
    strings.update([text], prediction['probabilities'], prediction['tokens'])
  families = font_families(strings)
  for (text, prediction), part in itertools.product(predictions, of_texts):
    if part == 'attention':
      draw = functools.partial(plot_attention, prediction=prediction)
      tokens = prediction['tokens']
      width = _BORDER + _TOKEN * len(tokens)
      more = 0.06 * max(columns_of(short(token)) for token in ['', *tokens])
      panels.append(Panel(draw, max(WIDTH, width), HEIGHT + more))
    else:
      draw = functools.partial(
        draw_heat_map, text=text, answer=prediction, families=families
      )
      height = heat_map_height(text, prediction)
      panels.append(Panel(draw, height=max(HEIGHT, height)))
  return panels, families


def _check_weights(workdirs: list[pathlib.Path], part: str) -> None:
  """Raises ValueError where a run has no attention to draw."""
  for path in workdirs:
    config = run_files.read_config(path)
    if not config.pooling_entry.has_weights:
      raise ValueError(
        f'parts={part}: pooling={config.pooling} of workdir={path} has no '
        'weights; bigru explain shows what each word speaks for'
      )


def main() -> None:
  """Draws the panels side by side into one file."""
  FLAGS.require('workdir')
  FLAGS.check_choices('parts', _CHOICES)
  if _PARTS.present and not _TEXT.value:
    for part in set(_PARTS.value) - set(figures.PARTS):
      raise ValueError(f'parts={part} needs a text')
  output = pathlib.Path(_OUTPUT.value)
  outputs.check_output(str(output))
  if not _OUTPUT.present and output.exists():
    raise ValueError(f'output: {output} already exists; name a file')
  if set(_PARTS.value) <= set(figures.PARTS):
    FLAGS.refuse('attention or heatmap among the parts', 'text')
  workdirs = [published.find(name) for name in _WORKDIR.value]
  panels, families = panels_of(workdirs, _TEXT.value, _PARTS.value)
  if not panels:
    raise ValueError('text: give a text to draw its attention')
  write_panels(panels, output, families)
  print(output)
