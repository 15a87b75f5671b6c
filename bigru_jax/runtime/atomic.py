"""Writes files completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Yields a temporary path to write to, which is renamed to `path` at the end.

  Readers see the old content or all of the new content. After an error, or when
  the process is killed, `path` is unchanged.

  Args:
    path: a file, or a folder that does not exist yet.
  """
  path = pathlib.Path(path)
  partial = path.with_name(f'{path.name}.partial')
  _remove(partial)  # A killed process may have left it.
  try:
    yield partial
    os.replace(partial, path)
  finally:
    with contextlib.suppress(OSError):  # The first error is the one to report.
      _remove(partial)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
  """Writes a file, completely or not at all."""
  with replacing(path) as partial:
    partial.write_bytes(content)


def write_text(path: str | os.PathLike, content: str) -> None:
  """Writes a file in UTF-8, in which a lone surrogate keeps its code."""
  write_bytes(path, content.encode('utf-8', 'surrogatepass'))


def _remove(path: pathlib.Path) -> None:
  if path.is_dir():
    shutil.rmtree(path)
  else:
    path.unlink(missing_ok=True)
