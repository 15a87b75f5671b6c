"""MR, sentence polarity v1.0 (Pang & Lee, 2005)."""

import os
import pathlib

from bigru_jax.data.splits import Split, empty_split
from bigru_jax.data.streams import read_lines


def read(data_dir: str | os.PathLike) -> dict[str, Split]:
  """The sentences of rt-polarity.neg and rt-polarity.pos, Latin-1."""
  split = empty_split('mr')
  for label in ('neg', 'pos'):
    path = pathlib.Path(data_dir) / f'rt-polarity.{label}'
    for row, line in read_lines(path, 'data_dir', 'latin-1'):
      split.add(line.strip(), label, row)
  return {'train': split}
