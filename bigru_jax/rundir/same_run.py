"""Checks that a directory contains the same run: configuration and data."""

from __future__ import annotations

import logging
import pathlib

from bigru_jax.config import Config, is_mutable
from bigru_jax.data.tokenizer import Tokenizer, load_tokenizer
from bigru_jax.rundir import files, versions

_log = logging.getLogger(__name__)

# Files that a run writes again when it resumes with another configuration.
_OUTDATED = ('result.json', 'calibration.json', 'diagnostics.json',
             'report.html', 'faithfulness.json', 'explain-*.json')  # fmt: skip


def check_config(workdir: pathlib.Path, config: Config) -> None:
  """Compares the run in a directory, if any, with a configuration.

  Raises:
    ValueError: a field that is not mutable differs, or it is the baseline.
  """
  files.check_is_network(workdir)
  if not files.exists(workdir / 'config.json'):
    return
  before = files.read_config(workdir)
  differing = [
    name for name in config.differing_fields(before) if not is_mutable(name)
  ]
  if 'train' in differing:  # Of own files and a data set, one is used.
    unused = {'dataset'} if before.train else {'train'}
    if not before.train and 'dataset' not in differing:
      differing.append('dataset')
    differing = [name for name in differing if name not in unused]
  if differing:
    values = [f'{name} ({getattr(before, name)!r} there)' for name in differing]
    raise ValueError(
      f'workdir={workdir} holds another run, which differs in '
      f'{", ".join(values)}; name another directory, or remove this one'
    )


def create_or_check(
  workdir: pathlib.Path,
  config: Config,
  labels: list[str],
  tokenizer: Tokenizer,
  identity: dict[str, str],
) -> None:
  """Writes the files that describe a run, or compares the existing ones.

  Raises:
    ValueError: the run was started on other data, or with another vocabulary.
  """
  if not files.exists(workdir / 'config.json'):
    if labels:  # A language model has none.
      files.write_json(workdir / 'labels.json', labels)
    files.write_json(workdir / 'data.json', identity)
    tokenizer.save(workdir)
    # It is the last, so that a directory with a configuration has the others.
    files.write_config(workdir, config)
    return
  # It raises if they were purged; predictions need them.
  if labels:
    files.read_labels(workdir)
  check_data(workdir, config, tokenizer, identity)
  if origin := versions.origin(files.read_version(workdir)):
    _log.info('workdir=%s was %s; it resumes', workdir, origin)


def check_data(
  workdir: pathlib.Path,
  config: Config,
  tokenizer: Tokenizer,
  identity: dict[str, str],
) -> None:
  """Compares data with those of the run in a directory.

  Args:
    workdir: the directory.
    config: the run's configuration.
    tokenizer, identity: those of the data, see `Dataset`.

  Raises:
    ValueError: the run was started on other data, or with another vocabulary.
  """
  before = files.read_identity(workdir)
  names = sorted(before.keys() | identity.keys())
  differing = [
    f'{name} (digest {before.get(name, "none")[:8]} there, '
    f'{identity.get(name, "none")[:8]} now)'
    for name in names
    if before.get(name) != identity.get(name)
  ]
  version = files.read_version(workdir)
  if differing:
    raise ValueError(
      f'workdir={workdir} holds a run that was started on other data: '
      f'{", ".join(differing)}; {versions.way_on(version)}'
    )
  vocabulary = tokenizer.vocabulary
  if (
    vocabulary is not None
    and vocabulary
    != load_tokenizer(
      workdir, config.tokenizer, config.replace_urls_and_users
    ).vocabulary
  ):
    raise ValueError(
      f'workdir={workdir} holds a run with other tokens or other held-out '
      f'texts: vocabulary.txt differs; {versions.way_on(version)}'
    )


def record_changes(workdir: pathlib.Path, config: Config) -> None:
  """Writes new values of mutable fields to config.json.

  It removes the results that they outdate, so it is called only when the run is
  certain to resume.
  """
  before = files.read_config(workdir)
  changed = config.differing_fields(before)
  if changed:
    changes = [
      f'{name}={getattr(config, name)} (was {getattr(before, name)})'
      for name in changed
    ]
    _log.info('the run resumes with %s', ', '.join(changes))
    for pattern in _OUTDATED:
      for path in workdir.glob(pattern):
        path.unlink(missing_ok=True)
    files.write_config(workdir, config)
