"""Plans, starts and collects the runs of a sweep or a reproduction.

Each run has its own process, and its own run directory in a common folder.
Finished runs are skipped, so the same command resumes the others.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
import itertools
import logging
import os
import pathlib
import shlex
import sys

from absl import flags
from tqdm import tqdm

from bigru_jax.cli import config_flags
from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config
from bigru_jax.reports.comparison import settings as comparison
from bigru_jax.rundir import files as run_files, lock, same_run
from bigru_jax.runtime import jobs, preemption
from bigru_jax.training import effects

FLAGS = Flags()
SEEDS = FLAGS.string(
  'seeds',
  'The seeds, such as 0-4 or 0,3,7; each fold is trained with all of them. By '
  'default 0, or as many seeds as a row of a paper sets.',
)
JOBS = FLAGS.integer(
  'jobs',
  'The number of runs to train at the same time; they share the cores.',
  1,
  lower=1,
)
PRINT_COMMANDS = FLAGS.boolean(
  'print_commands',
  'Print the command lines of the runs that are not finished, and exit.',
)
FLAGS.alias('print', 'print_commands')
FLAGS.mark_as_parsed()  # Each command parses them as its own flags.

OWN = {'seed', 'folds', 'fold', 'workdir'}  # The flags that are set here.
_log = logging.getLogger('bigru_jax.plans')


@dataclasses.dataclass(frozen=True)
class Planned:
  """A planned run.

  Attributes:
    name: the name of its directory.
    setting: the name of its setting.
    seed, fold: its seed and fold.
    flags: its flags of `bigru run`, without the workdir.
  """

  name: str
  setting: str
  seed: int
  fold: int
  flags: list[str]


def plan(
  setting: str, run_flags: Sequence[str], seeds: Sequence[int], folds: int
) -> list[Planned]:
  """Returns the runs of a setting, one for each seed and fold.

  Raises:
    ValueError: a flag is wrong.
  """
  planned = []
  for seed, fold in itertools.product(seeds, range(folds or 1)):
    own = [f'--seed={seed}']
    name = f'{setting},seed={seed}'
    if folds:
      own += [f'--folds={folds}', f'--fold={fold}']
      name += f',fold={fold}'
    config_of([*run_flags, *own])  # It raises before any run starts.
    planned.append(
      Planned(
        name=name,
        setting=setting,
        seed=seed,
        fold=fold,
        flags=[*run_flags, *own],
      )
    )
  return planned


def check_effects(output: pathlib.Path, planned: Sequence[Planned]) -> None:
  """Refuses flags that a run which has not started would ignore.

  Raises:
    ValueError, FileNotFoundError: see `effects.check_effects`; or the runs have
      no test split, on which they are compared.
  """
  for run in planned:
    config = config_of(run.flags)
    if not (output / run.name / 'config.json').exists():
      effects.check_effects(config)
    if config.task == 'language_model' and config.train and not config.test:
      raise ValueError(
        'test is missing: runs are compared by their test scores, and a '
        'language model has no test split unless it is given'
      )


def check_common(run_flags: Sequence[str], own: set[str], see: str) -> None:
  """Refuses flags for all runs that the command itself sets.

  Args:
    run_flags: the flags for all runs, including `--flagfile`.
    own: the names to refuse.
    see: the command's own flags that replace them.

  Raises:
    ValueError: a flag is refused.
  """
  for name in sorted(names_in(run_flags) & own):
    raise ValueError(f'{name} is set after --: see {see}')


def names_in(run_flags: Sequence[str]) -> set[str]:
  """Returns the names of flags of `bigru run`; an alias has both names.

  Raises:
    ValueError: a flag is wrong.
  """
  values = _parsed(run_flags)
  return {name for name in values if values[name].present}


def config_of(run_flags: Sequence[str]) -> Config:
  """Returns the configuration that flags of `bigru run` describe.

  Raises:
    ValueError: a flag is wrong.
  """
  return config_flags.from_flags(_parsed(run_flags))


def _parsed(run_flags: Sequence[str]) -> flags.FlagValues:
  values = Flags()
  config_flags.define_flags(values)
  values.string('workdir', 'The run directory.')
  try:
    positional = values(['run.py', *run_flags])[1:]
  except flags.Error as error:
    raise ValueError(f'flags of `bigru run`: {error}') from error
  if positional:
    raise ValueError(f'flags of `bigru run`: {positional[0]!r} is not a flag')
  return values


def _command_line(output: str | os.PathLike, run: Planned) -> list[str]:
  """Returns the command line of a run."""
  workdir = f'--workdir={output}/{run.name}'
  return [sys.executable, '-m', 'bigru_jax.cli', 'run', *run.flags, workdir]


def print_commands(
  output: pathlib.Path, planned: Sequence[Planned], name: str = ''
) -> None:
  """Prints the command lines of the runs that are not finished.

  Args:
    output: the folder of all runs.
    planned: all runs.
    name: the folder that the command lines name; by default `output`.
  """
  for run in planned:
    if not is_finished(output, run):
      print(shlex.join(_command_line(name or output, run)))


def is_finished(output: pathlib.Path, run: Planned) -> bool:
  """Returns whether a run has its result.

  Raises:
    ValueError: its directory holds a run of another configuration.
  """
  workdir = output / run.name
  if not run_files.exists(workdir / 'config.json'):
    return False
  config = config_of(run.flags)
  same_run.check_config(workdir, config)
  if config.differing_fields(run_files.read_config(workdir)):
    return False  # It resumes, for example with another number of epochs.
  return run_files.exists(workdir / 'result.json')


def finished_cells(
  output: pathlib.Path, planned: Sequence[Planned]
) -> Iterator[comparison.Cell]:
  """Yields the results of the finished runs."""
  for run in planned:
    if is_finished(output, run):
      yield read_cell(output / run.name, run.setting, run.seed, run.fold)


def read_cell(
  workdir: pathlib.Path, setting: str, seed: int, fold: int
) -> comparison.Cell:
  """Returns the results of a finished run."""
  result = run_files.read_result(workdir)
  return comparison.Cell(
    setting=setting,
    seed=seed,
    fold=fold,
    validation=result['validation'],
    test=result['test'],
    seconds=result['train_seconds'],
  )


def _sentence(output: pathlib.Path, run: Planned, metric: str) -> str:
  """Says what a finished run scores."""
  cell = read_cell(output / run.name, run.setting, run.seed, run.fold)
  scores = [
    f'{split} {metric} {scores[metric]:.4f}'
    for split, scores in (('validation', cell.validation), ('test', cell.test))
    if scores.get(metric) is not None
  ]
  return ', '.join([f'{run.name} is finished', *scores])


def run_all(
  output: pathlib.Path,
  planned: Sequence[Planned],
  before: Callable[[Planned], None] = lambda run: None,
  metric: str = 'accuracy',
) -> Iterator[tuple[Planned, str]]:
  """Runs the unfinished runs, up to `--jobs` at a time.

  Args:
    output: the folder of all runs.
    planned: all runs.
    before: called just before a run starts.
    metric: is logged of each finished run, unless a bar shows the progress.

  Yields:
    Each run when it ends, with the reason if it failed, else ''.

  Raises:
    Preempted: a signal has stopped the runs; they have saved.
  """
  waiting = {run.name: run for run in planned if not is_finished(output, run)}
  progress_bar = tqdm(
    total=len(planned),
    initial=len(planned) - len(waiting),
    unit='run',
    disable=None,  # Only on a terminal.
  )
  with preemption.stop_on_signals() as stop, progress_bar:
    queue = [
      jobs.Job(
        run.name,
        _command_line(output, run),
        output / run.name / 'log.txt',
        functools.partial(lock.is_locked, output / run.name),
        functools.partial(before, run),
      )
      for run in waiting.values()
    ]
    for job, status in jobs.run_jobs(queue, JOBS.value, stop):
      run, failure = waiting[job.name], ''
      if status or not is_finished(output, run):
        failure = job.last_line or 'it printed nothing'
        _log.warning('%s failed with status %d: %s', job.name, status, failure)
      elif progress_bar.disable:
        _log.info('%s', _sentence(output, run, metric))
      progress_bar.update()
      yield run, failure
    if stop():
      done = sum(is_finished(output, run) for run in planned)
      raise preemption.Preempted(f'{done} of {len(planned)} runs are finished')
