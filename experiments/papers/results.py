"""Rows' recipes and results: a JSON a row, and the tables made of them."""

from collections.abc import Mapping, Sequence
import contextlib
import dataclasses
import json
import math
import pathlib
import subprocess
from typing import Any

from absl import flags

from bigru_jax.cli import planned_runs
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.reports import comparison
from bigru_jax.reports.comparison import Cell
from bigru_jax.reports.tables import markdown
from bigru_jax.rundir import files as run_files

from .papers import ROWS, TABLE, Published, Row

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'experiments' / 'results'
BEGIN = '<!-- papers: written by experiments/reproduce.py --tables -->'
END = '<!-- papers: end -->'
# What decides a run, and so makes the commit of a working tree dirty.
# The recipes' flags are recorded with each run.
_CODE = (
  'bigru_jax', 'experiments', 'setup.py', ':!experiments/results',
  ':!experiments/recipes',
)  # fmt: skip

_FIELDS = {'mean', 'std', 'n', 'published', 'runs', 'hardware', 'minutes'}

Record = dict[str, Any]


def recipe_flags(row: Row) -> list[str]:
  """The flags of a row's recipe and of the files that it includes."""
  with contextlib.chdir(ROOT):  # Its paths begin at the root.
    name = f'experiments/recipes/{row.name}.flags'
    return flags.FLAGS.read_flags_from_files([f'--flagfile={name}'])


def commit() -> str | None:
  """The commit of the working tree, `-dirty` where its code differs from it.

  Returns:
    None outside a repository, and without Git.
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
  """The result of a row whose runs are finished.

  Args:
    row: the row.
    output: the folder of all runs.
    planned: the row's runs.
    folder: of the data sets, which `DIR` stands for in the result.

  Raises:
    ValueError: a run has no such metric, or has read other data than the first.
  """
  identities = [run_files.read_identity(output / run.name) for run in planned]
  for run, identity in zip(planned, identities):
    if identity != identities[0]:
      raise ValueError(
        f'output={output}: {run.name} has read other data than '
        f'{planned[0].name}'
      )
  cells = list(planned_runs.finished_cells(output, planned))
  found = comparison.compare_settings(cells, row.metric)
  summary = getattr(found, row.split)[row.name]
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
    'published': [dataclasses.asdict(paper) for paper in row.published],
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
  """A flag without the paths of this machine."""
  name, _, value = flag.partition('=')
  if value.startswith(f'{folder}/'):
    return f'{name}=DIR{value.removeprefix(folder)}'
  if name == '--embeddings':
    return f'{name}={pathlib.Path(value).name}'
  return flag


def write_provenance(workdir: pathlib.Path, hardware: str) -> None:
  """Writes the commit and the machine that are about to train a run.

  Of a run that is resumed, those before are kept.
  """
  workdir.mkdir(parents=True, exist_ok=True)
  before = _provenance(workdir)
  values = {'commit': commit(), 'hardware': hardware}
  for name, value in values.items():
    every = [*(before[name] or '').split('; '), value]
    values[name] = '; '.join(dict.fromkeys(filter(None, every))) or None
  run_files.write_json(workdir / 'provenance.json', values)


def _provenance(workdir: pathlib.Path) -> dict[str, str | None]:
  """The commit and the machine of a run; None for each if not recorded."""
  path = workdir / 'provenance.json'
  if not path.exists():
    return {'commit': None, 'hardware': None}
  return json.loads(path.read_text('utf-8'))


def read_all(results: pathlib.Path) -> dict[str, Record]:
  """The results by row.

  Raises:
    ValueError: a file holds no result of a row.
  """
  found = {}
  for name in ROWS:
    path = results / f'{name}.json'
    if path.exists():
      try:
        record = json.loads(path.read_text('utf-8'))
        if record['row'] != name:
          raise ValueError(f'of row {record["row"]}')
        if missing := _FIELDS - record.keys():
          raise ValueError(f'without {min(missing)}')
      except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'results={path}: no result: {error}') from error
      found[name] = record
  return found


def table(
  chosen: Sequence[Row],
  records: Mapping[str, Record],
  notes: Mapping[str, str],
) -> str:
  """Published beside ours, a line for each published score, as Markdown.

  Args:
    chosen: the rows.
    records: their results by name, of those that have one.
    notes: by name, what else there is to say of a row's result.
  """
  head = ['paper', 'row', 'published', 'ours', 'difference', 'minutes, on']
  lines = [head]
  for row in chosen:
    record = records.get(row.name)
    title = f'{row.title}: {row.protocol}'
    ours = _ours(record)
    if row.name in notes:
      ours = f'{ours}, recorded; ' if record else ''
      ours += notes[row.name]
    for place, paper in enumerate(row.published or [None]):
      difference = '–'
      if paper and record:
        difference = f'{100 * (record["mean"] - paper.value):+.2f}'
      lines.append(
        [
          paper.paper if paper else '–',
          title,
          _score(paper) if paper else '–',
          # The rest of a row's lines would only repeat the first.
          ours if not place else _ours(record),
          difference,
          _cost(record),
        ]
      )
  return markdown(lines)


def short_table(records: Mapping[str, Record]) -> str:
  """A line for each row, as Markdown."""
  lines = [['data set', 'published', 'ours', 'recipe']]
  for row in ROWS.values():
    record = records.get(row.name)
    lines.append(
      [
        f'{row.title}: {row.protocol}',
        '; '.join(f'{x.paper} {_score(x)}' for x in row.published) or '–',
        _ours(record),
        f'`{row.name}`',
      ]
    )
  return markdown(lines)


def pairs(records: Mapping[str, Record]) -> str:
  """The rows that are compared with another one, as Markdown."""
  parts = []
  for row in ROWS.values():
    if row.against and {row.name, row.against} <= records.keys():
      cells = [
        Cell(
          name,
          run['seed'],
          run['fold'],
          run['validation'],
          run['test'],
          run['train_seconds'],
        )
        for name in (row.name, row.against)
        for run in records[name]['runs']
      ]
      found = comparison.compare_settings(cells, row.metric)
      parts += [
        f'`{row.name}` and `{row.against}`:',
        comparison.as_markdown(found),
      ]
  return '\n\n'.join(parts)


def write_tables(
  results: pathlib.Path, root: pathlib.Path = ROOT
) -> list[pathlib.Path]:
  """Brings all that is made of the results up to date.

  These are a part of README.md and of docs/results.md, the comment at the top
  of each recipe, and what each result says of its papers.

  Returns:
    The files that changed.

  Raises:
    ValueError: a file has no such part.
  """
  changed = []
  for path, text in generated(results, root).items():
    if path.read_text('utf-8') != text:
      path.write_text(text, encoding='utf-8')
      changed.append(path)
  return changed


def generated(
  results: pathlib.Path, root: pathlib.Path = ROOT
) -> dict[pathlib.Path, str]:
  """The content of each file of which a part is made of the results."""
  records = read_all(results)
  every = list(ROWS.values())
  parts = [table(every, records, {}), pairs(records)]
  full = '\n\n'.join(part for part in parts if part)
  found = {}
  for name, record in records.items():
    papers = [dataclasses.asdict(paper) for paper in ROWS[name].published]
    content = json.dumps({**record, 'published': papers}, indent=2)
    found[results / f'{name}.json'] = f'{content}\n'
  for path, part in (
    (root / 'README.md', short_table(records)),
    (root / 'docs' / 'results.md', full),
  ):
    found[path] = replaced(path, BEGIN, END, part)
  for row in every:
    path = root / 'experiments' / 'recipes' / f'{row.name}.flags'
    _, blank, rest = path.read_text('utf-8').partition('\n\n')
    if not blank:
      raise ValueError(f'{path}: no blank line after the comment')
    found[path] = f'{comment(row, records.get(row.name))}\n\n{rest}'
  return found


def replaced(path: pathlib.Path, begin: str, end: str, part: str) -> str:
  """The content of a file with another part between two comments.

  Raises:
    ValueError: it has no such part.
  """
  before, first, rest = path.read_text('utf-8').partition(begin)
  _, last, after = rest.partition(end)
  if not (first and last):
    raise ValueError(f'{path} has no part between {begin} and {end}')
  return f'{before}{begin}\n{part}\n{end}{after}'


def comment(row: Row, record: Record | None) -> str:
  """The comment at the top of a recipe."""
  expected = 'no result is recorded'
  if record:
    vectors = [
      pathlib.Path(flag.removeprefix('--embeddings=')).name
      for flag in record['runs'][0]['flags']
      if flag.startswith('--embeddings=')
    ]
    expected = f'{row.split} {row.metric} {_ours(record)}'
    expected += ''.join(f', with {name}' for name in vectors)
    expected += f'; minutes of all runs: {_cost(record)}'
  command = [
    'python experiments/run.py',
    f'--flagfile=experiments/recipes/{row.name}.flags',
  ]
  if row.folder:
    command.append(f'--data_dir=data/{row.folder}')
  if row.vectors:
    command.append('--embeddings=data/glove/glove.6B.100d.txt')
  if row.folds:
    command.append(f'--folds={row.folds} --fold=0')
  lines = [
    f'{row.title}: {row.protocol}.',
    *(f'{paper.paper}: {_score(paper)}' for paper in row.published),
    f'Expected: {expected}.',
    ' \\\n#     '.join(command),
    f'All runs: python experiments/reproduce.py --rows={row.name}',
  ]
  return '\n'.join(f'# {line}' for line in lines)


def _score(paper: Published) -> str:
  """A published score in percent, with its kind where it is not its own."""
  text = _percent(paper.value)
  if paper.std is not None:
    text += f' ± {_percent(paper.std)}'
  return text if paper.kind == TABLE else f'{text} ({paper.kind})'


def _percent(value: float) -> str:
  """With one digit after the point, or with two where the second is not 0."""
  text = f'{100 * value:.2f}'
  return text.removesuffix('0')


def _ours(record: Record | None) -> str:
  if not record:
    return '–'
  mean, std = 100 * record['mean'], record['std']
  if std is None or math.isnan(std):
    return f'{mean:.2f} (n = {record["n"]})'
  return f'{mean:.2f} ± {100 * std:.2f} (n = {record["n"]})'


def _cost(record: Record | None) -> str:
  if not record:
    return '–'
  return f'{record["minutes"]:.1f}, {record["hardware"] or "not recorded"}'
