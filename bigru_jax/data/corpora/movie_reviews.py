"""Whole movie reviews, from polarity dataset v2.0 (Pang & Lee, 2004)."""

import pathlib

from bigru_jax.data.csv_files import quoted_records
from bigru_jax.data.open_files import open_lines
from bigru_jax.data.splits import Split, empty_split

_LABELS = {'1': 'pos', '-1': 'neg'}


def read(data_dir: pathlib.Path) -> dict[str, Split]:
  """Reads the reviews of polarity-1500.csv.gz, which has no header.

  A review keeps its line breaks, which separate its sentences. Pang & Lee,
  2004, https://aclanthology.org/P04-1035.

  Raises:
    ValueError: a record is not a label, `1` or `-1`, and a text.
  """
  path = data_dir / 'polarity-1500.csv.gz'
  where = f'data_dir={path}'
  split = empty_split(where)
  with open_lines(path, 'data_dir', newline='') as lines:
    for row, fields in quoted_records(lines, ',', where):
      if not fields:
        continue
      if len(fields) != 2 or fields[0] not in _LABELS:
        raise ValueError(f'{where}, row {row}: not a label 1 or -1 and a text')
      split.add(fields[1].strip(), _LABELS[fields[0]], row)
  return {'train': split}
