"""The named data sets: one reader per file, and a dict of all.

To add a data set, write a module with a function that returns its splits, and
an entry of `CORPORA`. Splits that a data set lacks are held out of train.
"""

from collections.abc import Callable, Iterable, Mapping
import dataclasses
import pathlib
from typing import Any

from bigru_jax.data.corpora import (
  cachopo,
  movie_reviews,
  mr,
  rotten_tomatoes,
  semeval2010,
  sst,
  synthetic,
  tfds,
  trec,
)
from bigru_jax.data.open_files import check_file
from bigru_jax.data.splits import Example
from bigru_jax.data.table_columns import Columns
from bigru_jax.data.tabular_files import read_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
  """An entry of `CORPORA`.

  Attributes:
    read: the function from the configuration to the splits by name.
    needs_files: whether the user must have its files in `data_dir`.
    has_columns: whether `text_column` and `label_column` name its columns.
    has_phrases: whether `sst_phrases` changes it.
    is_generated: whether `split_seed` generates its texts.
    deciding_positions: the function from (split_seed, name of a split) to the
      positions of the words that decide each label, if they are known.
  """

  read: Callable[[Any], Mapping[str, Iterable[Example]]]
  needs_files: bool = False
  has_columns: bool = False
  has_phrases: bool = False
  is_generated: bool = False
  deciding_positions: Callable[[int, str], list[set[int]]] | None = None


def data_dir(config: Any) -> str:
  """Returns the folder of the data set's files.

  Raises:
    ValueError: `data_dir` is empty.
  """
  if not config.data_dir:
    raise ValueError(f'dataset={config.dataset!r} needs its files in data_dir')
  return config.data_dir


def _of_files(read: Callable[[pathlib.Path], Any]) -> DataSet:
  return DataSet(
    read=lambda config: read(pathlib.Path(data_dir(config))), needs_files=True
  )


def _of_parquet(**files: str) -> DataSet:
  """Returns a data set whose folder has a Parquet file for each split."""

  def read(folder: pathlib.Path) -> Mapping[str, Iterable[Example]]:
    paths = {name: folder / file for name, file in files.items()}
    for path in paths.values():  # All must exist before one is read.
      check_file(path, 'data_dir')
    return {name: read_file(p, 'data_dir') for name, p in paths.items()}

  return _of_files(read)


def _of_trees(binary: bool) -> DataSet:
  return DataSet(
    read=lambda config: sst.read(
      pathlib.Path(data_dir(config)), binary=binary, phrases=config.sst_phrases
    ),
    needs_files=True,
    has_phrases=True,
  )


_TRAIN_AND_TEST = _of_parquet(train='train.parquet', test='test.parquet')
CORPORA: dict[str, DataSet] = {
  'rotten_tomatoes': DataSet(read=lambda config: rotten_tomatoes.read()),
  'reuters_r8': DataSet(read=lambda config: cachopo.read('reuters-r8')),
  'reuters_r52': DataSet(read=lambda config: cachopo.read('reuters-r52')),
  'newsgroups20': DataSet(read=lambda config: cachopo.read('20newsgroups')),
  # As in Jain & Wallace, 2019, https://aclanthology.org/N19-1357.
  'newsgroups_sports': DataSet(
    read=lambda config: cachopo.read(
      '20newsgroups', ('rec.sport.baseball', 'rec.sport.hockey')
    )
  ),
  'synthetic': DataSet(
    read=lambda config: synthetic.read(config.split_seed),
    is_generated=True,
    deciding_positions=synthetic.deciding_positions,
  ),
  'synthetic_multi_label': DataSet(
    read=lambda config: synthetic.read_multi_label(config.split_seed),
    is_generated=True,
  ),
  'mr': _of_files(mr.read),
  'trec': _of_files(trec.read),
  'sst1': _of_trees(binary=False),
  'sst2': _of_trees(binary=True),
  'imdb': _TRAIN_AND_TEST,
  'ohsumed': _TRAIN_AND_TEST,
  'mr_text_gcn': _TRAIN_AND_TEST,
  'yelp_2013': _TRAIN_AND_TEST,
  'yelp_2015': _TRAIN_AND_TEST,
  'yahoo_answers': _TRAIN_AND_TEST,
  'amazon_reviews': _TRAIN_AND_TEST,
  'hotel_reviews': _of_parquet(train='hotel_reviews.parquet'),
  'movie_reviews': _of_files(movie_reviews.read),
  'semeval2010': _of_files(semeval2010.read),
}


_TFDS = DataSet(
  read=lambda config: tfds.read(
    config.dataset.removeprefix('tfds:'),
    config.data_dir,
    Columns(
      config.text_column,
      config.label_column,
      weight=config.weight_column,
      id=config.id_column,
    ),
  ),
  needs_files=True,
  has_columns=True,
)


def find(name: str) -> DataSet:
  """Returns the data set of a name, also one of TensorFlow Datasets.

  Raises:
    ValueError: no data set has this name.
  """
  if name.startswith('tfds:'):
    return _TFDS
  if name not in CORPORA:
    raise ValueError(
      f'dataset={name!r}: choose {", ".join(CORPORA)} or tfds:<name>'
    )
  return CORPORA[name]
