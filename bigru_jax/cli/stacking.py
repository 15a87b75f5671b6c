"""Writes what a sweep's runs predict on examples that they have not seen.

A setting of a cross-validation has out-of-fold predictions: each example is
predicted by the runs that were tested on its fold. Another model can be trained
on them (stacking). New texts are predicted by all runs of a setting together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import logging
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np

from bigru_jax.cli import outputs, planned_runs
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.data import sources, tabular_files
from bigru_jax.data.table_columns import Columns
from bigru_jax.inference.prediction_table import label_writer
from bigru_jax.rundir import files as run_files

_log = logging.getLogger('bigru_jax.sweep')


def _finished_settings(
  output: pathlib.Path, planned: Sequence[Planned]
) -> dict[str, list[Planned]]:
  """Returns the runs of each setting all of whose runs are finished."""
  settings: dict[str, list[Planned]] = {}
  for run in planned:
    settings.setdefault(run.setting, []).append(run)
  return {
    setting: runs
    for setting, runs in settings.items()
    if all(planned_runs.is_finished(output, run) for run in runs)
  }


def _file_of(
  output: pathlib.Path, name: str, setting: str, planned: Sequence[Planned]
) -> pathlib.Path:
  """Returns `<name>.csv`, or `<name>,<setting>.csv` if there are several."""
  if any(run.setting != setting for run in planned):
    name += f',{setting}'
  return output / f'{name}.csv'


def write_out_of_fold(
  output: pathlib.Path, planned: Sequence[Planned]
) -> list[pathlib.Path]:
  """Writes the out-of-fold predictions of each finished setting with folds.

  Returns:
    The files.

  Raises:
    ValueError: a run's predictions are corrupt.
  """
  paths = []
  for setting, runs in _finished_settings(output, planned).items():
    if planned_runs.config_of(runs[0].flags).folds:
      path = _file_of(output, 'out_of_fold', setting, planned)
      outputs.write_csv(str(path), _out_of_fold(output, runs))
      paths.append(path)
  return paths


def _out_of_fold(
  output: pathlib.Path, runs: Sequence[Planned]
) -> Iterator[list[Any]]:
  """Yields a head, and a row for each example of the whole data."""
  config = run_files.read_config(output / runs[0].name)
  labels = run_files.read_labels(output / runs[0].name)
  write_label = label_writer(labels, sources.label_separator(config))
  examples = []
  for fold in sorted({run.fold for run in runs}):
    workdirs = [output / run.name for run in runs if run.fold == fold]
    lines, probabilities_NxC = _mean_predictions(workdirs, labels)
    examples += [
      (line, row, fold) for line, row in zip(lines, probabilities_NxC.tolist())
    ]
  examples.sort(key=lambda example: (example[0]['source'], example[0]['row']))
  # Without ids in the column, the lines have none.
  keys = ['id'] if 'id' in examples[0][0] else ['source', 'row']
  yield [*keys, 'label', *(f'probability_{x}' for x in labels), 'fold']
  for line, probabilities, fold in examples:
    yield [
      *(line[key] for key in keys),
      write_label(line['label']),
      *(round(p, 6) for p in probabilities),
      fold,
    ]


def _mean_predictions(
  workdirs: Sequence[pathlib.Path], labels: Sequence[str]
) -> tuple[list[dict[str, Any]], np.ndarray]:
  """Returns the lines of the first run, and the means of the probabilities.

  Args:
    workdirs: runs that were tested on one fold, with different seeds.
    labels: the names of the classes.

  Raises:
    ValueError: the predictions are corrupt, or those of other examples.
  """
  all_lines = [run_files.read_predictions(path, 'test') for path in workdirs]

  def examples(lines):
    return [(line['source'], line['row'], line['label']) for line in lines]

  for workdir, lines in zip(workdirs, all_lines):
    if examples(lines) != examples(all_lines[0]):
      raise ValueError(
        f'workdir={workdir}: its test examples are not those of {workdirs[0]}'
      )
  # A run with more than 100 labels keeps only the largest probabilities.
  probabilities = [
    [[line['probabilities'].get(x, 0.0) for x in labels] for line in lines]
    for lines in all_lines
  ]
  return all_lines[0], np.mean(probabilities, axis=0)


def check_input(path: str, planned: Sequence[Planned]) -> None:
  """Checks the file to predict before any run starts.

  Args:
    path: see `predict`; empty for none.
    planned: the runs, whose configurations name the columns.

  Raises:
    FileNotFoundError, ValueError: the file or a column is missing.
  """
  files = tabular_files.expand_paths(path, 'predict') if path else []
  configs = [planned_runs.config_of(run.flags) for run in planned]
  formats = {(x.text_column, x.encoding, x.delimiter) for x in configs}
  for file in files:
    if tabular_files.file_extension(file) != '.txt':
      for text_column, encoding, delimiter in sorted(formats):
        examples = tabular_files.read_file(
          file, 'predict', Columns(text_column, label=''), encoding, delimiter
        )
        next(iter(examples), None)  # It reads the names of the columns.


def predict(
  output: pathlib.Path, planned: Sequence[Planned], path: str
) -> list[pathlib.Path]:
  """Predicts texts by the mean over all runs of each finished setting.

  Each setting is predicted by predict.py, in a process of its own.

  Args:
    output: the folder of the sweep.
    planned: its runs.
    path: the input of predict.py.

  Returns:
    The files.

  Raises:
    ValueError: a setting cannot be predicted.
  """
  finished = _finished_settings(output, planned)
  for setting in dict.fromkeys(run.setting for run in planned):
    if setting not in finished:
      _log.warning('%s is not predicted: a run is not finished', setting)
  paths = []
  for setting, runs in finished.items():
    predictions = _file_of(output, 'predictions', setting, planned)
    command = [sys.executable, '-m', 'bigru_jax.cli', 'predict']
    command += [f'--workdir={output / run.name}' for run in runs]
    command += [f'--input={path}', f'--output={predictions}']
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
      lines = done.stderr.strip().splitlines() or ['it printed nothing']
      raise ValueError(f'predict={path}, setting {setting}: {lines[-1]}')
    print(done.stderr, end='', file=sys.stderr)  # Its warnings.
    paths.append(predictions)
  return paths
