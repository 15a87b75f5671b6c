"""Any TensorFlow Datasets (TFDS) set with one text and one label."""

import os
from typing import Any

from bigru_jax.data.splits import NAMES, Split, empty_split


def read(
  name: str, data_dir: str, text_column: str, label_column: str
) -> dict[str, Split]:
  """A prepared TFDS set with one text and one label, without TensorFlow.

  Args:
    name: such as `glue/sst2`.
    data_dir: the TFDS folder; its default where it is empty.
    text_column, label_column: the features, where there are several.

  Raises:
    ValueError: it cannot be read, or has not one text and one label.
  """
  import tensorflow_datasets as tfds
  import tensorflow_datasets.text  # noqa: F401 (makes the older sets known)

  field = f'dataset=tfds:{name}'
  try:
    builder = tfds.builder(name, data_dir=data_dir or None)
    features = builder.info.features
    text = _feature(features, tfds.features.Text, 'text', text_column, field)
    label = _feature(
      features, tfds.features.ClassLabel, 'label', label_column, field
    )
    if not os.path.isdir(builder.data_dir):
      # array_record files allow random access, and reading without TensorFlow.
      builder.download_and_prepare(file_format='array_record')
    names = [s for s in builder.info.splits if s in NAMES]
    sources = builder.as_data_source(split=names)
  except (ImportError, OSError, RuntimeError, NotImplementedError,
          tfds.core.DatasetNotFoundError) as error:  # fmt: skip
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise ValueError(
      f'{field} cannot be read: {reason}; without a network, point data_dir '
      'at a TFDS folder that another machine has prepared'
    ) from error
  classes = features[label]
  splits = {}
  for split, source in zip(names, sources):
    read_split = empty_split(f'tfds:{name}/{split}')
    for row, example in enumerate(source, 1):
      if example[label] < 0:  # The hidden labels of a benchmark's test set.
        continue
      label_name = classes.int2str(int(example[label]))
      read_split.add(example[text].decode('utf-8'), label_name, row)
    if len(read_split):
      splits[split] = read_split
  if 'train' not in splits:
    raise ValueError(f'{field} has no labelled split called train')
  return splits


def _feature(
  features: Any, kind: type, role: str, chosen: str, field: str
) -> str:
  """The name of the one feature of a kind, or of the configured column."""
  found = [name for name, f in features.items() if isinstance(f, kind)]
  if chosen in found:
    return chosen
  if len(found) == 1 and chosen == role:
    return found[0]
  raise ValueError(
    f'{role}_column={chosen}: {field} has '
    f'{", ".join(map(repr, found)) or "none"} to choose from'
  )
