"""Tables of the papers' scores and our results, as Markdown."""

from collections.abc import Mapping
import math
import pathlib

from bigru_jax.reports.comparison import settings as comparison
from bigru_jax.reports.comparison.settings import Cell
from bigru_jax.reports.comparison.settings_tables import comparison_as
from bigru_jax.reports.tables import markdown

from .papers import ROWS, Published, Row
from .results import ROOT, Record, read_all

BEGIN = '<!-- papers: written by experiments/reproduce.py --tables -->'
END = '<!-- papers: end -->'
# The rows whose results are in README.md.
FIRST_PAGE = ('mr', 'sst2', 'trec', 'r8', 'imdb_pretrained_512', 'semeval2010')


def table(records: Mapping[str, Record]) -> str:
  """Returns published scores and ours as Markdown, a line per published one.

  Args:
    records: the results of rows by name; a row may have none.
  """
  lines = [['paper', 'row', 'published', 'ours', 'difference', 'minutes, on']]
  for row in ROWS.values():
    record = records.get(row.name)
    for paper in row.published or [None]:
      difference = '–'
      if paper and record:
        difference = f'{100 * (record["mean"] - paper.value):+.2f}'
      published = [paper.paper, published_score(paper)] if paper else ['–', '–']
      published.insert(1, row.heading)
      lines.append([*published, our_score(record), difference, cost(record)])
  return markdown(lines)


def short_table(records: Mapping[str, Record]) -> str:
  """Returns a line per row of the README that has a result, as Markdown."""
  command = 'command: `python experiments/reproduce.py --data_root=DIR` and'
  lines = [['data set', 'published', 'ours', command]]
  for name in FIRST_PAGE:
    if name in records:
      row, ours = ROWS[name], our_score(records[name])
      published = '; '.join(
        f'{x.paper} {published_score(x)}' for x in row.published
      )
      lines.append([row.heading, published or '–', ours, f'`--rows={name}`'])
  return markdown(lines)


def pairs(records: Mapping[str, Record]) -> str:
  """Returns the comparisons of rows that have another one in `against`."""
  parts = []
  for row in ROWS.values():
    if row.against and {row.name, row.against} <= records.keys():
      cells = [
        Cell(
          setting=name,
          seed=run['seed'],
          fold=run['fold'],
          validation=run['validation'],
          test=run['test'],
          seconds=run['train_seconds'],
        )
        for name in (row.name, row.against)
        for run in records[name]['runs']
      ]
      compared = comparison.compare_settings(cells, row.metric)
      parts.append(f'`{row.name}` and `{row.against}`:')
      parts.append(comparison_as(compared, 'markdown'))
  return '\n\n'.join(parts)


def write_tables(
  results: pathlib.Path, root: pathlib.Path = ROOT
) -> list[pathlib.Path]:
  """Updates everything that is generated from the results.

  These are parts of README.md and docs/results.md, and the comments above the
  recipes.

  Returns:
    The files that changed.

  Raises:
    ValueError: a file lacks its generated part.
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
  """Returns the new content of each file with generated parts."""
  records = read_all(results)
  parts = [table(records), pairs(records)]
  contents = {}
  for path, part in (
    (root / 'README.md', short_table(records)),
    (root / 'docs' / 'results.md', '\n\n'.join(filter(None, parts))),
  ):
    contents[path] = replaced(path, BEGIN, END, part)
  for row in ROWS.values():
    path = root / 'experiments' / 'papers' / 'recipes' / f'{row.name}.flags'
    _, blank, rest = path.read_text('utf-8').partition('\n\n')
    if not blank:
      raise ValueError(f'{path}: no blank line after the comment')
    contents[path] = f'{comment(row, records.get(row.name))}\n\n{rest}'
  return contents


def replaced(path: pathlib.Path, begin: str, end: str, part: str) -> str:
  """Returns a file's content with a new part between two comments.

  Raises:
    ValueError: it lacks a comment.
  """
  before, first, rest = path.read_text('utf-8').partition(begin)
  _, last, after = rest.partition(end)
  if not (first and last):
    raise ValueError(f'{path} has no part between {begin} and {end}')
  return f'{before}{begin}\n{part}\n{end}{after}'


def comment(row: Row, record: Record | None) -> str:
  """Returns the comment at the top of a recipe."""
  expected = 'no result is recorded'
  if record:
    vectors = [
      pathlib.Path(path).name
      for flag in record['runs'][0]['flags']
      if flag.startswith('--embeddings=')
      for path in flag.removeprefix('--embeddings=').split(',')
    ]
    expected = f'{row.split} {row.metric} {our_score(record)}'
    if vectors:
      expected += f', with {" and ".join(vectors)}'
    expected += f'; minutes of all runs: {cost(record)}'
  names = ['glove.6B.100d.txt', *row.more_vectors] if row.vectors else []
  embeddings = ','.join(f'data/glove/{name}' for name in names)
  command = [
    'python experiments/run.py',
    f'--flagfile=experiments/papers/recipes/{row.name}.flags',
    *(f'--{flag}=data/{name}' for flag, name in row.paths.items()),
    *([f'--embeddings={embeddings}'] if embeddings else []),
    *([f'--folds={row.folds} --fold=0'] if row.folds else []),
  ]
  lines = [
    f'{row.heading}.',
    *(f'{paper.paper}: {published_score(paper)}' for paper in row.published),
    f'Expected: {expected}.',
    ' \\\n#     '.join(command),
    f'All runs: python experiments/reproduce.py --rows={row.name}',
  ]
  return '\n'.join(f'# {line}' for line in lines)


def published_score(paper: Published) -> str:
  """Returns a published score in percent; the kind is added if it has one."""
  text = _percent(paper.value)
  if paper.std is not None:
    text += f' ± {_percent(paper.std)}'
  return f'{text} ({paper.kind})' if paper.kind else text


def _percent(value: float) -> str:
  """Returns a percentage with one decimal, or two if the second is not 0."""
  text = f'{100 * value:.2f}'
  return text.removesuffix('0')


def our_score(record: Record | None) -> str:
  """Returns the mean and the standard deviation of a result in percent."""
  if not record:
    return '–'
  mean, std = 100 * record['mean'], record['std']
  if std is None or math.isnan(std):
    return f'{mean:.2f} (n = {record["n"]})'
  return f'{mean:.2f} ± {100 * std:.2f} (n = {record["n"]})'


def cost(record: Record | None) -> str:
  """Returns the minutes of a result's runs, and their machine."""
  if not record:
    return '–'
  return f'{record["minutes"]:.1f}, {record["hardware"] or "not recorded"}'
