"""Reads again, from a run's data, the examples on which it was evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
import pathlib
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data import sources
from bigru_jax.data.label_forms import form_of
from bigru_jax.data.labels import Flags
from bigru_jax.data.prepare import prepare
from bigru_jax.data.soft_labels import hard_label
from bigru_jax.data.split_digest import SplitDigest
from bigru_jax.data.splits import NAMES, Example
from bigru_jax.rundir import files as run_files, published, same_run
from bigru_jax.rundir.source import prepare_from

# The reasons why some data cannot be read again, by the name of the data set.
WITHOUT_DATA = {
  'converted': 'It was trained by another program, and converted.',
  'published': 'It is a published model, which comes without its data.',
  'corpus': 'It was trained on a data set in memory.',
}


def name_of_data(workdir: pathlib.Path, config: Config) -> str:
  """Returns the name of a run's data, or a key of `WITHOUT_DATA`.

  Own files have the names that they were given, without folders.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  if not config.dataset and not config.train:  # As `interop.torch_run` writes.
    return 'converted'
  if (workdir / published.PARAMS).exists():
    return 'published'
  result = run_files.read_result(workdir)
  if config.train:  # Earlier versions wrote the path.
    return sources.name_of(config)
  return str(result.get('dataset', config.dataset))


def check_data(workdir: pathlib.Path, config: Config) -> None:
  """Raises ValueError where the data of a run cannot be read again."""
  reason = WITHOUT_DATA.get(name_of_data(workdir, config))
  if reason:
    raise ValueError(f'workdir={workdir}: its data are not available. {reason}')


def check_same_split(
  workdir: pathlib.Path, other: pathlib.Path, field: str = 'workdir'
) -> None:
  """Raises ValueError where two runs were evaluated on other examples.

  In the message, `field` names the other run.
  """

  def split(path):
    config, identity = (
      run_files.read_config(path),
      run_files.read_identity(path),
    )
    digests = [identity.get(name) for name in NAMES]
    return digests, config.split_seed, config.folds, config.fold

  if split(workdir) != split(other):
    raise ValueError(
      f'{field}={other}: its data, split_seed or fold are not those of '
      f'{workdir}'
    )


def examples_of_run(
  workdir: pathlib.Path, split: str, config: Config
) -> list[Example]:
  """Reads the examples of `validation` or `test`, ordered as predicted.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or its data have
      changed or are not available.
  """
  check_data(workdir, config)
  keys = [
    _key(line['source'], line['row'], line['label'])
    for line in run_files.read_predictions(workdir, split)
  ]
  examples = _read(workdir, split, config, set(keys))
  if not set(keys) <= examples.keys():
    raise ValueError(f'workdir={workdir}: predictions-{split}.jsonl is corrupt')
  return [examples[key] for key in keys]


def split_again(
  workdir: pathlib.Path, split: str, config: Config
) -> list[Example]:
  """Makes `validation` or `test` again, for a run without predictions files.

  Raises:
    FileNotFoundError, ValueError: the run is not finished; or its data are not
      available, or are read or held out in another way than by the run.
  """
  check_data(workdir, config)
  data, _ = prepare_from(config, prepare)
  same_run.check_data(workdir, config, data.tokenizer, data.identity)
  table = data.splits[split].table
  names = np.array(data.labels, object)
  labels = [names[x] for x in data.splits[split].label_array()]
  keys = list(map(_key, table['source'], table['row'].tolist(), labels))
  examples = _read(workdir, split, config, set(keys))
  return [examples[key] for key in keys]


def _read(
  workdir: pathlib.Path, split: str, config: Config, keys: Set[tuple]
) -> dict[tuple, Example]:
  """Reads the examples of the data that have these keys.

  Raises:
    ValueError: the data changed since the run.
  """
  identity = run_files.read_identity(workdir)
  form = form_of(identity)
  examples: dict[tuple, Example] = {}
  for example in _checked(sources.read(config), identity, split):
    if isinstance(example.label, Flags):
      names = form.names_of(example.label, example.source, example.row)
      example = example._replace(label=names)
    key = _key(example.source, example.row, example.label)
    if key in keys:
      examples[key] = example
  return examples


def _checked(
  splits: Mapping[str, Iterable[Example]],
  identity: Mapping[str, str],
  split: str,
) -> Iterable[Example]:
  """Yields all examples; raises at the end of a split that has changed."""
  for name, examples in splits.items():
    digest = SplitDigest()
    for example in examples:
      digest.add(example)
      yield example
    if digest.hexdigest() != identity.get(name):
      raise ValueError(f'split={split}: the data changed since the run: {name}')


def _key(source: str, row: int, label: Any) -> tuple:
  # A row is counted in its file, and a file may contain the texts of one label.
  label = hard_label(label)
  return source, row, label if isinstance(label, str) else frozenset(label)
