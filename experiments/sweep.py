"""Runs settings over seeds and folds, and compares them in one table.

  python experiments/sweep.py --grid=learning_rate=1e-3,2e-3 --seeds=0-4 \
    --output=FOLDER -- --dataset=trec --data_dir=FOLDER
  python experiments/sweep.py --collect --output=FOLDER

What stands after -- are flags of run.py, for all runs. Each run has a process
and a run directory of its own. Finished runs are skipped, so the same command
resumes a sweep. In the output folder:

  sweep.md, .csv, .json, .png   the comparison
  runs.jsonl                    the runs and their command lines
  <run>/                        the run directories, each with its log.txt

A setting is chosen by the mean validation metric over its runs.
"""

from collections.abc import Sequence
import csv
import dataclasses
import hashlib
import itertools
import json
import logging
import pathlib
import re
import shlex
import sys
from typing import Any

from absl import flags
import command
import plans
from plans import Planned

from bigru_jax.data.open_files import check_file, without_repeats
from bigru_jax.reports import comparison
from bigru_jax.rundir import files as run_files

_log = logging.getLogger('bigru_jax.sweep')

_GRID = flags.DEFINE_multi_string(
  'grid',
  [],
  'A flag of run.py and its values: name=value,value; repeatable, and the '
  'values of one flag are joined.',
)
_LIST = flags.DEFINE_string(
  'list', None, 'Settings instead of a grid: a JSON object of flags per line.'
)
_SEEDS = flags.DEFINE_string('seeds', '0', 'Seeds, such as 0-4 or 0,3,7.')
_FOLDS = flags.DEFINE_integer(
  'folds',
  0,
  'Folds of a cross-validation, each of which is a run.',
  lower_bound=0,
)
_JOBS = flags.DEFINE_integer(
  'jobs', 1, 'Runs at the same time; they share the cores.', lower_bound=1
)
_OUTPUT = flags.DEFINE_string('output', None, 'The folder of the sweep.')
_METRIC = flags.DEFINE_string(
  'metric',
  'accuracy',
  'What is compared: accuracy, macro_f1, loss, and others.',
)
_PRINT = flags.DEFINE_bool(
  'print', False, 'Print the command lines of what is not finished, and exit.'
)
_COLLECT = flags.DEFINE_bool(
  'collect', False, 'Compare the runs that are finished, and exit.'
)


def plan(common: Sequence[str]) -> list[Planned]:
  """All runs of the sweep.

  Raises:
    ValueError: a flag is wrong.
  """
  planned: list[Planned] = []
  plans.check_common(common, plans.OWN, 'seeds, folds and output')
  seeds = plans.parse_seeds(_SEEDS.value)
  configs = set()
  varied = settings()
  own = sorted({name for setting in varied for name in setting})
  plans.check_common(common, own, 'grid and list, which set it too')
  for setting in varied:
    values = [f'--{key}={value}' for key, value in setting.items()]
    config = plans.config_of([*common, *values])
    if config in configs:  # As of 0.001 and 1e-3.
      continue
    configs.add(config)
    planned += plans.plan(
      name_of(setting), [*common, *values], seeds, _FOLDS.value
    )
  for run in planned:
    scored = plans.config_of(run.flags).select_by == 'semeval2010'
    if _METRIC.value == 'semeval2010' and not scored:
      raise ValueError('metric=semeval2010 needs --select_by=semeval2010')
  return planned


def settings() -> list[dict[str, Any]]:
  """The settings of the grid or of the list; one without flags by default."""
  if _LIST.value and _GRID.value:
    raise ValueError('give grid or list, not both')
  if _LIST.value:
    found: list[dict[str, Any]] = []
    path = pathlib.Path(_LIST.value).expanduser()
    check_file(path, 'list')
    for row, line in enumerate(path.read_text('utf-8').splitlines(), 1):
      if line.strip():
        try:
          setting = json.loads(line, object_pairs_hook=without_repeats)
        except json.JSONDecodeError:
          setting = None
        except ValueError as error:
          raise ValueError(f'list={path}, row {row} {error}') from error
        if not isinstance(setting, dict):
          raise ValueError(f'list={path}, row {row}: not a JSON object')
        found.append(setting)
    if not found:
      raise ValueError(f'list={path} has no settings')
  else:
    axes: dict[str, list[str]] = {}
    for axis in _GRID.value:
      name, equals, values = axis.partition('=')
      if not (name and equals and values):
        raise ValueError(f'grid={axis!r}: give name=value,value')
      axes.setdefault(name, []).extend(values.split(','))
    found = [
      dict(zip(axes, values)) for values in itertools.product(*axes.values())
    ]
  for name in plans.OWN:
    if any(name in setting for setting in found):
      raise ValueError(f'{name} is no setting: see seeds, folds and output')
  return found


def name_of(setting: dict[str, Any]) -> str:
  """The setting's name, which is a directory's, too."""
  name = ','.join(f'{key}={value}' for key, value in setting.items())
  plain = re.sub(r'[^a-zA-Z0-9_=,.+-]', '_', name)[:150]
  if plain != name:  # Another setting could have the same plain name.
    plain += f',{hashlib.sha256(name.encode()).hexdigest()[:8]}'
  return plain or 'default'


def write(
  output: pathlib.Path, planned: Sequence[Planned], failed: Sequence[str]
) -> None:
  """Writes and prints the comparison of what is finished.

  Raises:
    ValueError: nothing is.
  """
  cells = list(plans.finished_cells(output, planned))
  if not cells:
    raise ValueError(f'output={output}: no run is finished')
  found = comparison.compare_settings(cells, _METRIC.value)
  lines = [comparison.as_markdown(found)]
  if len(cells) < len(planned):
    lines += ['', f'{len(cells)} of {len(planned)} runs are finished.']
  lines += [f'Failed: {name}; see its log.txt.' for name in failed]
  text = '\n'.join(lines) + '\n'
  (output / 'sweep.md').write_text(text, encoding='utf-8')
  run_files.write_json(output / 'sweep.json', comparison.as_json(found))
  write_csv(output / 'sweep.csv', cells)
  try:
    from bigru_jax.reports import plots
  except ImportError:
    _log.warning('there is no sweep.png: it needs the extra plot')
  else:
    plots.save_comparison(found, output / 'sweep.png')
  print(text, end='')


def write_csv(path: pathlib.Path, cells: Sequence[comparison.Cell]) -> None:
  """One row per run, with all of its metrics."""
  columns = [
    (split, name)
    for split in ('validation', 'test')
    for name in getattr(cells[0], split)
  ]
  with path.open('w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    head = ['setting', 'seed', 'fold', 'train_seconds']
    writer.writerow(head + [f'{split}_{name}' for split, name in columns])
    for cell in cells:
      metrics = [getattr(cell, split).get(name, '') for split, name in columns]
      row = [cell.setting, cell.seed, cell.fold, cell.seconds]
      writer.writerow(row + metrics)


def read_plan(output: pathlib.Path) -> list[Planned]:
  """The runs of the last sweep in a folder."""
  path = output / 'runs.jsonl'
  try:
    lines = path.read_text('utf-8').splitlines()
    return [Planned(**json.loads(line)) for line in lines]
  except FileNotFoundError:
    raise FileNotFoundError(f'output={output} holds no sweep') from None
  except (ValueError, TypeError) as error:
    raise ValueError(f'output={output}: {path.name}: {error}') from error


def sweep(
  output: pathlib.Path, planned: list[Planned], waiting: list[Planned]
) -> None:
  """Does the waiting runs, and compares all of them."""
  failed = [
    run.name
    for run, failure in plans.run_all(output, planned, waiting, _JOBS.value)
    if failure
  ]
  write(output, planned, failed)
  if failed:
    sys.exit(1)


def main(common: list[str]) -> None:
  if not _OUTPUT.value:
    raise ValueError('output: name the folder of the sweep')
  if _METRIC.value not in comparison.METRICS:
    raise ValueError(
      f'metric={_METRIC.value!r}: choose {", ".join(comparison.METRICS)}'
    )
  output = pathlib.Path(_OUTPUT.value).expanduser()
  if _COLLECT.value:
    ignored = 'grid', 'list', 'seeds', 'folds', 'jobs', 'print'
    command.refuse_flags('a sweep without collect', *ignored)
    if common:
      raise ValueError(f'{common[0]} needs a sweep without collect')
  if _PRINT.value:
    command.refuse_flags('a sweep without print', 'jobs', 'metric')
  if _COLLECT.value:
    write(output, read_plan(output), [])
    return
  planned = plan(common)
  plans.check_effects(output, planned)
  with run_files.locked(output, 'output'):
    waiting = [run for run in planned if not plans.is_finished(output, run)]
    run_files.write_lines(
      output / 'runs.jsonl', [dataclasses.asdict(run) for run in planned]
    )
    if _PRINT.value:
      for run in waiting:
        print(shlex.join(plans.command_line(output, run)))
    else:
      sweep(output, planned, waiting)


if __name__ == '__main__':
  others = plans.split_arguments()
  command.run(lambda: main(others))
