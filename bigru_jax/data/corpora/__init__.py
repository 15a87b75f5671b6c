"""The data sets that have a name: a reader per file, and one dict of them.

To add one, write a module with a function that returns its splits, and name it
in `PACKAGED` or `_FROM_FILES`. A split that the data set does not define is
held out of train.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bigru_jax.data.corpora import (
  cachopo,
  movie_reviews,
  mr,
  parquet,
  rotten_tomatoes,
  semeval2010,
  sst,
  synthetic,
  trec,
)
from bigru_jax.data.splits import Example

# Of which data_dir holds train.parquet and test.parquet.
_PARQUET = (
  'imdb', 'ohsumed', 'mr_text_gcn', 'yelp_2013', 'yelp_2015', 'yahoo_answers',
  'amazon_reviews',
)  # fmt: skip
_Readers = dict[str, Callable[[Any], Mapping[str, Iterable[Example]]]]
# Each reader takes the configuration. These need no files of the user:
PACKAGED: _Readers = {
  'rotten_tomatoes': lambda config: rotten_tomatoes.read(),
  'reuters_r8': lambda config: cachopo.read('reuters-r8'),
  'reuters_r52': lambda config: cachopo.read('reuters-r52'),
  'newsgroups20': lambda config: cachopo.read('20newsgroups'),
  # As in Jain & Wallace, 2019, https://aclanthology.org/N19-1357.
  'newsgroups_sports': lambda config: cachopo.read(
    '20newsgroups', ('rec.sport.baseball', 'rec.sport.hockey')
  ),
  'synthetic': lambda config: synthetic.read(config.split_seed),
  'synthetic_multi_label': lambda config: synthetic.read_multi_label(
    config.split_seed
  ),
}
# And these read the files in data_dir:
_FROM_FILES: _Readers = {
  'mr': lambda config: mr.read(_data_dir(config)),
  'trec': lambda config: trec.read(_data_dir(config)),
  'sst1': lambda config: sst.read(
    _data_dir(config), binary=False, phrases=config.sst_phrases
  ),
  'sst2': lambda config: sst.read(
    _data_dir(config), binary=True, phrases=config.sst_phrases
  ),
  **dict.fromkeys(
    _PARQUET,
    lambda config: parquet.read(
      _data_dir(config), {'train': 'train.parquet', 'test': 'test.parquet'}
    ),
  ),
  'hotel_reviews': lambda config: parquet.read(
    _data_dir(config), {'train': 'hotel_reviews.parquet'}
  ),
  'movie_reviews': lambda config: movie_reviews.read(_data_dir(config)),
  'semeval2010': lambda config: semeval2010.read(_data_dir(config)),
}
CORPORA: _Readers = {**PACKAGED, **_FROM_FILES}


def _data_dir(config: Any) -> str:
  if not config.data_dir:
    raise ValueError(f'dataset={config.dataset!r} needs its files in data_dir')
  return config.data_dir
