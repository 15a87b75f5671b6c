"""Draws a run: its losses by epoch, and the attention on texts.

  python experiments/plot.py --workdir=RUN --text="A gentle, funny film."

It needs matplotlib, the extra `plot`. Characters that matplotlib's own font
lacks are drawn with an installed font that has them.
"""

from collections.abc import Iterable
import contextlib
import json
import logging
import pathlib
from typing import Any
import warnings

from absl import flags
import command
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import bigru_jax

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run directory.')
_TEXT = flags.DEFINE_multi_string('text', [], 'A text to show; repeatable.')
_OUTPUT = flags.DEFINE_string('output', 'run.png', 'The image file.')
_log = logging.getLogger('bigru_jax.plot')


def read_metrics(workdir: str) -> list[dict[str, Any]]:
  """The lines of a run's metrics.jsonl whose loss is finite.

  Raises:
    FileNotFoundError, ValueError: there is none, it is corrupt, or no epoch is
      finished.
  """
  path = pathlib.Path(workdir).expanduser() / 'metrics.jsonl'
  try:
    lines = [json.loads(line) for line in path.read_text('utf-8').splitlines()]
    # A loss that was not finite is null.
    lines = [line for line in lines if line['loss'] is not None]
    splits = {line['split'] for line in lines}
  except FileNotFoundError:
    raise FileNotFoundError(
      f'workdir={workdir}: it has no {path.name}, so there is nothing to draw'
    ) from None
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(f'workdir={workdir}: {path.name}: {error}') from error
  if 'validation' not in splits:
    raise ValueError(
      f'workdir={workdir}: no epoch is finished with a finite loss'
    )
  return lines


def font_families(texts: Iterable[str]) -> list[str]:
  """The default font, and installed ones for the characters that it lacks.

  What no installed font has is named in a warning.
  """
  families = list(font_manager.FontProperties().get_family())
  missing = {c for text in texts for c in text if c.isprintable()}
  missing -= _drawable(missing, families[0])
  if not missing:
    return families
  manager = font_manager.fontManager
  # matplotlib's list is a cached one, without what was installed since.
  listed = {font.fname for font in manager.ttflist}
  for path in set(font_manager.findSystemFonts()) - listed:
    with contextlib.suppress(Exception):  # It skips what it cannot read, too.
      manager.addfont(path)
  drawable = {
    name: _drawable(missing, name)
    for name in sorted({font.name for font in manager.ttflist})
    # These are a system's private fonts, some with a box for any character.
    if not name.startswith(('.', 'Last'))
  }
  while missing:
    best = max(drawable, key=lambda name: len(drawable[name] & missing))
    if not drawable[best] & missing:
      characters = sorted(missing)
      more = f' and {len(missing) - 20} more' if len(missing) > 20 else ''
      _log.warning(
        'no installed font has %s%s; install one that has, for instance the '
        'Debian package fonts-noto-cjk for Chinese, Japanese and Korean',
        ' '.join(characters[:20]), more,
      )  # fmt: skip
      break
    families.append(best)
    missing -= drawable[best]
  return families


def _drawable(characters: set[str], family: str) -> set[str]:
  """Those of the characters that a font family has."""
  try:
    font = font_manager.get_font(
      font_manager.findfont(
        font_manager.FontProperties(family=[family]), fallback_to_default=False
      )
    )
  except (OSError, RuntimeError, ValueError):  # It is there no more.
    return set()
  return {c for c in characters if font.get_char_index(ord(c))}


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


def plot_attention(
  axes: Axes, answer: dict[str, Any], families: list[str]
) -> None:
  """Each token as high as its weight, a bar per attention head."""
  tokens, heads = answer['tokens'], answer['attention'].get('words', [])
  width = 0.8 / max(len(heads), 1)
  for head, weights in enumerate(heads):
    places = [
      i + (head - (len(heads) - 1) / 2) * width for i in range(len(tokens))
    ]
    names = answer.get('attention_labels')
    axes.bar(
      places,
      weights,
      width,
      color=f'C{(head + 1) % 10}',
      label=names[head] if names else None,
    )
  if answer.get('attention_labels'):
    axes.legend(frameon=False, fontsize='x-small')
  labels = answer['label']
  labels = [labels] if isinstance(labels, str) else labels
  title = ', '.join(
    f'{label} ({answer["probabilities"][label]:.2f})' for label in labels
  )
  # A dollar sign of theirs begins no formula.
  style: dict[str, Any] = {'parse_math': False, 'family': families}
  axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha='right', **style)
  axes.set_title(title or 'no label', **style)
  axes.set_ylabel('attention')


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError('workdir: name the run to draw')
  lines = read_metrics(_WORKDIR.value)
  answers = []
  if _TEXT.value:
    answers = bigru_jax.load(_WORKDIR.value).predict(_TEXT.value)
  panels = 1 + len(answers)
  # A font without the usual weight will do.
  logging.getLogger('matplotlib.font_manager').setLevel(logging.ERROR)
  families = font_families(
    text for x in answers for text in (*x['probabilities'], *x['tokens'])
  )
  figure = Figure(figsize=(4.5 * panels, 3.2), layout='constrained')
  axes = figure.subplots(1, panels, squeeze=False)[0]
  plot_losses(axes[0], lines)
  for panel, answer in zip(axes[1:], answers):
    plot_attention(panel, answer, families)
  with warnings.catch_warnings():
    # `font_families` has said it, in one line.
    warnings.filterwarnings('ignore', r'Glyph \d+ .* missing from')
    figure.savefig(_OUTPUT.value, dpi=110)


if __name__ == '__main__':
  command.run(main)
