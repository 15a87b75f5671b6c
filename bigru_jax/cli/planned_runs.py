"""Runs that another command plans: their flags, processes and results.

Each run has a process and a run directory of its own, in a folder of all runs.
Finished runs are skipped, so a command that plans the same runs again resumes
them.
"""

from collections.abc import Callable, Iterator, Sequence
import dataclasses
import functools
import itertools
import logging
import pathlib
import re
import shlex
import sys

from absl import flags
from tqdm import tqdm

from bigru_jax.cli import config_flags
from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config
from bigru_jax.reports import comparison
from bigru_jax.rundir import files as run_files, lock, same_run
from bigru_jax.runtime import jobs, preemption
from bigru_jax.training import effects

# The flags of a command that plans runs.
FLAGS = Flags()
SEEDS = FLAGS.string(
  'seeds',
  'Seeds, such as 0-4 or 0,3,7; with folds, of each. By default 0, or as many '
  'as the row of a paper says: three, five, or one where there are folds.',
)
JOBS = FLAGS.integer(
  'jobs',
  'How many runs are trained at the same time; they share the cores.',
  1,
  lower=1,
)
PRINT_COMMANDS = FLAGS.boolean(
  'print_commands',
  'Print the command lines of the runs that are not finished, and exit.',
)
FLAGS.alias('print', 'print_commands')
FLAGS.mark_as_parsed()  # The command that has them parses them.

OWN = {'seed', 'folds', 'fold', 'workdir'}  # What a command that plans sets.
_log = logging.getLogger('bigru_jax.plans')


@dataclasses.dataclass(frozen=True)
class Planned:
  """A run that is planned.

  Attributes:
    name: of its directory.
    setting: of its setting.
    seed, fold: of the run.
    flags: of run.py, without the workdir.
  """

  name: str
  setting: str
  seed: int
  fold: int
  flags: list[str]


def parse_seeds(text: str) -> list[int]:
  """The seeds of 0-4 or 0,3,7, in order.

  Raises:
    ValueError: it is neither, or names none, or one twice.
  """
  seeds: list[int] = []
  for part in text.split(','):
    match = re.fullmatch(r'(\d+)(?:-(\d+))?', part.strip())
    if not match:
      raise ValueError(f'seeds={text!r}: give 0-4 or 0,3,7')
    seeds += range(int(match[1]), int(match[2] or match[1]) + 1)
  if not seeds or len(set(seeds)) < len(seeds):
    raise ValueError(f'seeds={text!r}: none, or one twice')
  return seeds


def plan(
  setting: str, run_flags: Sequence[str], seeds: Sequence[int], folds: int
) -> list[Planned]:
  """The runs of a setting: each seed, of each fold where there are folds.

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
    config_of([*run_flags, *own])  # Found before any run starts.
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
  """Refuses flags that the runs which are not there yet would ignore.

  Raises:
    ValueError, FileNotFoundError: see `effects.check_effects`.
  """
  for run in planned:
    if not (output / run.name / 'config.json').exists():
      effects.check_effects(config_of(run.flags))


def check_common(run_flags: Sequence[str], own: set[str], see: str) -> None:
  """Refuses flags for all runs that the command that plans them itself sets.

  Args:
    run_flags: the flags for all runs, `--flagfile` included.
    own: the names that are refused.
    see: the command's own flags for them.

  Raises:
    ValueError: one is among them.
  """
  for name in sorted(names_in(run_flags) & own):
    raise ValueError(f'{name} is set after --: see {see}')


def names_in(run_flags: Sequence[str]) -> set[str]:
  """The names of the flags of run.py that are given; of an alias, both names.

  Raises:
    ValueError: one is wrong.
  """
  values = _parsed(run_flags)
  return {name for name in values if values[name].present}


def config_of(run_flags: Sequence[str]) -> Config:
  """The configuration that flags of run.py describe.

  Raises:
    ValueError: one is wrong.
  """
  return config_flags.from_flags(_parsed(run_flags))


def _parsed(run_flags: Sequence[str]) -> flags.FlagValues:
  values = Flags()
  config_flags.define_flags(values)
  values.string('workdir', 'The run directory.')
  try:
    positional = values(['run.py', *run_flags])[1:]
  except flags.Error as error:
    raise ValueError(f'run.py: {error}') from error
  if positional:
    raise ValueError(f'run.py: {positional[0]!r} is not a flag')
  return values


def _command_line(output: pathlib.Path, run: Planned) -> list[str]:
  """The command that does a run."""
  workdir = f'--workdir={output / run.name}'
  return [sys.executable, '-m', 'bigru_jax.cli', 'run', *run.flags, workdir]


def print_commands(output: pathlib.Path, planned: Sequence[Planned]) -> None:
  """Prints the command lines of the runs that are not finished."""
  for run in planned:
    if not is_finished(output, run):
      print(shlex.join(_command_line(output, run)))


def is_finished(output: pathlib.Path, run: Planned) -> bool:
  """Whether a run has its result.

  Raises:
    ValueError: its directory holds a run of another configuration.
  """
  workdir = output / run.name
  if not run_files.exists(workdir / 'config.json'):
    return False
  config = config_of(run.flags)
  same_run.check_config(workdir, config)
  if config.differing_fields(run_files.read_config(workdir)):
    return False  # It has another number of epochs, for example, and resumes.
  return run_files.exists(workdir / 'result.json')


def finished_cells(
  output: pathlib.Path, planned: Sequence[Planned]
) -> Iterator[comparison.Cell]:
  """The results of the runs that have one."""
  for run in planned:
    if is_finished(output, run):
      result = run_files.read_result(output / run.name)
      yield comparison.Cell(
        setting=run.setting,
        seed=run.seed,
        fold=run.fold,
        validation=result['validation'],
        test=result['test'],
        seconds=result['train_seconds'],
      )


def run_all(
  output: pathlib.Path,
  planned: Sequence[Planned],
  before: Callable[[Planned], None] = lambda run: None,
) -> Iterator[tuple[Planned, str]]:
  """Does the runs that are not finished, as many at a time as `--jobs` says.

  Args:
    output: the folder of all runs.
    planned: all runs.
    before: is called when a run is about to start.

  Yields:
    Each run as it ends, and why it failed, or ''.

  Raises:
    Preempted: a signal has stopped them; the running ones have saved.
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
        failure = job.last_line or 'it said nothing'
        _log.warning('%s failed with status %d: %s', job.name, status, failure)
      progress_bar.update()
      yield run, failure
    if stop():
      done = sum(is_finished(output, run) for run in planned)
      raise preemption.Preempted(f'{done} of {len(planned)} runs are finished')
