"""Calling the scripts as a user does."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def command(script, *arguments):
  """The command line of a script of `experiments/`."""
  return [
    sys.executable, str(ROOT / 'experiments' / script), *map(str, arguments),
  ]  # fmt: skip


def call(script, *arguments, **options):
  """Runs a script to its end."""
  return subprocess.run(
    command(script, *arguments),
    capture_output=True,
    text=True,
    timeout=300,
    **options,
  )
