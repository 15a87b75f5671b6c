"""Draws a run: its losses by epoch, and the attention on a text.

  python experiments/plot.py --workdir=RUN --text="A gentle, funny film."

Needs matplotlib, the extra `plot`.
"""

import json
import pathlib
import sys

from absl import app, flags, logging
import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt  # noqa: E402  After the backend.

from bigru_jax import inference  # noqa: E402

_WORKDIR = flags.DEFINE_string('workdir', None, 'A run directory.')
_TEXT = flags.DEFINE_multi_string('text', [], 'A text to show; repeatable.')
_OUTPUT = flags.DEFINE_string('output', 'run.png', 'The picture.')


def plot_losses(axes, lines):
  """Training and validation loss by epoch, the best marked."""
  for split, color in (('train', 'tab:gray'), ('validation', 'tab:blue')):
    points = [(x['epoch'], x['loss']) for x in lines if x['split'] == split]
    axes.plot(*zip(*points), '.-', color=color, label=split)
  best = min(points, key=lambda point: point[1])
  axes.plot(*best, 'o', color='tab:blue', label='best')
  axes.set(xlabel='epoch', ylabel='cross entropy', ylim=(0, None))
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.legend(frameon=False)


def plot_attention(axes, answer):
  """Each token as tall as its weight."""
  tokens, weights = zip(*answer['attention'])
  axes.bar(range(len(tokens)), weights, color='tab:orange')
  axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha='right')
  share = answer['probabilities'][answer['label']]
  axes.set(ylabel='attention', title=f'{answer["label"]} ({share:.2f})')


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'not a flag: {argv[1]}')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)
  try:
    if not _WORKDIR.value:
      raise ValueError('--workdir: name the run to draw')
    path = pathlib.Path(_WORKDIR.value) / 'metrics.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    answers = []
    if _TEXT.value:
      answers = inference.Predictor(_WORKDIR.value)(_TEXT.value)
    panels = 1 + len(answers)
    figure, axes = plt.subplots(
      1, panels, figsize=(4.5 * panels, 3.2), layout='constrained',
      squeeze=False,
    )  # fmt: skip
    plot_losses(axes[0, 0], lines)
    for panel, answer in zip(axes[0, 1:], answers):
      plot_attention(panel, answer)
    figure.savefig(_OUTPUT.value, dpi=110)
  except (ValueError, OSError) as error:
    print(f'plot.py: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(main)
