"""Reads the files of a run for pages and figures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
import dataclasses
import json
import pathlib
import shlex
from typing import Any

import jax
import numpy as np

from bigru_jax.config import Config
from bigru_jax.metrics import renamed
from bigru_jax.optimizers import make_schedule
from bigru_jax.rundir import files as run_files

_POINTS = 200  # The maximal number of points of a learning rate's curve.


def read_metrics(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Reads the lines of a run's metrics.jsonl whose loss is finite.

  Raises:
    FileNotFoundError, ValueError: the file is missing or corrupt, or no epoch
      is finished.
  """
  path = workdir / 'metrics.jsonl'
  try:
    lines = [json.loads(line) for line in path.read_text('utf-8').splitlines()]
    # A non-finite loss is null.
    lines = [renamed(line) for line in lines if line['loss'] is not None]
    splits = {line['split'] for line in lines}
  except FileNotFoundError:
    raise FileNotFoundError(
      f'workdir={workdir}: it has no {path.name}, so there is nothing to draw'
    ) from None
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(f'workdir={workdir}: {path.name}: {error}') from error
  if 'validation' not in splits:
    raise ValueError(
      f'workdir={workdir}: no epoch is finished with a finite loss'
    )
  return lines


def read_object(
  workdir: pathlib.Path, name: str, needs: set[str]
) -> dict[str, Any] | None:
  """Reads a JSON object that a run may have, such as diagnostics.json.

  Args:
    workdir: the run directory.
    name: the name of the file.
    needs: the keys that it must have.

  Returns:
    The object, or None if there is no such file.

  Raises:
    ValueError: the file is corrupt.
  """
  path = workdir / name
  if not run_files.exists(path):
    return None
  return run_files.read_json(
    path, ', '.join(sorted(needs)), is_valid=lambda x: needs <= x.keys()
  )


def read_diagnostics(workdir: pathlib.Path) -> dict[str, Any] | None:
  """Reads the result of `diagnostics.diagnose`, or None if it is not stored.

  Raises:
    ValueError: the file is corrupt.
  """
  needs = {'notes', 'splits', 'reliability', 'by_length'}
  return read_object(workdir, 'diagnostics.json', needs)


@dataclasses.dataclass(frozen=True)
class Record:
  """The data of a run for drawing.

  Attributes:
    config: its configuration.
    lines: the lines of its metrics.jsonl.
    diagnostics: the result of `diagnostics.diagnose`, or None.
    report: the scores by class; None if the run is not finished.
    labels: the classes' names; a language model has none.
  """

  config: Config
  lines: list[dict[str, Any]]
  diagnostics: dict[str, Any] | None
  report: dict[str, Any] | None
  labels: list[str]


Groups = dict[str, list[Record]]  # Runs that differ only in the seed.


def read_record(workdir: pathlib.Path) -> Record:
  """Reads a run, which need not be finished.

  Raises:
    FileNotFoundError, ValueError: the run has nothing to draw, or is corrupt.
  """
  result = {}
  lines = read_metrics(workdir)
  if (workdir / 'result.json').exists():
    result = run_files.read_result(workdir)
  config = run_files.read_config(workdir)
  is_labelled = config.task != 'language_model'
  return Record(
    config=config,
    lines=lines,
    diagnostics=read_diagnostics(workdir),
    report=result.get('test_report'),
    labels=run_files.read_labels(workdir) if is_labelled else [],
  )


def setting_of(config: Config) -> Config:
  """Returns a configuration without the seed and what changes no score."""
  return dataclasses.replace(config, seed=0, metrics='', explain=True)


def differing_fields(configs: Collection[Config]) -> list[str]:
  """Returns the fields in which configurations differ."""
  return [
    field.name
    for field in dataclasses.fields(Config)
    if len({getattr(config, field.name) for config in configs}) > 1
  ]


def by_seed(records: Sequence[Record]) -> Groups:
  """Groups runs that differ only in the seed, by their distinguishing fields.

  Raises:
    ValueError: two runs have the same configuration and seed.
  """
  groups: dict[Config, list[Record]] = {}
  for record in records:
    groups.setdefault(setting_of(record.config), []).append(record)
  for group in groups.values():
    if len({record.config.seed for record in group}) < len(group):
      raise ValueError('workdir: two runs have the same configuration and seed')
  differing = differing_fields(groups)
  return {
    ', '.join(f'{name}={getattr(config, name)}' for name in differing): group
    for config, group in groups.items()
  }


def labels_of(groups: Groups) -> list[str]:
  """Returns the labels of runs.

  Raises:
    ValueError: the runs have different labels.
  """
  first, *rest = (x.labels for group in groups.values() for x in group)
  if any(labels != first for labels in rest):
    raise ValueError('parts: the runs have different labels')
  return first


def report_of(record: Record) -> dict[str, Any]:
  """Returns the scores by class on test.

  Raises:
    ValueError: the run is not finished.
  """
  if record.report is None:
    raise ValueError('parts: a run is not finished')
  return record.report


def command_of(config: Config) -> str:
  """Returns the command that trains a run with this configuration."""
  names = config.differing_fields()
  command = ['bigru', 'run']
  if config.task == 'language_model':
    names.remove('task')
    command = ['bigru', 'pretrain']
  return shlex.join([*command, *(f'--{x}={getattr(config, x)}' for x in names)])


def learning_rates(
  config: Config, lines: list[dict[str, Any]]
) -> list[tuple[int, float]]:
  """Returns the learning rate at some steps of the training.

  Args:
    config: the run's configuration.
    lines: the lines of its metrics.jsonl.
  """
  last = max(lines, key=lambda line: line['step'])
  per_epoch = last['step'] / last['epoch']
  schedule = make_schedule(
    config.schedule,
    config.learning_rate,
    config.warmup,
    round(per_epoch * config.epochs),
  )
  steps = np.unique(np.linspace(0, last['step'], _POINTS).astype(int))
  rates = np.broadcast_to(np.asarray(jax.jit(schedule)(steps)), steps.shape)
  return list(zip(steps.tolist(), rates.tolist()))


def grouped_fields(config: Config) -> list[tuple[str, list[tuple]]]:
  """Returns the fields by group.

  Of each field: the name, the value, whether it is not the default, the help.
  """
  differing = set(config.differing_fields())
  groups: list[tuple[str, list[tuple]]] = []
  for field in dataclasses.fields(Config):
    if 'heading' in field.metadata:
      groups.append((field.metadata['heading'], []))
    value = getattr(config, field.name)
    help_text = field.metadata['help']
    if field.name == 'dataset' and config.train:
      value = help_text = ''  # The data are own files.
    entry = field.name, value, field.name in differing, help_text
    groups[-1][1].append(entry)
  return groups
