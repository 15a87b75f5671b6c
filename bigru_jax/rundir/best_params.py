"""Reads the best parameters of a run."""

from __future__ import annotations

import logging
import os
import pathlib
from typing import Any

from flax import traverse_util
import numpy as np

from bigru_jax import parallel
from bigru_jax.rundir import missing, restoring

_log = logging.getLogger(__name__)


def restore(
  workdir: str | os.PathLike, params: Any, field: str = 'params'
) -> Any:
  """Restores a run's best parameters, in the shapes and sharding of `params`.

  Args:
    workdir: the run directory.
    params: abstract arrays.
    field: the field of the train state, `params` or `averaged_params`.

  Raises:
    FileNotFoundError, ValueError, OSError: see `read`; or the checkpoint does
      not fit the configuration.
  """
  folder, step = _best_checkpoint(workdir)
  like = {field: params}
  restored, _ = restoring.read_state(folder, step, like)
  return parallel.place(restored, restoring.shardings_of(like))[field]


def read(workdir: str | os.PathLike, field: str = 'params') -> Any:
  """Reads a run's best parameters, whatever model they belong to.

  Args:
    workdir, field: see `restore`.

  Returns:
    NumPy arrays in nested dicts.

  Raises:
    FileNotFoundError: the run has no best checkpoint yet.
    ValueError: the checkpoint is corrupt.
    OSError: it cannot be read.
  """
  folder, step = _best_checkpoint(workdir)
  checksums = restoring.read_metadata(folder, step)['checksums']
  names = [name for name in checksums if name.startswith(f'{field}/')]
  like = traverse_util.unflatten_dict(
    dict.fromkeys(names, np.empty(0, np.float32)), sep='/'
  )
  return restoring.read_arrays(folder, step, like)[0][field]


def _best_checkpoint(workdir: str | os.PathLike) -> tuple[pathlib.Path, int]:
  """Returns the folder of a run's checkpoints, and the step of the best."""
  folder = pathlib.Path(workdir).absolute() / 'checkpoints'
  missing.check_checkpoints(folder.parent)
  try:
    steps = missing.steps(folder)
  except FileNotFoundError:
    steps = set()
  for step in sorted(steps, reverse=True):
    try:
      best = restoring.read_metadata(folder, step)['progress']['best']
    except restoring.CorruptError as error:
      _log.warning('%s', error)
      continue
    if best:
      return folder, best['step']
  raise FileNotFoundError(f'workdir={workdir} has no best checkpoint yet')
