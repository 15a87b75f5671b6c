"""Checks for missing files of a run, before anything is written.

A disk may not be mounted, a scratch folder may have been purged, or the target
of a link may be missing. In these cases the run fails, instead of training
again over what was saved, and every file stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import logging
import os
import pathlib
import re
import time
from typing import Any

from bigru_jax.rundir import files

_log = logging.getLogger(__name__)

SAVED = 'checkpoints.json'
STAYS = 'every file stays where it is'
# Patterns in TensorStore's messages.
OS_ERROR = re.compile(r"os_error_code='(\d+)'")
_LOCAL_FILE = re.compile(r'local file "([^"]*[^"/])"')


def quarantined(workdir: pathlib.Path) -> list[tuple[int, int]]:
  """Returns the step of each checkpoint in quarantine, and when it was moved.

  Raises:
    OSError: the folder cannot be read.
  """
  try:
    names = os.listdir(workdir / 'quarantine')
  except FileNotFoundError:
    return []
  moved = (re.fullmatch(r'(\d+)-(\d+)', name) for name in names)
  return [(int(match[1]), int(match[2])) for match in moved if match]


def quarantine(workdir: pathlib.Path, step: int, reason: str) -> None:
  """Moves a corrupt checkpoint to the quarantine of its run.

  Raises:
    OSError: it cannot be moved.
  """
  target = workdir / 'quarantine' / f'{step}-{time.time_ns()}'
  try:
    target.parent.mkdir(exist_ok=True)
    os.rename(workdir / 'checkpoints' / str(step), target)
  except OSError as error:
    raise OSError(
      f'workdir={workdir}: {reason}, and it cannot be moved to {target}: '
      f'{error.strerror}'
    ) from error
  _log.warning('checkpoint %d is quarantined in %s: %s', step, target, reason)


def check_checkpoints(workdir: pathlib.Path) -> None:
  """Checks that a run which has saved checkpoints still has one.

  It may have none if it was killed before it saved the first one, or if all of
  them were corrupt and are in quarantine.

  Args:
    workdir: the directory of an existing or a new run.

  Raises:
    OSError: its checkpoints were removed, or cannot be read.
    ValueError: checkpoints.json is corrupt.
  """
  folder = workdir / 'checkpoints'
  state = 'empty'
  try:
    if steps(folder):
      return
  except FileNotFoundError:
    if files.exists(folder):
      raise
    state = 'missing'
  moved = [time_ns for _, time_ns in quarantined(workdir)]
  if files.exists(workdir / SAVED):
    saved = files.read_json(
      workdir / SAVED, 'step with its time', is_valid=_names_a_checkpoint
    )
    if any(time_ns > saved['time_ns'] for time_ns in moved):
      return
    reason = f'{SAVED} says that checkpoint {saved["step"]} was saved'
  elif files.exists(workdir / 'result.json') and not moved:
    reason = 'result.json says that the run is finished'
  else:
    return
  raise OSError(
    f'workdir={workdir}: checkpoints/ is {state}, but {reason}; perhaps a '
    f'disk is not mounted; {STAYS}; choose another workdir to start again'
  )


def _names_a_checkpoint(saved: dict[str, Any]) -> bool:
  return all(isinstance(saved.get(name), int) for name in ('step', 'time_ns'))


def check_config(workdir: pathlib.Path) -> None:
  """Checks that a directory without config.json has no checkpoints either.

  Raises:
    OSError: it has checkpoints, or they cannot be read.
  """
  with contextlib.suppress(FileNotFoundError):
    if steps(workdir / 'checkpoints'):
      raise OSError(
        f'workdir={workdir} has checkpoints, but no config.json; {STAYS}'
      )


def steps(folder: pathlib.Path) -> set[int]:
  """Returns the steps of a folder's complete checkpoints.

  Raises:
    FileNotFoundError: the folder is missing.
    OSError: it cannot be read, or a checkpoint is not a folder.
  """
  with system_errors(folder), os.scandir(folder) as entries:
    numbered = {x.name: x.is_dir() for x in entries if x.name.isdecimal()}
  for name, is_folder in numbered.items():
    if not is_folder:
      raise OSError(
        f'workdir={folder.parent}: {folder / name} is '
        f'{files.describe_link(folder / name) or "a file, not a checkpoint"}; '
        f'{STAYS}'
      )
  return set(map(int, numbered))


def check_state(folder: pathlib.Path, step: int, error: Exception) -> None:
  """Checks that a state that could not be read has all of its files.

  TensorStore stores file names with a checksum, so a name that is not found
  belongs to a file that was removed.

  Args:
    folder: the folder of the checkpoints.
    step: the step of the checkpoint.
    error: the error of Orbax or TensorStore when the state was read.

  Raises:
    OSError: a file is missing.
  """
  state = folder / str(step) / 'state'
  paths = [state / '_METADATA', state / 'manifest.ocdbt']
  paths += map(pathlib.Path, _LOCAL_FILE.findall(str(error)))
  for path in paths:
    if not _is_there(folder, path):
      raise incomplete(folder, step, path)


def incomplete(folder: pathlib.Path, step: int, path: pathlib.Path) -> OSError:
  """Returns the error for a missing file of a checkpoint."""
  while path.parent != folder and not _is_there(folder, path.parent):
    path = path.parent
  return OSError(
    f'workdir={folder.parent}: checkpoint {step} is incomplete: {path} is '
    f'{files.describe_link(path) or "missing"}; {STAYS}'
  )


def named_file(error: BaseException) -> str | None:
  """Returns the file that an error of the system or TensorStore names."""
  named: Any = getattr(error, 'filename', None)
  return named or (_LOCAL_FILE.findall(str(error)) or [None])[-1]


def reason_of(error: Exception) -> str:
  """Returns the system's reason for an error, or the first line of it."""
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  if match := OS_ERROR.search(str(error)):
    return os.strerror(int(match[1]))
  return (str(error).splitlines() or [type(error).__name__])[0]


def _is_there(folder: pathlib.Path, path: pathlib.Path) -> bool:
  with system_errors(folder):
    try:
      path.stat()
    except (FileNotFoundError, NotADirectoryError):
      return False
  return True


@contextlib.contextmanager
def system_errors(folder: pathlib.Path) -> Iterator[None]:
  """Names the run directory and the file in an error of the system.

  Args:
    folder: the folder of the checkpoints.

  Raises:
    FileNotFoundError: the folder itself is missing.
    OSError: any other error.
  """
  try:
    yield
  except OSError as error:
    path = error.filename or folder
    is_missing = isinstance(error, FileNotFoundError) and str(path) == str(
      folder
    )
    kind = FileNotFoundError if is_missing else OSError
    raise kind(
      f'workdir={folder.parent}: cannot read {path}: {reason_of(error)}; '
      f'{STAYS}'
    ) from error
