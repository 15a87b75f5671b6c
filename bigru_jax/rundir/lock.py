"""The lock of a run directory, which the system releases with its process."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import socket

from bigru_jax.rundir.files import check_is_folder


@contextlib.contextmanager
def locked(workdir: pathlib.Path, field: str = 'workdir') -> Iterator[None]:
  """Holds a directory, which it makes, against other processes.

  The system releases the lock when the process ends, however it ends. In the
  message the directory is named by `field`.

  Raises:
    ValueError: another process holds it; the message says which.
    OSError: the directory cannot be written.
  """
  check_is_folder(workdir, field)
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    lock = (workdir / 'lock').open('a+', encoding='utf-8')
  except OSError as error:
    raise type(error)(
      f'{field}={workdir}: cannot write {error.filename}: {error.strerror}'
    ) from error
  with lock as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      raise ValueError(
        f'{field}={workdir} is in use by {file.read(200).strip()}'
      ) from None
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    yield


def is_locked(workdir: pathlib.Path) -> bool:
  """Whether a process holds a run directory."""
  try:
    with (workdir / 'lock').open('rb') as file:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
  except FileNotFoundError:
    return False
  except BlockingIOError:
    return True
  return False
