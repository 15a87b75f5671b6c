"""TREC question classification (Li & Roth, 2002)."""

import pathlib

from bigru_jax.data.open_files import read_lines
from bigru_jax.data.splits import Split, empty_split


def read(data_dir: pathlib.Path) -> dict[str, Split]:
  """Reads train_5500.label and TREC_10.label, with six coarse classes.

  Raises:
    ValueError: a line has no label of the form COARSE:fine.
  """
  splits = {}
  for part, name in (('train', 'train_5500'), ('test', 'TREC_10')):
    path = data_dir / f'{name}.label'
    splits[part] = split = empty_split(path)
    for row, line in read_lines(path, 'data_dir', 'latin-1'):
      label, _, question = line.partition(' ')
      coarse, colon, _ = label.partition(':')
      if not colon:
        raise ValueError(
          f'data_dir={path}, row {row}: no COARSE:fine label in {label!r}'
        )
      split.add(question.strip(), coarse, row)
  return splits
