"""Reads and writes the files of a run directory.

  config.json       the configuration, and the version that wrote it
  data.json         SHA-256 digests of the data it was started on
  labels.json       the classes' names, by index; a language model has none
  vocabulary.txt    one token per line (or tokenizer.json)
  metrics.jsonl     one line per evaluation
  checkpoints/      see checkpoints.py
  checkpoints.json  the first saved checkpoint; see missing.py
  quarantine/       corrupt checkpoints
  events.out.*      TensorBoard
  lock              the process that trains here now
  calibration.json  temperature and thresholds of validation; positive label
  predictions-*     predictions for validation and test, a JSON line per text
  diagnostics.json  statistics of the data; curves; accuracy by confidence
  result.json       the final metrics
  faithfulness.json the attribution that shades the page; see explain/choice.py
  report.html       a page that shows all of this; see reports/page/page.py
  explain-*.json    tests of the attention; see explain/study.py
  baseline.json     marks the linear baseline; see training/linear.py

All files are text or arrays; nothing is unpickled or executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import dataclasses
import json
import math
import os
import pathlib
import re
from typing import Any

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.metrics import renamed
from bigru_jax.rundir import versions
from bigru_jax.runtime.atomic import write_text
from bigru_jax.runtime.fields import former_names

# The fields of a run that decide its linear baseline.
BASELINE_FIELDS = (
  'select_by', 'metrics', 'class_weights', 'threshold', 'threshold_metric',
  'positive_label', 'seed', 'dataset', 'data_dir', 'train', 'validation',
  'test', 'text_column', 'label_column', 'soft_labels', 'weight_column',
  'id_column', 'encoding', 'delimiter', 'task', 'label_separator',
  'label_names', 'sst_phrases', 'split_seed', 'folds', 'fold', 'tokenizer',
  'replace_urls_and_users',
)  # fmt: skip


def exists(path: pathlib.Path) -> bool:
  """Returns whether a file exists.

  Raises:
    FileNotFoundError: it is a link to a missing file.
    OSError: the system cannot tell. `Path.exists` of later versions of Python
      returns False in this case.
  """
  try:
    path.stat()
  except (FileNotFoundError, NotADirectoryError):
    if link := describe_link(path):
      raise FileNotFoundError(
        f'workdir={path.parent}: {path.name} is {link}'
      ) from None
    return False
  return True


def describe_link(path: pathlib.Path) -> str:
  """Describes a link whose target is missing; '' for any other path."""
  if path.is_symlink() and not path.exists():
    return f'a link to {os.readlink(path)}, which is missing'
  return ''


def check_is_folder(path: pathlib.Path, field: str) -> None:
  """Checks that a path is a folder, or that such a folder can be created.

  Raises:
    ValueError: it is a file, is below a file, is a link to a missing file, or
      is in a bucket.
  """
  if re.match(r'\w\w+:/', str(path)):  # `pathlib` joins slashes.
    raise ValueError(
      f'{field}={path} is not a folder of a disk; only runs and data may be in '
      'a bucket, which is gs://, s3:// or az://'
    )
  for part in (path, *path.parents):
    if part.is_dir():
      return
    if link := describe_link(part):
      raise ValueError(f'{field}={path}: {part} is {link}')
    if part == path and part.exists():
      raise ValueError(f'{field}={path} is a file; name a run directory')
    if part.exists():
      raise ValueError(f'{field}={path}: {part} is a file')


def write_config(workdir: pathlib.Path, config: Config) -> None:
  """Writes a configuration and the version of bigru_jax to config.json."""
  values = {'version': bigru_jax.__version__, **dataclasses.asdict(config)}
  write_json(workdir / 'config.json', values)


def read_config(workdir: pathlib.Path) -> Config:
  """Reads the configuration of a run.

  Raises:
    FileNotFoundError, ValueError: the file is missing, or contains anything but
      a version and the fields of `Config` within their bounds.
  """
  field = f'workdir={workdir}: config.json'
  values = read_json(workdir / 'config.json', 'configuration')
  origin = versions.origin(versions.of_config(values))
  if origin:
    origin = f' ({origin}): use that version, or train again'
  values.pop('version', None)
  known = {field.name for field in dataclasses.fields(Config)}
  unknown = values.keys() - known - former_names(Config).keys()
  if unknown:
    names = ', '.join(sorted(unknown)[:5])
    raise ValueError(
      f'{field} has fields that are unknown here: {names}{origin}'
    )
  if values.get('embeddings'):  # Runs without the field looked up no forms.
    values.setdefault('word_forms', False)
  try:
    return Config(**values)
  except ValueError as error:
    raise ValueError(f'{field}: {error}{origin}') from error


def read_version(workdir: pathlib.Path) -> str:
  """Reads the version of bigru_jax that wrote the configuration of a run.

  Raises:
    FileNotFoundError, ValueError: see `read_config`.
  """
  values = read_json(workdir / 'config.json', 'configuration')
  return versions.of_config(values)


def is_baseline(workdir: pathlib.Path) -> bool:
  """Returns whether a directory holds the linear baseline, and no network."""
  return exists(workdir / 'baseline.json')


def check_is_network(workdir: pathlib.Path) -> None:
  """Raises ValueError where a directory holds the linear baseline."""
  if is_baseline(workdir):
    raise ValueError(
      f'workdir={workdir} is a linear baseline, of which only the results are '
      'kept: this needs a run of the network'
    )


def read_identity(workdir: pathlib.Path) -> dict[str, str]:
  """Reads the digests of the data on which a run was started.

  Raises:
    FileNotFoundError, ValueError: the file is missing or corrupt.
  """
  return read_json(workdir / 'data.json', 'digests')


def read_labels(workdir: pathlib.Path) -> list[str]:
  """Reads the classes' names, by index.

  Raises:
    FileNotFoundError, ValueError: the file is missing or corrupt.
  """

  def are_names(value):
    return value and all(isinstance(label, str) for label in value)

  return read_json(
    workdir / 'labels.json', 'list of class names', list, are_names
  )


def read_result(workdir: pathlib.Path) -> dict[str, Any]:
  """Reads the results of a finished run.

  Raises:
    FileNotFoundError, ValueError: the run is unfinished, or the file corrupt.
  """
  path = workdir / 'result.json'
  if not exists(path):
    raise FileNotFoundError(f'workdir={workdir} is not a finished run')
  result = read_json(path, 'result', is_valid=lambda value: 'test' in value)
  return {
    name: renamed(value) if isinstance(value, dict) else value
    for name, value in result.items()
  }


def read_predictions(workdir: pathlib.Path, split: str) -> list[dict[str, Any]]:
  """Reads the answers of a finished run on `validation` or `test`.

  Raises:
    FileNotFoundError, ValueError: the file is missing or corrupt.
  """
  path = workdir / f'predictions-{split}.jsonl'
  try:
    lines = [json.loads(x) for x in path.read_text('utf-8').splitlines()]
    if not all({'source', 'row', 'label'} <= line.keys() for line in lines):
      raise ValueError('a line is not a prediction')
  except FileNotFoundError:
    reason = 'the run is not finished'
    if exists(workdir / 'result.json'):
      reason = f'bigru evaluate --split={split} --recompute writes it'
    raise FileNotFoundError(
      f'workdir={workdir} has no {path.name}: {reason}'
    ) from None
  except (OSError, ValueError, AttributeError, RecursionError) as error:
    raise ValueError(f'workdir={workdir}: {path.name}: {error}') from error
  return lines


def write_lines(path: pathlib.Path, values: Iterable[Any]) -> None:
  """Writes values as lines of JSON, completely or not at all."""
  write_text(path, ''.join(json.dumps(finite(x)) + '\n' for x in values))


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes a value as indented JSON, completely or not at all.

  A number that is not finite, which JSON cannot express, becomes null.
  """
  write_text(path, json.dumps(finite(value), indent=2) + '\n')


def finite(value: Any) -> Any:
  """Returns a JSON value with null for each number that is not finite."""
  if isinstance(value, dict):
    return {key: finite(x) for key, x in value.items()}
  if isinstance(value, list | tuple):
    return [finite(x) for x in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def read_json(
  path: pathlib.Path,
  content: str,
  kind: type = dict,
  is_valid: Callable[[Any], bool] = lambda _: True,
) -> Any:
  """Reads the JSON value of a file of a run.

  Args:
    path: the file.
    content: a description of the value, for the message.
    kind: the type of the value.
    is_valid: returns whether a value of that type is valid.

  Raises:
    FileNotFoundError, ValueError: the file is missing or corrupt.
  """
  try:
    value = json.loads(path.read_text('utf-8', errors='surrogatepass'))
  except FileNotFoundError:
    exists(path)  # Raises if it is a link to a missing file.
    lack = f'has no {path.name}' if path.parent.is_dir() else 'does not exist'
    message = f'workdir={path.parent} is not a run: it {lack}'
    raise FileNotFoundError(message) from None
  except NotADirectoryError:
    check_is_folder(path.parent, 'workdir')
    raise
  except (OSError, ValueError, RecursionError) as error:
    raise ValueError(f'workdir={path.parent}: {path.name}: {error}') from error
  if not isinstance(value, kind) or not is_valid(value):
    raise ValueError(
      f'workdir={path.parent}: {path.name} contains no {content}'
    )
  return value
