"""MR, sentence polarity v1.0 (Pang & Lee, 2005)."""

import pathlib

from bigru_jax.data.open_files import read_lines
from bigru_jax.data.splits import Split, empty_split


def read(data_dir: pathlib.Path) -> dict[str, Split]:
  """Reads the sentences of rt-polarity.neg and rt-polarity.pos, in Latin-1."""
  split = empty_split('mr')
  for label in ('neg', 'pos'):
    path = data_dir / f'rt-polarity.{label}'
    for row, line in read_lines(path, 'data_dir', 'latin-1'):
      split.add(line.strip(), label, row)
  return {'train': split}
