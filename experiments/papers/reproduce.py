"""Reproduces the rows of papers, and compares the results with the papers.

  python experiments/reproduce.py --rows=trec,r8 --data_root=data
  python experiments/reproduce.py --rows=trec --seeds=0 -- --epochs=1
  python experiments/reproduce.py --rows=trec --record
  python experiments/reproduce.py --tables

A row has a recipe, recipes/<row>.flags, a protocol in papers.toml, and a
recorded result, results/<row>.json, of this repository. The command prints your
results beside the published and the recorded ones. It writes only under the
output folder:

  reproduce.md         the table
  results/<row>.json   your result of a row whose runs are finished
  <run>/               the run directories, each with its log.txt

The flags after -- are more flags of `bigru run`, for all runs. Each run has its
own process. Finished runs are skipped, so the same command resumes.

The data root contains a folder for each data set. A row without its data is
skipped with a warning that names the missing files; the exit status is 1 if the
row was named.

Two flags are for those who maintain this repository: `--record` also writes the
results over the recorded ones, and `--tables` runs nothing, but updates the
tables of recorded results in README.md, docs/results.md and the recipes.
"""

from collections.abc import Sequence
import itertools
import logging
import pathlib

from bigru_jax.cli import outputs, planned_runs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.rundir import files as run_files, lock
from bigru_jax.runtime import cores, jobs

from . import plans, results, tables
from .own_table import own_table
from .papers import ROWS, Row

_log = logging.getLogger('bigru_jax.reproduce')

TAKES_RUN_FLAGS = True
FLAGS = Flags()
_ROWS = FLAGS.string(
  'rows', f'The rows, separated by commas, or all: {", ".join(ROWS)}.', 'all'
)
_DATA_ROOT = FLAGS.path(
  'data_root', 'The folder that contains a folder for each data set.', 'data'
)
_VECTORS = FLAGS.path(
  'vectors',
  'The word vectors; by default glove/glove.6B.100d.txt[.gz] in data_root.',
)
_OUTPUT = FLAGS.path('output', 'The folder of all runs.', 'runs/reproduce')
_RECORD = FLAGS.boolean(
  'record',
  'Record the results in experiments/papers/results, which takes only runs '
  'with the flags, vectors and seeds of the rows.',
)
_TABLES = FLAGS.boolean(
  'tables', 'Update the tables of the recorded results, and exit.'
)
_FORMAT = outputs.define_format(FLAGS, 'markdown')
FLAGS.alias('data_dir', 'data_root')  # The old name, for one version.
FLAGS.append_flag_values(planned_runs.FLAGS)


def chosen_rows() -> list[Row]:
  """Returns the rows of `--rows`.

  Raises:
    ValueError: a row is unknown.
  """
  if _ROWS.value == 'all':
    return list(ROWS.values())
  names = list(dict.fromkeys(_ROWS.value.split(',')))
  for name in names:
    if name not in ROWS:
      raise ValueError(f'rows={name!r}: choose all, or {", ".join(ROWS)}')
  return [ROWS[name] for name in names]


def hardware(at_once: int) -> str:
  """Returns the processor, and how many of its cores a run uses."""
  share = len(jobs.core_shares(at_once)[0])
  total = cores.cores()
  used = f'{share} of {total}' if share not in (0, total) else total
  noun = 'core' if used == 1 else 'cores'
  return f'{cores.processor()}, {used} {noun}'


def reproduce(
  output: pathlib.Path,
  planned: dict[str, list[Planned]],
  notes: dict[str, str],
) -> bool:
  """Trains the runs of rows, and writes the result of each finished row.

  Args:
    output: the folder of all runs and of the results.
    planned: the runs of each row.
    notes: the notes on each row, to which failures are added.

  Returns:
    Whether all rows have their results.
  """

  folders = [output / 'results', *([results.RESULTS] if _RECORD.value else [])]
  folders[0].mkdir(exist_ok=True)

  def record_finished(name):
    if all(planned_runs.is_finished(output, run) for run in planned[name]):
      data_root = str(pathlib.Path(_DATA_ROOT.value).absolute())
      try:
        result = results.make(ROWS[name], output, planned[name], data_root)
      except ValueError as error:
        notes[name] = str(error)
      else:
        for folder in folders:
          run_files.write_json(folder / f'{name}.json', result)

  runs = list(itertools.chain(*planned.values()))
  plans.check_recipes(output, runs)
  num_waiting = sum(not planned_runs.is_finished(output, run) for run in runs)
  machine = hardware(min(planned_runs.JOBS.value, max(num_waiting, 1)))
  for name in planned:
    record_finished(name)

  def before(run):
    results.write_provenance(output / run.name, machine)

  for run, failure in planned_runs.run_all(output, runs, before):
    if failure:
      note = f'{run.name} failed: {failure}'
      earlier = f'{notes[run.setting]}; ' if run.setting in notes else ''
      notes[run.setting] = earlier + note
    else:
      record_finished(run.setting)
  return not notes.keys() & planned.keys()


def check_flags(extra: Sequence[str]) -> None:
  """Refuses flags that would be ignored.

  Raises:
    ValueError: there is such a flag, or `--record` is given for runs that are
      not those of the rows.
  """
  if _TABLES.value:
    ignored = ('rows', 'data_root', 'vectors', 'seeds', 'jobs', 'output',
               'print_commands', 'record', 'format')  # fmt: skip
    FLAGS.refuse('runs, and tables starts none', *ignored)
    if extra:
      raise ValueError(f'{extra[0]} needs runs, and tables starts none')
  if planned_runs.PRINT_COMMANDS.value:
    FLAGS.refuse(
      'runs, and print_commands starts none', 'jobs', 'record', 'format'
    )
  uses = {name for row in chosen_rows() for name in ('vectors', 'folder')
          if getattr(row, name)}  # fmt: skip
  if 'vectors' not in uses:
    FLAGS.refuse('a row with word vectors', 'vectors')
  if not uses:
    FLAGS.refuse('a row with files', 'data_root')
  is_changed = extra or _VECTORS.value or planned_runs.SEEDS.value
  if is_changed and _RECORD.value:
    raise ValueError(
      'record needs the runs of the rows, without flags after --, vectors and '
      'seeds'
    )


def main(extra: list[str]) -> int:
  """Runs the rows, or only prints their commands or updates the tables.

  Args:
    extra: more flags of `bigru run`, for all runs.

  Returns:
    The exit status: 1 if a named row has no result of these runs.
  """
  check_flags(extra)
  if _TABLES.value:
    for changed in tables.write_tables(results.RESULTS):
      print(changed)
    return 0
  planned_runs.check_common(
    extra, plans.OWN, 'seeds, output, data_root and vectors'
  )
  data_root = pathlib.Path(_DATA_ROOT.value).absolute()
  output = pathlib.Path(_OUTPUT.value)
  rows = chosen_rows()
  vectors = plans.find_vectors(data_root, _VECTORS.value)
  planned, notes = {}, {}
  for row in rows:
    if reason := plans.missing(row, data_root, vectors):
      notes[row.name] = reason
    else:
      seeds = planned_runs.SEEDS.value
      planned[row.name] = plans.plan(row, data_root, vectors, seeds, extra)
  runs = list(itertools.chain(*planned.values()))
  planned_runs.check_effects(output, runs)
  for name, reason in notes.items():
    _log.warning('%s: %s', name, reason)
  skipped = bool(notes) and _ROWS.value != 'all'
  if planned_runs.PRINT_COMMANDS.value:
    planned_runs.print_commands(output, runs)
    return 0
  recorded = results.read_all(results.RESULTS)
  with lock.locked(output, 'output'):
    complete = reproduce(output, planned, notes)
    own = results.read_all(output / 'results')
    text = own_table(rows, recorded, own, notes, 'markdown')
    (output / 'reproduce.md').write_text(f'{text}\n', encoding='utf-8')
  print(own_table(rows, recorded, own, notes, _FORMAT.value))
  return int(skipped or not complete)
