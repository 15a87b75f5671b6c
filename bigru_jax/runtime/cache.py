"""The folder in which this package caches downloads and compiled programs."""

import os
import pathlib


def cache_dir() -> pathlib.Path:
  """This package's folder in the user's cache."""
  base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
  return pathlib.Path(base) / 'bigru_jax'
