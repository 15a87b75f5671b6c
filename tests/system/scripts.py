"""Calling the scripts as a user does."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def programs_of(page):
  """The programs of a page of docs/, in their order.

  Returns:
    Pairs of Python code and a command line, one of which is empty.
  """
  content = (ROOT / 'docs' / page).read_text()
  pattern = r'```python\n(.*?)```|^    (python [^\n]*)$'
  return re.findall(pattern, content, re.DOTALL | re.MULTILINE)


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
