"""What a trained run is: its data, its scores, its size and its directory."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
from typing import Any

import jax

from bigru_jax.config import Config
from bigru_jax.metrics import headline
from bigru_jax.rundir import examples, files as run_files, versions

_MOST_LABELS = 8  # More of them are counted.


def overview(
  workdir: pathlib.Path, config: Config, labels: Sequence[str], params: Any
) -> dict[str, str]:
  """Returns what is known of a run, in words.

  Whatever a directory lacks is left out: a published or an unfinished model has
  no scores, and a run of an older version no time.

  Args:
    workdir: the run directory.
    config, labels, params: those of the run.

  Returns:
    Some of `data`, `labels`, `test`, `model`, `trained`, `version`, of a run of
    another version, and `directory`.
  """
  result, facts = _read_result(workdir), describe_data(workdir, config, labels)
  if scores := describe_scores(workdir, config):
    facts['test'] = f'{scores} on {result["test"]["examples"]:,} texts'
  parameters = sum(array.size for array in jax.tree.leaves(params))
  facts['model'] = (
    f'{config.model}, encoder {config.encoder} of {config.num_layers} × '
    f'{config.hidden_size} units, pooling {config.pooling}, '
    f'{parameters:,} parameters'
  )
  if result:
    time = str(result.get('finished', ''))[:16].replace('T', ' ')
    version = f'by version {result["version"]}'
    facts['trained'] = f'{time} UTC, {version}' if time else version
    lacks_predictions = not (workdir / 'predictions-test.jsonl').exists()
    if note := versions.note(result['version'], lacks_predictions):
      facts['version'] = note
  return facts | {'directory': str(workdir)}


def describe_data(
  workdir: pathlib.Path, config: Config, labels: Sequence[str]
) -> dict[str, str]:
  """Returns `data`, if the run is finished, and `labels`; see `overview`."""
  facts = {}
  if _read_result(workdir):
    name = examples.name_of_data(workdir, config)
    facts['data'] = 'in memory' if name == 'corpus' else name
  names = ', '.join(labels[:_MOST_LABELS])
  num_more = len(labels) - _MOST_LABELS
  ending = f' and {num_more} more' if num_more > 0 else ''
  return facts | {'labels': f'{len(labels)}: {names}{ending}'}


def describe_scores(workdir: pathlib.Path, config: Config) -> str:
  """Returns a run's scores on test; '' if it has none."""
  result = _read_result(workdir)
  scores = headline(result.get('test', {}), config.metrics, config.select_by)
  intervals = result.get('intervals', {}).get('test', {})
  parts = []
  for name, score in scores.items():
    parts.append(f'{name} {score:.4f}')
    interval = intervals.get(name)
    if interval and interval['low'] is not None:
      parts[-1] += f' ({interval["low"]:.4f} to {interval["high"]:.4f})'
  return ', '.join(parts)


def _read_result(workdir: pathlib.Path) -> dict[str, Any]:
  """Reads result.json with its version; empty if it is missing or corrupt."""
  try:
    result = run_files.read_result(workdir)
    return {'version': run_files.read_version(workdir)} | result
  except (OSError, ValueError):  # What describes a run never fails.
    return {}
