"""Any TensorFlow Datasets (TFDS) set with texts and one label."""

from collections.abc import Iterable, Iterator, Sequence
import os
import shlex
from typing import Any

import numpy as np

from bigru_jax.data.cells import as_id, as_weight
from bigru_jax.data.labels import named_columns
from bigru_jax.data.splits import NAMES, Example
from bigru_jax.data.table_columns import Columns, Selected
from bigru_jax.data.text import join_texts

_JOINED = ', or several with commas between them, which are joined'


def read(name: str, data_dir: str, fields: Columns) -> dict[str, list[Example]]:
  """Reads a prepared TFDS set of texts and labels, without TensorFlow.

  A label is a class, an integer or a text. Examples with negative classes, the
  hidden labels of a benchmark's test set, are dropped.

  Args:
    name: the name of the set, such as `glue/sst2`.
    data_dir: the TFDS folder; if empty, the default of TFDS.
    fields: the features. `text` and `label` mean the only text and the only
      class if no feature has that name; several texts are joined.

  Raises:
    ValueError: the set cannot be read, is prepared in a format that only
      TensorFlow reads, or does not have these features; or a label is empty or
      a weight is wrong, and the message names its row.
  """
  import tensorflow_datasets as tfds
  import tensorflow_datasets.text  # noqa: F401 (makes the older sets known)

  field = f'dataset=tfds:{name}'
  try:
    builder = tfds.builder(name, data_dir=data_dir or None)
    features = builder.info.features
    columns = _columns(features, fields, field)
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
    rows = enumerate(source, 1)
    examples = _examples(rows, columns, features, f'tfds:{name}/{split}')
    if read_examples := list(examples):
      splits[split] = read_examples
  if 'train' not in splits:
    raise ValueError(f'{field} has no labelled split called train')
  return splits


def _examples(
  rows: Iterable[tuple[int, Any]], columns: Selected, features: Any, name: str
) -> Iterator[Example]:
  """Yields the examples of a split that have a label."""
  (label,) = columns.labels
  weight, example_id = columns.fields.weight, columns.fields.id
  for row, values in rows:
    label_name = _label_name(features[label], values[label])
    if label_name is None:
      continue
    try:
      if not label_name:
        raise ValueError(f'column {label!r} is empty')
      yield Example(
        join_texts([_plain(values[x]) for x in columns.texts]),
        label_name,
        name,
        row,
        as_weight(_plain(values[weight]), weight) if weight else 1.0,
        as_id(_plain(values[example_id]), example_id) if example_id else '',
      )
    except ValueError as error:
      raise ValueError(f'dataset={name}, row {row}: {error}') from None


def _plain(value: Any) -> Any:
  return value.decode('utf-8') if isinstance(value, bytes) else value


def _columns(features: Any, fields: Columns, field: str) -> Selected:
  """Returns the features that are read.

  A class is found without its name, but an integer is not, because it may be an
  index, and neither is a text.
  """
  from tensorflow_datasets import features as kinds

  texts = [n for n, f in features.items() if isinstance(f, kinds.Text)]
  classes = [n for n, f in features.items() if isinstance(f, kinds.ClassLabel)]
  scalars = {
    n: f.np_dtype
    for n, f in features.items()
    if isinstance(f, kinds.Tensor) and f.shape == () and n not in classes
  }
  numbers = [n for n, x in scalars.items() if np.issubdtype(x, np.number)]
  integers = [n for n in numbers if np.issubdtype(scalars[n], np.integer)]
  label = _choose(
    'label', fields.label, classes, classes + integers + texts, field
  )
  for name, column, known in (
    ('weight', fields.weight, numbers),
    ('id', fields.id, numbers + texts),
  ):
    if column:
      _choose(name, column, [], known, field)
  texts = [text for text in texts if text not in (label, fields.id)]
  wanted = named_columns('text_column', fields.text, texts)
  return Selected(
    fields=fields,
    texts=[_choose('text', name, texts, texts, field) for name in wanted],
    labels=[label],
  )


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
    f'{_JOINED if role == "text" and len(known) > 1 else ""}'
  )


def _label_name(feature: Any, value: Any) -> str | None:
  """Returns the name of a label; None if it is hidden."""
  if isinstance(value, bytes):
    return value.decode('utf-8').strip()
  if not hasattr(feature, 'int2str'):
    return str(int(value))
  return feature.int2str(int(value)) if value >= 0 else None
