"""Calling the commands as a user does, in this process or in one of its own."""

import contextlib
import importlib
import io
import logging
import pathlib
import re
import shlex
import subprocess
import sys
from unittest import mock

from bigru_jax.cli import command as cli_command

ROOT = pathlib.Path(__file__).resolve().parents[2]
_PAPERS = (
  'reproduce', 'jain_wallace', 'thresholds', 'faithfulness', 'overlaps',
  'learning_curve',
)  # fmt: skip


def programs_of(page):
  """The programs of a page of docs/, in their order.

  Returns:
    Pairs of Python code and a command line, one of which is empty.
  """
  content = (ROOT / 'docs' / page).read_text()
  pattern = r'```python\n(.*?)```|^    ((?:bigru|python) [^\n]*)$'
  return re.findall(pattern, content, re.DOTALL | re.MULTILINE)


def words_of(line):
  """The words of a command line `bigru …` of a page, to start it by."""
  name, *words = shlex.split(line)
  assert name == 'bigru', line
  return [sys.executable, '-m', 'bigru_jax.cli', *words]


def command(script, *arguments):
  """The command line of a script of `experiments/`."""
  return [
    sys.executable, str(ROOT / 'experiments' / script), *map(str, arguments),
  ]  # fmt: skip


def call(script, *arguments, **options):
  """Runs a script as a process, to its end."""
  return subprocess.run(
    command(script, *arguments),
    capture_output=True,
    text=True,
    timeout=300,
    **options,
  )


def run_command(name, *arguments, input='', cwd='.'):
  """Calls a command in this process, which has imported and compiled the most.

  It sets up neither the CPU nor the cache of compiled programs, for the tests
  do.

  Args:
    name: of the command.
    arguments: its flags.
    input: its standard input.
    cwd: its working directory.

  Returns:
    What `call` returns. An exception that is not turned into a message is
    raised.
  """
  package = 'experiments.papers' if name in _PAPERS else 'bigru_jax.cli'
  module = importlib.import_module(f'{package}.{name}')
  argv = [f'{name}.py', *map(str, arguments)]
  stdin, stdout, stderr = (
    io.TextIOWrapper(io.BytesIO(content), 'utf-8', newline='\n')
    for content in (input.encode(), b'', b'')
  )
  with (
    contextlib.chdir(cwd),
    mock.patch.object(sys, 'stdin', stdin),
    contextlib.redirect_stdout(stdout),
    contextlib.redirect_stderr(stderr),
    mock.patch('bigru_jax.runtime.host.configure_cpu'),
    mock.patch('bigru_jax.runtime.host.cache_compilations'),
    _log_on(stderr),
  ):
    status = cli_command.run(module, argv)
  return subprocess.CompletedProcess(
    argv, status, _content(stdout), _content(stderr)
  )


@contextlib.contextmanager
def _log_on(stream):
  """Writes the log's lines that a user sees to a stream."""
  logger = logging.getLogger('bigru_jax')
  handler = logging.StreamHandler(stream)
  logger.addHandler(handler)
  try:
    yield
  finally:
    logger.removeHandler(handler)


def _content(stream):
  stream.flush()
  return stream.buffer.getvalue().decode()
