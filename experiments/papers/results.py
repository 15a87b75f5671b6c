"""The results of the rows, with a JSON file for each row."""

from collections.abc import Sequence
import json
import pathlib
import subprocess
from typing import Any

from bigru_jax.cli import planned_runs
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.reports.comparison import settings as comparison
from bigru_jax.rundir import files as run_files

from .papers import ROWS, Row

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'experiments' / 'papers' / 'results'
# The files whose changes make the commit of a working tree dirty. Each result
# records the recipe's flags.
_CODE = (
  'bigru_jax', 'experiments', 'setup.py', ':!experiments/papers/results',
  ':!experiments/papers/recipes',
)  # fmt: skip

_FIELDS = {'mean', 'std', 'n', 'runs', 'hardware', 'minutes'}

Record = dict[str, Any]


def commit() -> str | None:
  """Returns the commit of the working tree, or `-dirty` if its code differs.

  Returns:
    The commit; None outside a repository or without Git.
  """

  def git(*arguments):
    line = ['git', '-C', str(ROOT), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True)

  try:
    top, head = git('rev-parse', '--show-toplevel', 'HEAD').stdout.splitlines()
    if pathlib.Path(top) != ROOT:  # A copy inside of another repository.
      return None
    changes = git('status', '--porcelain', '--', *_CODE).stdout
  except (OSError, subprocess.CalledProcessError):
    return None
  return f'{head}-dirty' if changes else head


def make(
  row: Row, output: pathlib.Path, planned: Sequence[Planned], folder: str
) -> Record:
  """Returns the result of a row whose runs are finished.

  Args:
    row: the row.
    output: the folder of all runs.
    planned: the row's runs.
    folder: the data root, which the result calls `DIR`.

  Raises:
    ValueError: a run lacks the metric, or has read other data than the first.
  """
  identities = [run_files.read_identity(output / run.name) for run in planned]
  for run, identity in zip(planned, identities):
    if identity != identities[0]:
      raise ValueError(
        f'output={output}: {run.name} has read other data than '
        f'{planned[0].name}'
      )
  cells = list(planned_runs.finished_cells(output, planned))
  compared = comparison.compare_settings(cells, row.metric)
  summary = getattr(compared.settings[row.name], row.split)
  made = [_provenance(output / run.name) for run in planned]
  hardware = sorted({x['hardware'] for x in made if x['hardware']})
  return {
    'row': row.name,
    'dataset': planned_runs.config_of(planned[0].flags).dataset,
    'protocol': row.protocol,
    'metric': row.metric,
    'mean': summary.mean,
    'std': summary.std,
    'n': summary.n,
    'runs': [
      {
        'seed': cell.seed,
        'fold': cell.fold,
        'validation': cell.validation,
        'test': cell.test,
        'train_seconds': cell.seconds,
        'flags': [_portable(flag, folder) for flag in run.flags],
        'commit': provenance['commit'],
      }
      for cell, run, provenance in zip(cells, planned, made)
    ],
    'identity': identities[0],
    'hardware': '; '.join(hardware) or None,
    'minutes': sum(cell.seconds for cell in cells) / 60,
  }


def _portable(flag: str, folder: str) -> str:
  """Returns a flag without the paths of this machine."""
  name, _, value = flag.partition('=')
  values = value.split(',') if name == '--embeddings' else [value]
  for i, path in enumerate(values):
    if path.startswith(f'{folder}/'):
      values[i] = f'DIR{path.removeprefix(folder)}'
    elif name == '--embeddings':
      values[i] = pathlib.Path(path).name
  return f'{name}={",".join(values)}' if value else flag


def write_provenance(workdir: pathlib.Path, hardware: str) -> None:
  """Writes the commit and the machine that are about to train a run.

  For a resumed run, the earlier ones are kept.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  before = _provenance(workdir)
  values = {'commit': commit(), 'hardware': hardware}
  for name, value in values.items():
    parts = [*(before[name] or '').split('; '), value]
    values[name] = '; '.join(dict.fromkeys(filter(None, parts))) or None
  run_files.write_json(workdir / 'provenance.json', values)


def _provenance(workdir: pathlib.Path) -> dict[str, str | None]:
  """Reads the commit and the machine of a run; None where not recorded."""
  path = workdir / 'provenance.json'
  if not path.exists():
    return {'commit': None, 'hardware': None}
  return json.loads(path.read_text('utf-8'))


def read_all(results: pathlib.Path) -> dict[str, Record]:
  """Reads the results of each row.

  Raises:
    ValueError: a file is not the result of its row.
  """
  records = {}
  for name in ROWS:
    path = results / f'{name}.json'
    if path.exists():
      try:
        record = json.loads(path.read_text('utf-8'))
        if record['row'] != name:
          raise ValueError(f'it has the row {record["row"]}')
        if missing := _FIELDS - record.keys():
          raise ValueError(f'it lacks {min(missing)}')
      except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is not a result: {error}') from error
      records[name] = record
  return records
