"""Writes the page of a language model: its perplexity and how it was made."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

from bigru_jax.data.prepare import Dataset
from bigru_jax.evaluation.diagnostics import describe_data
from bigru_jax.metrics import METRICS
from bigru_jax.reports.page.page import render
from bigru_jax.reports.page.top import how_made
from bigru_jax.reports.page.words import COSTS, WORDS
from bigru_jax.reports.records import (
  command_of,
  grouped_fields,
  learning_rates,
  read_metrics,
)
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import WITHOUT_DATA, name_of_data
from bigru_jax.runtime.atomic import write_text

_SCRIPTS = 'charts.js', 'run.js', 'language_model.js'
_log = logging.getLogger(__name__)


def write_language_model_page(workdir: pathlib.Path, data: Dataset) -> None:
  """Writes report.html of a finished run.

  A failure is only logged, because the run is complete without its page.

  Args:
    workdir: the run directory.
    data: its data.
  """
  try:
    content = _describe(workdir)
    content['top'] = _make_top(content)
    content['diagnostics'] = describe_data(data)
    page = render(content, _SCRIPTS)
    write_text(workdir / 'report.html', page)
  except Exception as error:
    name = type(error).__name__
    _log.warning('report.html is not written: %s: %s', name, error)


def _describe(workdir: pathlib.Path) -> dict[str, Any]:
  """Returns what `run.js` draws, except for the statistics of the data."""
  config = run_files.read_config(workdir)
  result, lines = run_files.read_result(workdir), read_metrics(workdir)
  name = name_of_data(workdir, config)
  costs = {key: result[key] for key in COSTS if key in result}
  return {
    'name': name,
    'version': result['version'],
    'finished': result['finished'],
    'source': '',
    'words': {name: (x.title, x.meaning) for name, x in METRICS.items()}
    | WORDS,
    'model': 'The model is a language model of both directions of a GRU, with '
    f'{result["parameters"]:,} parameters.',
    'command': None if name in WITHOUT_DATA else command_of(config),
    'origin': WITHOUT_DATA.get(name),
    'config': grouped_fields(config),
    'labels': [],
    'thresholds': None,
    'metrics': [
      (split, values)
      for split, values in (
        ('test', result['test']),
        ('validation', result['validation']),
        ('training', costs),
      )
      if values
    ],
    'intervals': {},
    'diagnostics': None,
    'curves': lines,
    'score_curves': {
      'title': 'Perplexity on validation',
      'yName': 'perplexity',
      'names': [
        ('both', 'perplexity'),
        ('next word', 'forward_perplexity'),
        ('previous word', 'backward_perplexity'),
      ],
    },
    'best_epoch': result['best_epoch'],
    'learning_rate': learning_rates(config, lines),
  }


def _make_top(content: dict[str, Any]) -> dict[str, Any]:
  """Returns the title and the sentences at the top of the page."""
  scores = dict(content['metrics'])
  split = 'test' if 'test' in scores else 'validation'
  values = scores[split]
  return {
    'title': f'Language model of {content["name"]}',
    'what': 'It predicts each word of a text from the words before it, and '
    'from the words after it. Classifiers can start from its parameters.',
    'made': how_made(content),
    'quality': [
      f'On {split} its perplexity is {values["perplexity"]:.1f}: on average, '
      'it is as unsure of a word as if it chose among this many equally '
      'probable ones.',
      f'Of the next word it is {values["forward_perplexity"]:.1f}, and of the '
      f'previous one {values["backward_perplexity"]:.1f}.',
    ],
  }
