"""The rows of papers' tables, which papers.toml lists."""

import dataclasses
import pathlib
import tomllib
from typing import Any

VECTORS_SOURCE = 'https://nlp.stanford.edu/data/glove.6B.zip'


@dataclasses.dataclass(frozen=True)
class Published:
  """A published score.

  Attributes:
    paper: the model and its paper.
    value: the score, a fraction.
    std: its standard deviation, where one is given.
    kind: empty if it is in the paper's own table, slides or released files;
      `quoted` from another paper; or `reported`, not checked with the original.
  """

  paper: str
  value: float
  std: float | None = None
  kind: str = ''


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    name: the name of its recipe and of its result.
    title: the data set, in words.
    protocol: the training and test sets, in words.
    published: the published scores; empty if no paper has this protocol.
    folder: the folder of the data in `--data_root`; empty if a package that is
      downloaded contains them.
    files: the required files; a Parquet file has the columns text and label.
    source: the source of the data.
    seeds: the default number of seeds.
    folds: the number of folds of a cross-validation; 0 for none.
    metric: the metric in result.json.
    split: the split of the metric.
    vectors: whether it starts from word vectors.
    more_vectors: the files in the same folder that are joined to them.
    init_from: the folder in `--data_root` of the run that it starts from.
    unlabelled: the file in `--data_root` of texts without labels.
    against: another row, with which it is compared over the same folds and
      seeds.
  """

  name: str
  title: str
  protocol: str
  published: tuple[Published, ...] = ()
  folder: str = ''
  files: tuple[str, ...] = ()
  source: str = ''
  seeds: int = 3
  folds: int = 0
  metric: str = 'accuracy'
  split: str = 'test'
  vectors: bool = True
  more_vectors: tuple[str, ...] = ()
  init_from: str = ''
  unlabelled: str = ''
  against: str = ''

  @property
  def paths(self) -> dict[str, str]:
    """The paths in `--data_root` by the flag of `bigru run`."""
    names = {
      'data_dir': self.folder,
      'init_from': self.init_from,
      'unlabelled': self.unlabelled,
    }
    return {flag: name for flag, name in names.items() if name}

  @property
  def heading(self) -> str:
    return f'{self.title}: {self.protocol}'


def _read_rows() -> dict[str, Row]:
  """Reads the rows of papers.toml by name."""
  path = pathlib.Path(__file__).with_name('papers.toml')
  tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text('utf-8'))
  rows = {}
  for name, own in tables.items():
    fields = {**tables.get(own.pop('like', ''), {}), **own}
    tables[name] = fields  # A later row may be like this one.
    published = tuple(Published(**x) for x in fields.get('published', ()))
    tuples = {x: tuple(fields.get(x, ())) for x in ('files', 'more_vectors')}
    values = fields | tuples | {'published': published}
    rows[name] = Row(name=name, **values)
  return rows


ROWS = _read_rows()
