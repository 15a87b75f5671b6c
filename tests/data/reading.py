"""Reads files and fixtures into splits, for the tests of readers."""

import pathlib

from bigru_jax.config import Config
from bigru_jax.data import sources, tabular_files
from bigru_jax.data.splits import Split

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / 'fixtures'


def read_split(*arguments, **options):
  """Returns the examples that `tabular_files.read_file` reads."""
  examples = list(tabular_files.read_file(*arguments, **options))
  return Split(
    [example.text for example in examples],
    [example.label for example in examples],
    [example.row for example in examples],
    'train',
  )


def read_fixture(name, folder, **options):
  """Returns the splits of a data set whose files are a folder of fixtures."""
  return sources.read(
    Config(dataset=name, data_dir=str(FIXTURES / folder), **options)
  )
