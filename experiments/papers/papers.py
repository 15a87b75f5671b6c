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
    kind: empty where it is in the paper's own table, slides or released files;
      `quoted` from another paper; or `reported`, not checked against a copy.
  """

  paper: str
  value: float
  std: float | None = None
  kind: str = ''


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of a table.

  Attributes:
    name: of its recipe and of its result.
    title: the data set, in words.
    protocol: what is trained on and tested, in words.
    published: what papers report; empty where none has this protocol.
    folder: that directly holds the data, in `--data_root`; empty where a
      package that is fetched holds them.
    files: that must be there; a Parquet file has the columns text and label.
    source: where the data are downloaded.
    seeds: how many are run by default.
    folds: of a cross-validation; 0 where there is none.
    metric: of result.json.
    split: whose metric it is.
    vectors: whether it starts from word vectors.
    against: another row, which the same folds and seeds are compared with.
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
  against: str = ''

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
    published = tuple(Published(**x) for x in fields.pop('published', ()))
    files = tuple(fields.pop('files', ()))
    rows[name] = Row(name=name, files=files, published=published, **fields)
  return rows


ROWS = _read_rows()
