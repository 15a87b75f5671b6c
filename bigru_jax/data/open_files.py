"""Opens files, with their compression, encoding, progress and digest."""

from __future__ import annotations

import bz2
import codecs
from collections.abc import Callable, Iterator
import contextlib
import gzip
import hashlib
import io
import itertools
import lzma
import os
from typing import Any, BinaryIO
import zipfile
import zlib

from tqdm import tqdm

PathName = str | os.PathLike[str]
_COMPRESSION_ERRORS = (
  EOFError,
  gzip.BadGzipFile,
  lzma.LZMAError,
  zipfile.BadZipFile,
  zlib.error,
)
# The function that opens a compressed file, by the file's first bytes.
_CONTAINERS: dict[bytes, Callable[[Any], Any]] = {
  b'\x1f\x8b': gzip.open,
  b'\xfd7zXZ\x00': lzma.open,
  b'BZh': bz2.open,
  b'PK\x03\x04': lambda file: _open_zip(file),
}
# By the first bytes of a file. The marks of UTF-32 begin like those of UTF-16.
_BYTE_ORDER_MARKS = {
  codecs.BOM_UTF32_LE: 'utf-32',
  codecs.BOM_UTF32_BE: 'utf-32',
  codecs.BOM_UTF16_LE: 'utf-16',
  codecs.BOM_UTF16_BE: 'utf-16',
}


@contextlib.contextmanager
def open_binary(path: str | os.PathLike, field: str) -> Iterator[BinaryIO]:
  """Opens a file or a pipe, plain or compressed (known by its first bytes).

  On a terminal, a bar shows the progress if reading takes long.

  Args:
    path: a plain, gzip, xz or bzip2 file, or a zip archive of one file.
    field: the field of the configuration, for messages.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is a folder, corrupt, or an archive of several files.
  """
  check_file(path, field)
  with io.BufferedReader(WatchedFile(path), 2**18) as raw:
    start = raw.peek(6)
    opener = next(
      (o for m, o in _CONTAINERS.items() if start.startswith(m)), None
    )
    try:
      if opener:
        with opener(raw) as file:
          yield file
      else:
        yield raw
    except _COMPRESSION_ERRORS as error:
      raise ValueError(f'{field}={path} is corrupt: {error}') from error
    except _SeveralFiles as error:
      raise ValueError(f'{field}={path}: {error}') from error


class WatchedFile(io.FileIO):
  """A file that moves a progress bar as it is read."""

  def __init__(self, path: str | os.PathLike) -> None:
    super().__init__(path)
    self._bar = tqdm(
      desc=os.path.basename(path),
      total=os.path.getsize(path) or None,
      unit='B',
      unit_scale=True,
      delay=2,  # Seconds.
      leave=False,
      disable=None,  # Only on a terminal.
    )

  def readinto(self, buffer: Any) -> Any:
    count = super().readinto(buffer)
    self._bar.update(count)
    return count

  def close(self) -> None:
    self._bar.close()
    super().close()


class _SeveralFiles(Exception):
  """An archive has several files."""


def _open_zip(file: Any) -> Any:
  archive = zipfile.ZipFile(
    file if file.seekable() else io.BytesIO(file.read())
  )
  names = [name for name in archive.namelist() if not name.endswith('/')]
  if len(names) != 1:
    raise _SeveralFiles(f'it holds {", ".join(names)}; unpack the one you want')
  return archive.open(names[0])


@contextlib.contextmanager
def open_lines(
  path: str | os.PathLike, field: str, encoding: str = '', newline: str = '\n'
) -> Iterator[Iterator[str]]:
  """Opens a text file, plain or compressed, as an iterator over its lines.

  Args:
    path: the file.
    field: the field of the configuration that names the file, for messages.
    encoding: the encoding of the text; by default UTF-8, or UTF-16 or UTF-32 if
      the file begins with its byte-order mark.
    newline: the line end, which is kept; '' for any of \\n, \\r and \\r\\n.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: the file is corrupt or not in this encoding; the message names
      the row.
  """
  with open_binary(path, field) as binary:
    yield _decoded(binary, f'{field}={path}', encoding, newline)


def _decoded(
  binary: BinaryIO, where: str, encoding: str, newline: str
) -> Iterator[str]:
  file = io.BufferedReader(binary)  # type: ignore[type-var]
  if not encoding:
    start = file.peek(4)[:4]
    marks = (x for x in _BYTE_ORDER_MARKS if start.startswith(x))
    encoding = _BYTE_ORDER_MARKS.get(next(marks, b''), 'utf-8')
    if encoding == 'utf-8' and b'\0\0' in (start[::2], start[1::2]):
      raise ValueError(
        f'{where}: not UTF-8, but UTF-16 or UTF-32 without a byte-order mark; '
        'see encoding'
      )
  try:
    text = io.TextIOWrapper(file, encoding, newline=newline)
  except LookupError as error:
    raise ValueError(f'encoding={encoding!r} is unknown') from error
  row = 0
  try:
    for row, line in enumerate(text, 1):
      yield line.removeprefix('\ufeff') if row == 1 else line
  except UnicodeDecodeError as error:
    # No line of the decoder's last block has been yielded.
    row += 1 + error.object[: error.start].count(b'\n')
    raise ValueError(
      f'{where}, row {row}: not {encoding}: '
      f'byte 0x{error.object[error.start]:02x}; see encoding'
    ) from error
  except UnicodeError as error:
    raise ValueError(
      f'{where}: not {encoding}: {error}; see encoding'
    ) from error


@contextlib.contextmanager
def open_below_blanks(
  path: str | os.PathLike, field: str, encoding: str = ''
) -> Iterator[tuple[int, str, Iterator[str]]]:
  """Opens a file like `open_lines`, without blank lines at its top.

  Yields:
    The row of the first line, this line, and all lines including it.

  Raises:
    ValueError: see `open_lines`; or the file is blank.
  """
  with open_lines(path, field, encoding, newline='') as lines:
    for row, line in enumerate(lines, 1):
      if line.strip():
        yield row, line, itertools.chain([line], lines)
        return
  raise ValueError(f'{field}={path} is empty')


def read_lines(
  path: str | os.PathLike, field: str, encoding: str = ''
) -> Iterator[tuple[int, str]]:
  """Reads the lines of a text file that are not blank, with rows from 1.

  Raises:
    FileNotFoundError, ValueError: see `open_lines`; or the file is blank.
  """
  blank = True
  with open_lines(path, field, encoding) as lines:
    for row, line in enumerate(lines, 1):
      if line.strip():
        blank = False
        yield row, line
  if blank:
    raise ValueError(f'{field}={path} is empty')


def file_sha256(path: str | os.PathLike, field: str) -> str:
  """Returns the SHA-256 digest of a file that a field names.

  Raises:
    FileNotFoundError: there is no such file.
    ValueError: it is a folder, or a pipe, which cannot be read twice.
  """
  check_file(path, field)
  if not os.path.isfile(path):
    raise ValueError(f'{field}={path} is a pipe; give a file')
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def check_file(path: str | os.PathLike, field: str) -> None:
  """Checks that a file or a pipe exists.

  Raises:
    FileNotFoundError: it does not exist.
    ValueError: it is a folder.
  """
  if os.path.isdir(path):
    raise ValueError(f'{field}={path} is a folder: name a file')
  if not os.path.exists(path):
    raise FileNotFoundError(f'{field}={path}: no such file')


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """Makes a JSON object; an `object_pairs_hook` for `json.loads`.

  Raises:
    ValueError: a name occurs twice.
  """
  content: dict[str, Any] = {}
  for name, value in pairs:
    if name in content:
      raise ValueError(f'names {name!r} twice')
    content[name] = value
  return content
