"""Publishes a trained run as a folder of safetensors and a model card."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import string
from typing import Any

import jax

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.data.tabular_files import without_folders
from bigru_jax.inference.run import Run
from bigru_jax.reports.tables import summary
from bigru_jax.rundir import files as run_files, published
from bigru_jax.rundir.source import open_source
from bigru_jax.runtime.atomic import write_text

_CARD = pathlib.Path(__file__).with_name('model_card.md')
_LANGUAGE_MODEL_CARD = _CARD.with_name('language_model_card.md')


def save(
  run: Run,
  folder: str | os.PathLike,
  license: str = 'unknown',
  *,
  overwrite: bool = False,
) -> None:
  """Writes a published model, which `bigru_jax.load` opens, and its card.

  Paths in the configuration, such as `train`, are reduced to the files' names.

  Args:
    run: a run from `bigru_jax.load`.
    folder: the folder; it is created if it does not exist.
    license: the licence on the card, an identifier of the Hugging Face hub such
      as `mit`.
    overwrite: whether a published model in the folder, with its card, is
      replaced.

  Raises:
    ValueError: the folder is a run directory, contains a published model that
      is not to be replaced, or contains anything else; or the package
      safetensors is not installed.
  """
  folder = _checked(folder, overwrite)
  published.write_params(folder, jax.device_get(run.trained_params))
  run_files.write_json(folder / 'labels.json', run.labels)
  run_files.write_json(
    folder / 'data.json', run_files.read_identity(run.workdir)
  )
  run_files.write_json(
    folder / 'calibration.json', dataclasses.asdict(run.calibration)
  )
  run.tokenizer.save(folder)
  config = _without_folders(run.config)
  write_text(folder / 'README.md', model_card(run, config, license))
  run_files.write_config(folder, config)


def save_language_model(
  workdir: str | os.PathLike,
  folder: str | os.PathLike,
  license: str = 'unknown',
  *,
  overwrite: bool = False,
) -> None:
  """Writes a pretrained language model, which `init_from` takes, and its card.

  Args:
    workdir: the run directory.
    folder, license, overwrite: see `save`.

  Raises:
    FileNotFoundError, ValueError: the directory is not a run or is corrupt; or
      see `save`.
  """
  folder = _checked(folder, overwrite)
  source = open_source(os.fspath(workdir))
  config = _without_folders(source.config)
  result = run_files.read_result(source.workdir)
  published.write_params(folder, source.params)
  run_files.write_json(
    folder / 'data.json', run_files.read_identity(source.workdir)
  )
  source.tokenizer.save(folder)
  card = string.Template(_LANGUAGE_MODEL_CARD.read_text('utf-8')).substitute(
    dataclasses.asdict(config),
    license_value=json.dumps(license),
    license=license,
    version=bigru_jax.__version__,
    data=result['dataset'],
    fields=_fields(config),
    perplexity=f'{result["validation"]["perplexity"]:.2f}',
    words=source.tokenizer.size,
  )
  write_text(folder / 'README.md', card)
  run_files.write_config(folder, config)


def model_card(run: Run, config: Config, license: str) -> str:
  """Returns the README.md of a published model, with the hub's metadata.

  Args:
    run: the model; its metrics are those of `result.json`, if it has one.
    config: the configuration to show.
    license: see `save`.
  """
  data, scores, models = 'not recorded', 'No metrics are recorded.', []
  if not (config.train or config.dataset):
    data = 'unknown; the model was converted from another program'
  if (run.workdir / 'result.json').exists():
    result = run_files.read_result(run.workdir)
    test = result['test']
    sources = [config.train or config.dataset, config.test]
    data = ', '.join(filter(None, sources))
    if result.get('dataset') == 'corpus':
      data = 'a data set in memory'
    scores = summary(test)
    entry = {
      'task': {'type': 'text-classification'},
      'dataset': {'type': data, 'name': data},
      'metrics': [
        {'type': kind, 'name': f'test {name}', 'value': test[name]}
        for kind, name in (('accuracy', 'accuracy'), ('f1', 'macro_f1'))
      ],
    }
    models = [{'name': run.workdir.resolve().name, 'results': [entry]}]
  more = f' and {len(run.labels) - 20} more' if len(run.labels) > 20 else ''
  return string.Template(_CARD.read_text('utf-8')).substitute(
    dataclasses.asdict(config),
    # JSON values are valid YAML.
    license_value=json.dumps(license),
    model_index=f'model-index: {json.dumps(models)}\n' if models else '',
    version=bigru_jax.__version__,
    count='any number of' if config.task == 'multi_label' else 'one',
    data=data,
    labels=', '.join(f'`{label}`' for label in run.labels[:20]) + more,
    decision=_decision(run),
    limits=config.limits,
    fields=_fields(config),
    license=license,
    scores=scores,
  )


def _fields(config: Config) -> str:
  """Returns the fields that differ from the defaults, as Markdown."""
  fields = [f'{x}={getattr(config, x)}' for x in config.differing_fields()]
  return ', '.join(f'`{field}`' for field in fields) or 'none'


def _decision(run: Run) -> str:
  """Returns how two classes are decided by a threshold, or nothing."""
  calibration = run.calibration
  if run.task.positive is None or not calibration.thresholds:
    return ''
  return (
    f'; `{calibration.positive_label}` where its probability is at least '
    f'{calibration.thresholds[0]:.4g}'
  )


def _checked(folder: str | os.PathLike, overwrite: bool) -> pathlib.Path:
  """Returns the folder of a model; raises ValueError as `save` does."""
  folder = pathlib.Path(folder).expanduser()
  if (folder / 'checkpoints').exists():
    raise ValueError(f'output={folder} is a run directory')
  if folder.exists() and any(folder.iterdir()):
    if not _is_published(folder):
      raise ValueError(
        f'output={folder} contains other files; choose a new or an empty folder'
      )
    if not overwrite:
      raise ValueError(
        f'output={folder} contains a published model; choose another folder, '
        'or replace it by overwrite'
      )
  return folder


def _is_published(folder: pathlib.Path) -> bool:
  """Returns whether a folder has a model that `save` wrote.

  Models of other programs have files with the same names.
  """
  try:
    run_files.read_config(folder)
  except (OSError, ValueError):
    return False
  return (folder / published.PARAMS).exists()


def _without_folders(config: Config) -> Config:
  """Returns the configuration with paths reduced to file names.

  The name of a model on the Hugging Face hub stays.
  """
  names: dict[str, Any] = {
    field.name: without_folders(value)
    for field in dataclasses.fields(config)
    if field.metadata.get('path')
    and isinstance(value := getattr(config, field.name), str)
    and not value.startswith(published.HUB)
  }
  return dataclasses.replace(config, **names)
