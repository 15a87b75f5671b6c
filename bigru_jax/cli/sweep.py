"""Trains settings over seeds and folds, and compares them.

  bigru sweep --grid=learning_rate=1e-3,2e-3 --seeds=0-4 \\
    --output=FOLDER -- --dataset=trec --data_dir=FOLDER
  bigru sweep --collect --output=FOLDER

The flags after -- are flags of `bigru run`, for all runs. Each run has its own
process and run directory. Finished runs are skipped, so the same command
resumes a sweep. The output folder contains:

  sweep.md, .csv, .json, .png   the comparison; .csv has a row for each run
  runs.jsonl                    the runs and their command lines
  <run>/                        the run directories, each with its log.txt
  out_of_fold.csv               with folds: the prediction of each example by
                                the runs that were tested on it
  predictions.csv               with --predict=FILE: the mean over all runs

With several settings, the last two are out_of_fold,<setting>.csv and
predictions,<setting>.csv.

The best setting has the best mean validation metric over its runs. The linear
baselines of `bigru baseline` in the folder are compared with the settings.
"""

from collections.abc import Sequence
import dataclasses
import json
import logging
import pathlib
from typing import Any

from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.cli import (
  bucket_sweep,
  outputs,
  planned_runs,
  stacking,
  sweep_baselines,
  sweep_settings,
)
from bigru_jax.cli.command_flags import Flags
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.metrics import METRICS, current_name, names_in
from bigru_jax.reports.comparison import settings as comparison, settings_tables
from bigru_jax.rundir import files as run_files, lock

_log = logging.getLogger('bigru_jax.sweep')

TAKES_RUN_FLAGS = True
VERBOSE = True
FLAGS = Flags()
_GRID = FLAGS.multi_string(
  'grid',
  'A flag of `bigru run` with its values: name=value,value. The flag may be '
  'repeated; the values of one name are joined.',
)
_SETTINGS_FILE = FLAGS.path(
  'settings_file',
  'A file of settings that replaces the grid: a JSON object of flags per line.',
)
FLAGS.alias('list', 'settings_file')
_FOLDS = FLAGS.integer(
  'folds',
  'The number of folds of a cross-validation, with one run for each fold.',
  0,
  lower=0,
)
_OUTPUT = FLAGS.path('output', 'The folder of the sweep.')
_METRIC = FLAGS.string(
  'metric',
  'The metric to compare, such as accuracy, macro_f1 or loss.',
  'accuracy',
)
_PREDICT = FLAGS.path(
  'predict',
  'A file of texts, which all runs of a setting predict together at the end: '
  'the mean of their probabilities is written.',
)
_COLLECT = FLAGS.boolean('collect', 'Compare the finished runs, and exit.')
_FORMAT = outputs.define_format(FLAGS, 'markdown')
FLAGS.append_flag_values(planned_runs.FLAGS)


def plan(common: Sequence[str]) -> list[Planned]:
  """Returns all runs of the sweep.

  Raises:
    ValueError: a flag is wrong.
  """
  planned_runs.check_common(common, planned_runs.OWN, 'seeds, folds and output')
  seeds = sweep_settings.parse_seeds(planned_runs.SEEDS.value or '0')
  planned: list[Planned] = []
  configs = set()
  for setting in settings():
    own = [f'--{name}={value}' for name, value in setting.items()]
    planned_runs.check_common(
      common, planned_runs.names_in(own), 'grid and settings_file'
    )
    config = planned_runs.config_of([*common, *own])
    tasks = METRICS[metric()].tasks
    if config.task not in tasks:
      raise ValueError(f'metric={metric()} needs --task={" or ".join(tasks)}')
    if METRICS[metric()].on_request and config.select_by != metric():
      raise ValueError(f'metric={metric()} needs --select_by={metric()}')
    if config not in configs:  # They are equal for 0.001 and 1e-3.
      configs.add(config)
      name = sweep_settings.name_of(setting)
      planned += planned_runs.plan(name, [*common, *own], seeds, _FOLDS.value)
  return planned


def metric() -> str:
  """Returns the metric by its current name."""
  return current_name(_METRIC.value)


def settings() -> list[dict[str, Any]]:
  """Returns the settings of the grid or the file; by default a single {}."""
  if _SETTINGS_FILE.value and _GRID.value:
    raise ValueError('give grid or settings_file, not both')
  if _SETTINGS_FILE.value:
    chosen = sweep_settings.read_settings(pathlib.Path(_SETTINGS_FILE.value))
  else:
    chosen = sweep_settings.grid_settings(_GRID.value)
  for name in sorted(planned_runs.OWN & set().union(*chosen)):
    raise ValueError(f'{name} is not a setting: see seeds, folds and output')
  return chosen


def write(
  output: pathlib.Path, planned: Sequence[Planned], failed: Sequence[str]
) -> None:
  """Writes and prints the comparison of the finished runs, and predictions.

  Raises:
    ValueError: no run is finished, or the texts cannot be predicted.
  """
  cells = list(planned_runs.finished_cells(output, planned))
  if not cells:
    raise ValueError(f'output={output}: no run is finished')
  num_finished = len(cells)
  cells += sweep_baselines.cells(output, planned)
  compared = comparison.compare_settings(cells, metric())
  more_metrics = other_metrics(planned)
  notes = [f'Failed: {name}; see its log.txt.' for name in failed]
  if num_finished < len(planned):
    notes.insert(0, f'\n{num_finished} of {len(planned)} runs are finished.')
  text = '\n'.join(
    [
      settings_tables.comparison_as(compared, 'markdown', more_metrics),
      *notes,
      '',
    ]
  )
  (output / 'sweep.md').write_text(text, encoding='utf-8')
  run_files.write_json(output / 'sweep.json', comparison.as_json(compared))
  outputs.write_csv(
    str(output / 'sweep.csv'), settings_tables.rows_of_runs(cells)
  )
  try:
    from bigru_jax.reports.figures import settings as plots
  except ImportError:
    _log.warning('sweep.png is not written: it needs the extra plot')
  else:
    plots.save_comparison(compared, output / 'sweep.png')
  print(settings_tables.comparison_as(compared, _FORMAT.value, more_metrics))
  stream = outputs.stream_of_notes(_FORMAT.value)
  for note in notes:
    print(note, file=stream)
  for path in stacking.write_out_of_fold(output, planned):
    print(f'Out-of-fold predictions: {path}', file=stream)
  if _PREDICT.value:
    for path in stacking.predict(output, planned, _PREDICT.value):
      print(f'Predictions: {path}', file=stream)


def other_metrics(planned: Sequence[Planned]) -> list[str]:
  """Returns the other metrics that the runs' flags name, each once."""
  configs = [planned_runs.config_of(run.flags) for run in planned]
  names = [name for config in configs for name in names_in(config.metrics)]
  return [name for name in dict.fromkeys(names) if name != metric()]


def read_plan(output: pathlib.Path) -> list[Planned]:
  """Reads the runs of the last sweep in a folder."""
  path = output / 'runs.jsonl'
  try:
    lines = path.read_text('utf-8').splitlines()
    return [Planned(**json.loads(line)) for line in lines]
  except FileNotFoundError:
    raise FileNotFoundError(f'output={output} is not a sweep') from None
  except (ValueError, TypeError) as error:
    raise ValueError(f'output={output}: {path.name}: {error}') from error


def check_flags(common: Sequence[str]) -> None:
  """Refuses flags that are wrong or would be ignored.

  Raises:
    ValueError: there is such a flag.
  """
  FLAGS.require('output')
  if is_bucket(_OUTPUT.value) and not (
    _COLLECT.value or planned_runs.PRINT_COMMANDS.value
  ):
    raise ValueError(
      f'output={_OUTPUT.value}: runs in a bucket are started by their own '
      'commands, see print_commands, and compared by collect'
    )
  if metric() not in METRICS:
    raise ValueError(f'metric={metric()!r}: choose {", ".join(METRICS)}')
  if _COLLECT.value:
    ignored = ('grid', 'settings_file', 'seeds', 'folds', 'jobs',
               'print_commands')  # fmt: skip
    FLAGS.refuse('a sweep without collect', *ignored)
    if common:
      raise ValueError(f'{common[0]} needs a sweep without collect')
  if planned_runs.PRINT_COMMANDS.value:
    FLAGS.refuse('a sweep without print_commands', 'jobs', 'metric', 'predict',
                 'format')  # fmt: skip


def main(common: list[str]) -> int:
  """Runs the sweep, or only compares its finished runs.

  Args:
    common: flags of `bigru run`, for all runs.

  Returns:
    The exit status: 1 if a run has failed.
  """
  check_flags(common)
  in_bucket = is_bucket(_OUTPUT.value)
  output = pathlib.Path(_OUTPUT.value)
  if _COLLECT.value:
    if in_bucket:
      output = bucket_sweep.collect(_OUTPUT.value)
    write(output, read_plan(output), [])
    if in_bucket:
      _log.info('the files of the comparison are in %s', output)
    return 0
  planned = plan(common)
  if in_bucket:
    bucket_sweep.print_commands(_OUTPUT.value, planned)
    return 0
  stacking.check_input(_PREDICT.value or '', planned)
  planned_runs.check_effects(output, planned)
  with lock.locked(output, 'output'):
    for run in planned:
      planned_runs.is_finished(output, run)  # Raises if it is another run.
    if (output / 'runs.jsonl').exists():
      names = {run.name for run in planned}
      left_out = [x.name for x in read_plan(output) if x.name not in names]
      if left_out:
        _log.warning(
          'output=%s had a sweep with %d other runs, such as %s, which stay; '
          'its comparison is replaced, and repeating its command restores it',
          output,
          len(left_out),
          left_out[0],
        )
    run_files.write_lines(
      output / 'runs.jsonl', [dataclasses.asdict(run) for run in planned]
    )
    if planned_runs.PRINT_COMMANDS.value:
      planned_runs.print_commands(output, planned)
      return 0
    ended = planned_runs.run_all(output, planned, metric=metric())
    failed = [run.name for run, failure in ended if failure]
    write(output, planned, failed)
    return int(bool(failed))
