"""Calling the scripts as a user does."""

import json
import os
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


# Importing takes most of the time of a short call, so it is done once. A child
# leaves without the clean-up of the interpreter, which takes the rest.
_CALL_EACH = """
import gc, json, os, runpy, sys
import command
from bigru_jax import load, train
from bigru_jax.explain import study
from bigru_jax.reports import figures, page
from matplotlib import figure, font_manager
os.dup2(1, 2)
gc.freeze()
for line in json.loads(sys.argv[1]):
  if not os.fork():
    sys.argv, status = line, 0
    try:
      runpy.run_path(line[0], run_name='__main__')
    except SystemExit as end:
      status = end.code or 0
    sys.stdout.flush()
    os._exit(status)
  print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def call_each(calls):
  """Runs scripts that end soon, each a list of its name and its arguments.

  Returns:
    What all of them said, each followed by a line with its exit status.
  """
  folder = ROOT / 'experiments'
  lines = [[str(folder / name), *map(str, rest)] for name, *rest in calls]
  done = subprocess.run(
    [sys.executable, '-c', _CALL_EACH, json.dumps(lines)],
    capture_output=True,
    text=True,
    timeout=300,
    env={**os.environ, 'PYTHONPATH': f'{folder}:{ROOT}'},
  )
  return done.stdout.splitlines()
