"""Groups finished runs of the same setting, which differ in seed and fold."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import pathlib

import numpy as np

from bigru_jax.evaluation.intervals import weights_of
from bigru_jax.evaluation.stored import StoredPredictions, joined, read_stored
from bigru_jax.reports.records import differing_fields, setting_of
from bigru_jax.rundir import files as run_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunGroup:
  """The runs of a setting.

  Attributes:
    name: the setting's name.
    by_seed: the predictions for the test texts by seed, in the same order for
      all seeds and groups; with folds, those for the texts of all folds.
  """

  name: str
  by_seed: dict[int, StoredPredictions]


def read_groups(workdirs: Sequence[pathlib.Path]) -> list[RunGroup]:
  """Reads the test predictions of runs, and groups them by setting.

  Groups of one run are named by their directories; otherwise by the fields of
  `Config` in which they differ.

  Args:
    workdirs: the directories of finished runs, or of linear baselines. The
      groups have the order of their first runs.

  Raises:
    FileNotFoundError, ValueError: a run is not finished, or two have the same
      setting, seed and fold, or were tested on other texts.
  """
  settings: dict[tuple, dict[tuple[int, int], pathlib.Path]] = {}
  for workdir in workdirs:
    config, baseline = run_files.read_config(workdir), _baseline(workdir)
    setting = dataclasses.replace(setting_of(config), fold=0), baseline
    runs = settings.setdefault(setting, {})
    other = runs.setdefault((config.seed, config.fold), workdir)
    if other is not workdir:
      raise ValueError(
        f'{workdir} has the same setting, seed and fold as {other}'
      )
  names = _names(settings)
  groups = []
  for runs, name in zip(settings.values(), names):
    by_seed: dict[int, list[StoredPredictions]] = {}
    for (seed, _), workdir in sorted(runs.items()):
      by_seed.setdefault(seed, []).append(read_stored(workdir, 'test'))
    groups.append(
      RunGroup(name=name, by_seed={x: joined(y) for x, y in by_seed.items()})
    )
  _check_same_texts(groups)
  return groups


def _baseline(workdir: pathlib.Path) -> str:
  """Returns what distinguishes a linear baseline; '' for a network."""
  if not run_files.is_baseline(workdir):
    return ''
  ngrams = run_files.read_json(workdir / 'baseline.json', 'baseline')['ngrams']
  return f'baseline, ngrams={ngrams}'


def _names(settings: dict[tuple, dict]) -> list[str]:
  """Returns a name for each setting."""
  if all(len(runs) == 1 for runs in settings.values()):
    return [str(*runs.values()) for runs in settings.values()]
  # A baseline has no other fields than its own; the rest are defaults there.
  differing = differing_fields({config for config, _ in settings})
  of_baselines = [x for x in differing if x in run_files.BASELINE_FIELDS]
  of_networks = differing_fields({x for x, y in settings if not y})
  of_networks = [x for x in differing if x in {*of_networks, *of_baselines}]
  names = []
  for config, baseline in settings:
    fields = of_baselines if baseline else of_networks
    parts = [f'{name}={getattr(config, name)}' for name in fields]
    names.append(', '.join(filter(None, [baseline, *parts])) or 'bigru')
  return names


def _check_same_texts(groups: Sequence[RunGroup]) -> None:
  """Raises ValueError where runs were tested on other texts or labels."""
  runs = [
    (f'{group.name} (seed {seed})', stored)
    for group in groups
    for seed, stored in group.by_seed.items()
  ]
  (first_name, first), *later_runs = runs
  for name, other in later_runs:
    if other.keys != first.keys:
      common = len(set(other.keys) & set(first.keys))
      raise ValueError(
        f'{name} and {first_name} were tested on other texts: {common} of '
        f'{len(other.keys)} and {len(first.keys)} are the same; compare runs '
        'of the same data, split_seed and folds'
      )
    are_equal = np.array_equal(other.scored.labels, first.scored.labels)
    if not are_equal or other.scored.names != first.scored.names:
      raise ValueError(
        f'{name} and {first_name} were tested on other labels of the same texts'
      )
    if not np.array_equal(weights_of(other.scored), weights_of(first.scored)):
      raise ValueError(
        f'{name} and {first_name} were tested with other weights of the same '
        'texts'
      )
