"""The data sets that have a name: a reader per file, and one dict of them.

To add one, write a module with a function that returns its splits, and name it
in `CORPORA`. A split that the data set does not define is held out of train.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bigru_jax.data.corpora import (
  cachopo,
  mr,
  rotten_tomatoes,
  sst,
  synthetic,
  tfds,
  trec,
)
from bigru_jax.data.files import read_file
from bigru_jax.data.splits import NAMES, Split

if TYPE_CHECKING:
  from bigru_jax.config import Config

CORPORA: dict[str, Callable[[Config], dict[str, Split]]] = {
  'rotten_tomatoes': lambda config: rotten_tomatoes.read(),
  'reuters_r8': lambda config: cachopo.read('reuters-r8'),
  'reuters_r52': lambda config: cachopo.read('reuters-r52'),
  'newsgroups20': lambda config: cachopo.read('20newsgroups'),
  'mr': lambda config: mr.read(_data_dir(config)),
  'trec': lambda config: trec.read(_data_dir(config)),
  'sst1': lambda config: sst.read(
    _data_dir(config), binary=False, phrases=config.sst_phrases
  ),
  'sst2': lambda config: sst.read(
    _data_dir(config), binary=True, phrases=config.sst_phrases
  ),
  'synthetic': lambda config: synthetic.read(config.split_seed),
}


def read(config: Config) -> dict[str, Split]:
  """The splits that a configuration's own files or data set define.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  if config.train:
    return {
      name: read_file(path, name, config.text_column, config.label_column)
      for name in NAMES
      if (path := getattr(config, name))
    }
  for name in ('validation', 'test'):
    if getattr(config, name):
      raise ValueError(f'{name}={getattr(config, name)} needs train as well')
  if config.dataset.startswith('tfds:'):
    return tfds.read(config.dataset.removeprefix('tfds:'), config)
  if config.dataset not in CORPORA:
    raise ValueError(
      f'dataset={config.dataset!r}: choose {", ".join(CORPORA)} or tfds:<name>'
    )
  return CORPORA[config.dataset](config)


def _data_dir(config: Config) -> str:
  if not config.data_dir:
    raise ValueError(f'dataset={config.dataset!r} needs its files in data_dir')
  return config.data_dir
