"""Data sets whose folder holds a Parquet file with texts for each split."""

from collections.abc import Iterator
import os

from bigru_jax.data import tabular_files
from bigru_jax.data.splits import Example


def read(
  data_dir: str | os.PathLike, names: dict[str, str]
) -> dict[str, Iterator[Example]]:
  """The splits of a folder, from the columns `text` and `label`.

  A file is read while its split is iterated over.

  Args:
    data_dir: holds the files.
    names: of the files, by split.

  Raises:
    FileNotFoundError, ValueError: with the file and the row.
  """
  paths = {part: os.path.join(data_dir, name) for part, name in names.items()}
  for path in paths.values():
    if not os.path.exists(path):  # All are there before the first is read.
      raise FileNotFoundError(f'data_dir={path}: no such file')
  return {
    part: tabular_files.read_file(p, 'data_dir') for part, p in paths.items()
  }
