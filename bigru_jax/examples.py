"""The examples that a run was evaluated on, read from its data again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
import pathlib
from typing import Any

from bigru_jax import runs
from bigru_jax.config import Config
from bigru_jax.data import sources
from bigru_jax.data.read import SplitDigest
from bigru_jax.data.splits import Example


def examples_of_run(
  workdir: pathlib.Path, split: str, config: Config
) -> list[Example]:
  """The examples of `validation` or `test`, in the order of its predictions.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or its data changed.
  """
  lines = runs.read_predictions(workdir, split)
  identity = runs.read_identity(workdir)
  splits = sources.read(config)
  found = _find(lines, _checked(splits, identity, split), to_the_end=True)
  if found is None:
    raise ValueError(f'workdir={workdir}: predictions-{split}.jsonl is corrupt')
  return found


def find_examples(
  lines: Sequence[Mapping[str, Any]], splits: Mapping[str, Iterable[Example]]
) -> list[Example]:
  """The examples of answers; no more is read than is needed.

  Args:
    lines: of each its `source`, `row` and `label`.
    splits: the data, from `sources.read`.

  Raises:
    ValueError: the data have no such example.
  """
  # Where there is no test split, it is held out of train.
  names = sorted(splits, key=('test', 'validation', 'train').index)
  found = _find(lines, (x for name in names for x in splits[name]))
  if found is None:
    raise ValueError('the data changed since the run')
  return found


def _checked(
  splits: Mapping[str, Iterable[Example]],
  identity: Mapping[str, str],
  split: str,
) -> Iterable[Example]:
  """All examples; an error at the end of a split that changed."""
  for name, examples in splits.items():
    digest = SplitDigest()
    for example in examples:
      digest.add(example)
      yield example
    if digest.hexdigest() != identity.get(name):
      raise ValueError(f'split={split}: the data changed since the run: {name}')


def _find(
  lines: Sequence[Mapping[str, Any]],
  examples: Iterable[Example],
  to_the_end: bool = False,
) -> list[Example] | None:
  """The examples at the places of lines; None where some are missing."""
  wanted = {_place(x['source'], x['row'], x['label']) for x in lines}
  found: dict[tuple, Example] = {}
  for example in examples:
    place = _place(example.source, example.row, example.label)
    if place in wanted:
      found[place] = example
      if len(found) == len(wanted) and not to_the_end:
        break
  if len(found) < len(wanted):
    return None
  return [found[_place(x['source'], x['row'], x['label'])] for x in lines]


def _place(source: str, row: int, label: Any) -> tuple:
  # Rows are counted in each file, and a file may hold the texts of one label.
  return source, row, label if isinstance(label, str) else frozenset(label)
