"""The linear baseline of a run, to show beside it."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
import shlex
from typing import Any

from bigru_jax.config import Config
from bigru_jax.reports.page import answers as counts
from bigru_jax.reports.page.answers import Answer
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import check_same_split
from bigru_jax.statistics.paired import difference_of_shares


def find_baseline(workdir: pathlib.Path) -> pathlib.Path | None:
  """Returns a finished linear baseline of the same data beside a run.

  That with the default name is preferred, and then the first by name.
  """
  folder = workdir.absolute()
  default = folder.with_name(f'{folder.name},baseline')
  for path in sorted(folder.parent.iterdir(), key=lambda x: (x != default, x)):
    try:
      if run_files.is_baseline(path):
        run_files.read_result(path)
        check_same_split(workdir, path)
        return path
    except (OSError, ValueError):  # It is unfinished, or has other data.
      continue
  return None


def command_of_baseline(workdir: pathlib.Path, config: Config) -> str:
  """Returns the commands that put a linear baseline on the page of a run."""
  fields = [
    f'--{name}={getattr(config, name)}'
    for name in config.differing_fields()
    if name in run_files.BASELINE_FIELDS
  ]
  fit = ['bigru', 'baseline', *fields, f'--workdir={workdir},baseline']
  report = ['bigru', 'report', f'--workdir={workdir}']
  return f'{shlex.join(fit)} && {shlex.join(report)}'


def describe_baseline(
  workdir: pathlib.Path, path: pathlib.Path
) -> dict[str, Any]:
  """Returns the `metrics` of a linear baseline on test, and two shares of them.

  `share` is that of its right answers, see `answers.shares_of_right`, and
  `difference` the interval of the run's minus it.

  Args:
    workdir: the run directory.
    path: the directory of the baseline.

  Raises:
    FileNotFoundError, ValueError: the baseline is not finished, is none, or was
      tested on other texts than the run.
  """
  if not run_files.is_baseline(path):
    raise ValueError(f'baseline={path} is not a linear baseline')
  result = run_files.read_result(path)
  check_same_split(workdir, path, 'baseline')
  answers = counts.answers_of_lines(run_files.read_predictions(path, 'test'))
  own = counts.answers_of_lines(run_files.read_predictions(workdir, 'test'))
  config = run_files.read_config(path)
  share, _ = counts.shares_of_right(
    answers,
    config.task == 'multi_label',
    result['test']['accuracy'],
    interval_in(result),
  )
  return {
    'metrics': result['test'],
    'share': share | {'name': f'Linear model of {_words_of(path)}'},
    # Texts that have weights do not count equally, as this interval assumes.
    'difference': None if config.weight_column else _difference(own, answers),
  }


def _words_of(path: pathlib.Path) -> str:
  """Describes the n-grams of a baseline."""
  longest = run_files.read_json(path / 'baseline.json', 'baseline').get(
    'ngrams', 2
  )
  words = {1: 'single words', 2: 'words and pairs of words'}
  return words.get(longest, f'sequences of up to {longest} words')


def _difference(
  own: Sequence[Answer], of_baseline: Sequence[Answer]
) -> dict[str, float]:
  """Returns the interval of the run's share minus the baseline's."""
  pairs = [(x.is_right, y.is_right) for x, y in zip(own, of_baseline)]
  interval = difference_of_shares(
    pairs.count((True, False)), pairs.count((False, True)), len(pairs)
  )
  return {'low': interval.low, 'high': interval.high}


def interval_in(result: dict[str, Any]) -> dict[str, float] | None:
  """Returns the interval of the test accuracy that result.json has, or None."""
  intervals = result.get('intervals', {}).get('test', {})
  interval = intervals.get('accuracy') or {}
  return interval if interval.get('low') is not None else None
