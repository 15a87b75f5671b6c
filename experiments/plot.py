"""Draws a run: its losses by epoch, and the attention on texts.

  python experiments/plot.py --workdir=RUN --text="A gentle, funny film."

It needs matplotlib, the extra `plot`.
"""

import json
import pathlib
from typing import Any

from absl import flags
import command
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import bigru_jax

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run directory.')
_TEXT = flags.DEFINE_multi_string('text', [], 'A text to show; repeatable.')
_OUTPUT = flags.DEFINE_string('output', 'run.png', 'The image file.')


def plot_losses(axes: Axes, lines: list[dict[str, Any]]) -> None:
  """Training and validation loss by epoch, the best one marked."""
  for split, color in (('train', 'tab:gray'), ('validation', 'tab:blue')):
    points = [(x['epoch'], x['loss']) for x in lines if x['split'] == split]
    axes.plot(*zip(*points), '.-', color=color, label=split)
  best = min(points, key=lambda point: point[1])
  axes.plot(*best, 'o', color='tab:blue', label='best')
  axes.set(xlabel='epoch', ylabel='cross entropy', ylim=(0, None))
  axes.xaxis.set_major_locator(MaxNLocator(integer=True))
  axes.legend(frameon=False)


def plot_attention(axes: Axes, answer: dict[str, Any]) -> None:
  """Each token as high as its weight, a bar per attention head."""
  tokens, heads = answer['tokens'], answer['attention'].get('words', [])
  width = 0.8 / max(len(heads), 1)
  for head, weights in enumerate(heads):
    places = [
      i + (head - (len(heads) - 1) / 2) * width for i in range(len(tokens))
    ]
    axes.bar(places, weights, width, color=f'C{head + 1}')
  axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha='right')
  probability = answer['probabilities'][answer['label']]
  axes.set(ylabel='attention', title=f'{answer["label"]} ({probability:.2f})')


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError('workdir: name the run to draw')
  path = pathlib.Path(_WORKDIR.value) / 'metrics.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  if not any(line['split'] == 'validation' for line in lines):
    raise ValueError(f'workdir={_WORKDIR.value} has no finished epoch yet')
  answers = []
  if _TEXT.value:
    answers = bigru_jax.load(_WORKDIR.value).predict(_TEXT.value)
  panels = 1 + len(answers)
  figure = Figure(figsize=(4.5 * panels, 3.2), layout='constrained')
  axes = figure.subplots(1, panels, squeeze=False)[0]
  plot_losses(axes[0], lines)
  for panel, answer in zip(axes[1:], answers):
    plot_attention(panel, answer)
  figure.savefig(_OUTPUT.value, dpi=110)


if __name__ == '__main__':
  command.run(main)
