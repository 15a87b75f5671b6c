"""The lock of a run directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
import socket

import filelock

from bigru_jax.rundir.files import check_is_folder


@contextlib.contextmanager
def locked(workdir: pathlib.Path, field: str = 'workdir') -> Iterator[None]:
  """Creates a directory and locks it against other processes.

  The system releases the lock when the process ends, however it ends. In
  messages, `field` names the directory.

  Raises:
    ValueError: another process has locked it; the message names the process.
    OSError: the directory cannot be written.
  """
  check_is_folder(workdir, field)
  path = workdir / 'lock'
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    held = _lock(path, on_acquired=_write_holder).acquire()
  except filelock.Timeout:
    try:
      holder = path.read_text('utf-8', errors='replace')[:200].strip()
    except OSError:  # On Windows only its owner can read a locked file.
      holder = 'another process'
    raise ValueError(f'{field}={workdir} is in use by {holder}') from None
  except OSError as error:
    raise type(error)(
      f'{field}={workdir}: cannot write {error.filename or path}: '
      f'{error.strerror}'
    ) from error
  with held:
    yield


def is_locked(workdir: pathlib.Path) -> bool:
  """Returns whether a process holds a run directory."""
  path = workdir / 'lock'
  if not path.exists():
    return False
  try:
    with _lock(path):
      return False
  except filelock.Timeout:
    return True


def _lock(
  path: pathlib.Path, on_acquired: Callable[[int], None] | None = None
) -> filelock.BaseFileLock:
  return filelock.FileLock(
    path,
    timeout=0,
    thread_local=False,
    fallback_to_soft=False,  # A soft lock would outlive a killed process.
    on_acquired=on_acquired,
  )


def _write_holder(descriptor: int) -> None:
  os.ftruncate(descriptor, 0)
  os.write(
    descriptor, f'process {os.getpid()} on {socket.gethostname()}\n'.encode()
  )
