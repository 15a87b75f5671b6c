"""Writes the table that compares us with Jain & Wallace to the documentation.

  python experiments/jain_wallace.py

Our results are in experiments/papers/results/explain/; docs/explanations.md
describes how they were made. Each file, <data set>-<encoder>.json, is an
explain-test.json of explain.py.
"""

from collections.abc import Iterable
import json
import pathlib
from typing import NamedTuple

from bigru_jax.cli.command_flags import Flags
from bigru_jax.explain.study import (
  ACCURACY,
  ACCURACY_UNIFORM,
  ADVERSARIAL,
  TAU_GRADIENT,
  TAU_LEAVE_ONE_OUT,
)
from bigru_jax.reports.tables import markdown

from . import results, tables

BEGIN = '<!-- jain_wallace: written by experiments/jain_wallace.py -->'
END = '<!-- jain_wallace: end -->'
FLAGS = Flags()
_RESULTS = FLAGS.path(
  'results', 'The folder of the JSON files.', str(results.RESULTS / 'explain')
)
_PAGE = FLAGS.path(
  'page',
  'The file that contains the table.',
  str(results.ROOT / 'docs' / 'explanations.md'),
)


class Theirs(NamedTuple):
  """A model of Jain & Wallace, 2019; pairs have one value per predicted class.

  The figures are those of the files that they released,
  https://github.com/successar/AttentionExplanation, commit 425a89a, folder
  graph_outputs; the divergences are means read off the histograms, to 0.01.
  """

  title: str
  encoder: str
  accuracy: float
  tau_gradient: tuple[float, float]
  tau_leave_one_out: tuple[float, float]
  adversarial: tuple[float, float]


_LSTM, _AVERAGE = 'recurrent', 'average'
THEIRS = {
  'sst2-bigru': Theirs(
    'SST-2', _LSTM, 0.81, (0.34, 0.36), (0.27, 0.32), (0.48, 0.49)
  ),
  'sst2-average': Theirs(
    'SST-2', _AVERAGE, 0.81, (0.61, 0.60), (0.61, 0.64), (0.47, 0.49)
  ),
  'imdb-bigru': Theirs(
    'IMDB', _LSTM, 0.90, (0.44, 0.43), (0.34, 0.34), (0.58, 0.57)
  ),
  'imdb-average': Theirs(
    'IMDB', _AVERAGE, 0.88, (0.67, 0.68), (0.54, 0.62), (0.61, 0.61)
  ),
  'newsgroups_sports-bigru': Theirs(
    '20 Newsgroups sports', _LSTM, 0.92, (0.07, 0.21), (0.06, 0.20),
    (0.61, 0.38),
  ),
  'newsgroups_sports-average': Theirs(
    '20 Newsgroups sports', _AVERAGE, 0.91, (0.79, 0.75), (0.64, 0.82),
    (0.68, 0.44),
  ),
}  # fmt: skip


def table(folder: pathlib.Path) -> str:
  """Returns the table as Markdown.

  Args:
    folder: the folder of the JSON files; a missing result is a dash.

  Raises:
    ValueError: a file is corrupt.
  """
  measures = 'τ, gradient', 'τ, leave-one-out', 'max JSD'
  head = ['data set', 'encoder', 'accuracy', 'ours', 'ours, uniform weights']
  for measure in measures:
    head += [measure, 'ours']
  lines = [head]
  for name, theirs in THEIRS.items():
    ours = _read_means(folder / f'{name}.json')
    line = [theirs.title, theirs.encoder, _format([theirs.accuracy])]
    line += [_format(_select(ours, x)) for x in (ACCURACY, ACCURACY_UNIFORM)]
    for pair, test in (
      (theirs.tau_gradient, TAU_GRADIENT),
      (theirs.tau_leave_one_out, TAU_LEAVE_ONE_OUT),
      (theirs.adversarial, ADVERSARIAL),
    ):
      line += [_format(pair), _format(_select(ours, f'{test}: '))]
    lines.append(line)
  return markdown(lines)


def _read_means(path: pathlib.Path) -> dict[str, float | None]:
  """Reads the means of an explanation by name; empty without a file."""
  try:
    entries = json.loads(path.read_text('utf-8'))['table']
    return {entry['name']: entry['value'] for entry in entries}
  except FileNotFoundError:
    return {}
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f'{path} is not a file of explain.py: {error}') from error


def _select(means: dict[str, float | None], start: str) -> list[float | None]:
  """Returns the mean of this name; after a colon, the means by class."""
  return [
    mean
    for name, mean in means.items()
    if name.startswith(start)
    and (name == start or start.endswith(': '))
    and 'share with' not in name
  ]


def _format(values: Iterable[float | None]) -> str:
  return ' / '.join('–' if x is None else f'{x:.2f}' for x in values) or '–'


def main() -> None:
  """Writes the table into the page, and prints it."""
  path = pathlib.Path(_PAGE.value)
  part = table(pathlib.Path(_RESULTS.value))
  path.write_text(tables.replaced(path, BEGIN, END, part), encoding='utf-8')
  print(part)
