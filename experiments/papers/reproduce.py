"""Runs the rows of papers, and prints the published scores beside ours.

  python experiments/reproduce.py --rows=trec,r8 --data_root=data
  python experiments/reproduce.py --rows=trec --results=FOLDER -- --epochs=1
  python experiments/reproduce.py --tables

A row has a recipe, recipes/<row>.flags, a protocol in rows.py, and, once its
runs are finished, a result, results/<row>.json. What stands after -- are more
flags of run.py, for all runs. Each run has a process and a run directory of its
own in the output folder. What is finished is skipped, so the same command
resumes.

The data folder holds a folder for each data set; a row that lacks its data is
skipped, a warning says what to put where, and the exit status is 1 if the row
was named. `--tables` rewrites what README.md, docs/results.md and the recipes
say of the results, and runs nothing.
"""

from collections.abc import Sequence
import logging
import pathlib
import shlex
import sys

from absl import flags

from bigru_jax.cli import command, planned_runs
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.data.corpora import CORPORA
from bigru_jax.rundir import files as run_files
from bigru_jax.runtime import cores, jobs

from . import results as recorded
from .papers import ROWS, VECTORS_SOURCE, Row

_log = logging.getLogger('bigru_jax.reproduce')
_OWN = (*planned_runs.OWN, 'data_dir', 'embeddings')
_GLOVE = (
  'glove.6B.100d.txt',
  'glove.6B.100d.txt.gz',
  'glove.6B.100d.subset.txt.gz',
)

TAKES_RUN_FLAGS = True
FLAGS = flags.FlagValues()
_ROWS = flags.DEFINE_string(
  'rows',
  'all',
  f'Rows with commas between, or all: {", ".join(ROWS)}.',
  flag_values=FLAGS,
)
_DATA_ROOT = flags.DEFINE_string(
  'data_root',
  'data',
  'The folder that holds a folder for each data set.',
  flag_values=FLAGS,
)
_VECTORS = flags.DEFINE_string(
  'vectors',
  None,
  'The word vectors; by default glove/glove.6B.100d.txt in data_root, or .gz.',
  flag_values=FLAGS,
)
_SEEDS = flags.DEFINE_string(
  'seeds',
  None,
  'Seeds, such as 0-4 or 0,3,7; with folds, of each. By default as many as the '
  'row says: three, five, or one where there are folds.',
  flag_values=FLAGS,
)
_JOBS = flags.DEFINE_integer(
  'jobs',
  1,
  'Runs at the same time; they share the cores.',
  lower_bound=1,
  flag_values=FLAGS,
)
_OUTPUT = flags.DEFINE_string(
  'output', 'runs/reproduce', 'The folder of all runs.', flag_values=FLAGS
)
_RESULTS = flags.DEFINE_string(
  'results',
  None,
  'The folder of the results; by default experiments/results, which runs of '
  'other flags, vectors or seeds than those of the rows do not write to.',
  flag_values=FLAGS,
)
_PRINT_COMMANDS = flags.DEFINE_bool(
  'print_commands',
  False,
  'Print the command lines of what is not finished, and exit.',
  flag_values=FLAGS,
)
_TABLES = flags.DEFINE_bool(
  'tables',
  False,
  'Rewrite what is made of the results, and exit.',
  flag_values=FLAGS,
)


def chosen_rows() -> list[Row]:
  """The rows that are asked for.

  Raises:
    ValueError: there is no such row.
  """
  if _ROWS.value == 'all':
    return list(ROWS.values())
  names = list(dict.fromkeys(_ROWS.value.split(',')))
  for name in names:
    if name not in ROWS:
      raise ValueError(f'rows={name!r}: choose all, or {", ".join(ROWS)}')
  return [ROWS[name] for name in names]


def find_vectors(data_root: pathlib.Path) -> pathlib.Path | None:
  """The word vectors; None where they are not at hand.

  Raises:
    FileNotFoundError: the file that was named is not there.
  """
  if _VECTORS.value:
    path = pathlib.Path(_VECTORS.value).expanduser().absolute()
    if not path.is_file():
      raise FileNotFoundError(f'vectors={path}: no such file')
    return path
  paths = [data_root / 'glove' / name for name in _GLOVE]
  return next((path for path in paths if path.is_file()), None)


def missing(
  row: Row, data_root: pathlib.Path, vectors: pathlib.Path | None
) -> str:
  """What a row lacks, where to put it and where it is from; '' if nothing."""
  folder = data_root / row.folder
  lacking = [name for name in row.files if not (folder / name).exists()]
  if lacking:
    return f'skipped: {folder} lacks {", ".join(lacking)}, from {row.source}'
  if not row.folder:
    try:
      config = planned_runs.config_of(recorded.recipe_flags(row))
      CORPORA[config.dataset](config)
    except (OSError, ValueError) as error:
      return f'skipped: {error}'
  if row.vectors and not vectors:
    path = data_root / 'glove' / _GLOVE[0]
    return f'skipped: there is no {path}, from {VECTORS_SOURCE}'
  return ''


def plan(
  row: Row,
  data_root: pathlib.Path,
  vectors: pathlib.Path | None,
  extra: Sequence[str],
) -> list[Planned]:
  """The runs of a row.

  Raises:
    ValueError: a flag is wrong.
  """
  run_flags = recorded.recipe_flags(row)
  if row.folder:
    run_flags.append(f'--data_dir={data_root / row.folder}')
  if row.vectors:
    run_flags.append(f'--embeddings={vectors}')
  seeds = list(range(row.seeds))
  if _SEEDS.value:
    seeds = planned_runs.parse_seeds(_SEEDS.value)
  return planned_runs.plan(row.name, [*run_flags, *extra], seeds, row.folds)


def check_recipes(output: pathlib.Path, planned: Sequence[Planned]) -> None:
  """Refuses runs of other settings, those that could resume included.

  Raises:
    ValueError: a run directory has another configuration than its row.
  """
  for run in planned:
    workdir = output / run.name
    if (workdir / 'config.json').exists():
      config = run_files.read_config(workdir)
      differing = planned_runs.config_of(run.flags).differing_fields(config)
      if differing:
        raise ValueError(
          f'output={workdir} holds a run of other settings: '
          f'{", ".join(differing)}; choose another output'
        )


def hardware(at_once: int) -> str:
  """The processor, and how many of its cores a run has."""
  each = jobs.core_shares(at_once)[0]
  every = cores.cores()
  share = f'{len(each)} of {every}' if len(each) not in (0, every) else every
  noun = 'core' if share == 1 else 'cores'
  return f'{cores.processor()}, {share} {noun}'


def reproduce(
  output: pathlib.Path,
  results: pathlib.Path,
  planned: dict[str, list[Planned]],
  notes: dict[str, str],
) -> bool:
  """Trains the runs of rows; writes a row's result once all its runs are done.

  Args:
    output: the folder of all runs.
    results: the folder of the results.
    planned: the runs by row.
    notes: by row, gets what failed.

  Returns:
    Whether all rows have their result.
  """
  every = [run for group in planned.values() for run in group]
  check_recipes(output, every)
  waiting = [run for run in every if not planned_runs.is_finished(output, run)]
  left = {
    name: {run.name for run in waiting if run.setting == name}
    for name in planned
  }
  machine = hardware(min(_JOBS.value, max(len(waiting), 1)))

  def before(run):
    recorded.write_provenance(output / run.name, machine)

  def record(name):
    folder = str(pathlib.Path(_DATA_ROOT.value).expanduser().absolute())
    try:
      found = recorded.make(ROWS[name], output, planned[name], folder)
    except ValueError as error:
      notes[name] = str(error)
    else:
      run_files.write_json(results / f'{name}.json', found)

  for name in planned:
    if not left[name]:
      record(name)
  finished = planned_runs.run_all(output, every, waiting, _JOBS.value, before)
  for run, failure in finished:
    if failure:
      failures = [notes[run.setting]] if run.setting in notes else []
      failures.append(f'{run.name} failed: {failure}')
      notes[run.setting] = '; '.join(failures)
      continue
    left[run.setting].discard(run.name)
    if not left[run.setting]:
      record(run.setting)
  return not notes.keys() & planned.keys()


def check_flags(extra: Sequence[str]) -> None:
  """Refuses flags that would be ignored.

  Raises:
    ValueError: there is one, or flags that need results are without it.
  """
  if _TABLES.value:
    ignored = (
      'rows',
      'data_root',
      'vectors',
      'seeds',
      'jobs',
      'output',
      'print_commands',
    )
    command.refuse_flags(FLAGS, 'runs, and tables does none', *ignored)
    if extra:
      raise ValueError(f'{extra[0]} needs runs, and tables does none')
  if _PRINT_COMMANDS.value:
    command.refuse_flags(FLAGS, 'runs, and print_commands does none', 'jobs')
  uses = {name for row in chosen_rows() for name in ('vectors', 'folder')
          if getattr(row, name)}  # fmt: skip
  if 'vectors' not in uses:
    command.refuse_flags(FLAGS, 'a row with word vectors', 'vectors')
  if not uses:
    command.refuse_flags(FLAGS, 'a row with files', 'data_root')
  if (extra or _VECTORS.value or _SEEDS.value) and not _RESULTS.value:
    raise ValueError(
      'results: flags after --, vectors and seeds need a folder of their own'
    )


def main(extra: list[str]) -> None:
  check_flags(extra)
  results = pathlib.Path(_RESULTS.value or recorded.RESULTS).expanduser()
  if _TABLES.value:
    for changed in recorded.write_tables(results):
      print(changed)
    return
  planned_runs.check_common(extra, _OWN, 'seeds, output, data_root and vectors')
  data_root = pathlib.Path(_DATA_ROOT.value).expanduser().absolute()
  output = pathlib.Path(_OUTPUT.value).expanduser()
  chosen = chosen_rows()
  vectors = find_vectors(data_root)
  planned, notes = {}, {}
  for row in chosen:
    reason = missing(row, data_root, vectors)
    if reason:
      notes[row.name] = reason
    else:
      planned[row.name] = plan(row, data_root, vectors, extra)
  for runs_of_row in planned.values():
    planned_runs.check_effects(output, runs_of_row)
  for name, reason in notes.items():
    _log.warning('%s: %s', name, reason)
  skipped = bool(notes) and _ROWS.value != 'all'
  if _PRINT_COMMANDS.value:
    for run in (run for group in planned.values() for run in group):
      if not planned_runs.is_finished(output, run):
        print(shlex.join(planned_runs.command_line(output, run)))
    return
  results.mkdir(parents=True, exist_ok=True)
  with run_files.locked(output, 'output'):
    complete = reproduce(output, results, planned, notes)
    text = recorded.table(chosen, recorded.read_all(results), notes) + '\n'
    (output / 'reproduce.md').write_text(text, encoding='utf-8')
  print(text, end='')
  if skipped or not complete:
    sys.exit(1)
