"""Any TensorFlow Datasets (TFDS) set with one text and one label."""

from collections.abc import Sequence
import os
import shlex
from typing import Any

import numpy as np

from bigru_jax.data.splits import NAMES, Split, empty_split


def read(
  name: str, data_dir: str, text_column: str, label_column: str
) -> dict[str, Split]:
  """Reads a prepared TFDS set with one text and one label, without TensorFlow.

  A label is a class, an integer or a text. Examples with negative classes, the
  hidden labels of a benchmark's test set, are dropped.

  Args:
    name: the name of the set, such as `glue/sst2`.
    data_dir: the TFDS folder; if empty, the default of TFDS.
    text_column, label_column: the features; `text` and `label` mean the only
      text and the only class if no feature has that name.

  Raises:
    ValueError: the set cannot be read, is prepared in a format that only
      TensorFlow reads, or does not have one text and one label; or a label is
      empty, and the message names its row.
  """
  import tensorflow_datasets as tfds
  import tensorflow_datasets.text  # noqa: F401 (makes the older sets known)

  field = f'dataset=tfds:{name}'
  try:
    builder = tfds.builder(name, data_dir=data_dir or None)
    features = builder.info.features
    text, label = _columns(features, text_column, label_column, field)
    if not os.path.isdir(builder.data_dir):
      # array_record files allow random access, and reading without TensorFlow.
      builder.download_and_prepare(file_format='array_record')
    formats = builder.info.available_file_formats()
    if not formats & tfds.core.FileFormat.with_random_access():
      raise ValueError(
        f'{field} is prepared as {builder.info.file_format.value} in '
        f'{builder.data_dir}, and only array_record is read without '
        'TensorFlow; name another data_dir to download and prepare it there, '
        'or run "pip install tensorflow apache-beam mlcroissant" elsewhere '
        'and add array_record files by "tfds convert_format '
        '--dataset_version_dir='
        f'{shlex.quote(str(builder.data_dir))} --out_file_format=array_record"'
      )
    names = [s for s in builder.info.splits if s in NAMES]
    sources = builder.as_data_source(split=names)
  except (ImportError, OSError, RuntimeError, NotImplementedError,
          tfds.core.DatasetNotFoundError) as error:  # fmt: skip
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise ValueError(
      f'{field} cannot be read: {reason}; without a network, point data_dir '
      'at a TFDS folder that another machine has prepared'
    ) from error
  splits = {}
  for split, source in zip(names, sources):
    read_split = empty_split(f'tfds:{name}/{split}')
    for row, example in enumerate(source, 1):
      label_name = _label_name(features[label], example[label])
      if label_name == '':
        raise ValueError(
          f'{field}/{split}, row {row}: {label!r} is not a label: it is empty'
        )
      if label_name is not None:
        read_split.add(example[text].decode('utf-8'), label_name, row)
    if len(read_split):
      splits[split] = read_split
  if 'train' not in splits:
    raise ValueError(f'{field} has no labelled split called train')
  return splits


def _columns(
  features: Any, text_column: str, label_column: str, field: str
) -> tuple[str, str]:
  """Returns the names of the text and of the label among the features.

  A class is found without its name, but an integer is not, because it may be an
  index, and neither is a text.
  """
  from tensorflow_datasets import features as kinds

  texts = [n for n, f in features.items() if isinstance(f, kinds.Text)]
  classes = [n for n, f in features.items() if isinstance(f, kinds.ClassLabel)]
  numbers = [
    n
    for n, f in features.items()
    if isinstance(f, kinds.Tensor)
    and f.shape == ()
    and np.issubdtype(f.np_dtype, np.integer)
    and n not in classes
  ]
  label = _choose(
    'label', label_column, classes, classes + numbers + texts, field
  )
  texts = [text for text in texts if text != label]
  return _choose('text', text_column, texts, texts, field), label


def _choose(
  role: str, name: str, usual: Sequence[str], known: Sequence[str], field: str
) -> str:
  """Returns the feature of this name, or else the only usual one."""
  if name in known:
    return name
  if len(usual) == 1 and name == role:
    return usual[0]
  raise ValueError(
    f'{role}_column={name}: {field} has '
    f'{", ".join(map(repr, known)) or "none"} to choose from'
  )


def _label_name(feature: Any, value: Any) -> str | None:
  """Returns the name of a label; None if it is hidden."""
  if isinstance(value, bytes):
    return value.decode('utf-8').strip()
  if not hasattr(feature, 'int2str'):
    return str(int(value))
  return feature.int2str(int(value)) if value >= 0 else None
