"""Calling the scripts as a user does."""

import contextlib
import copy
import io
import json
import logging
import os
import pathlib
import re
import runpy
import signal
import subprocess
import sys
from unittest import mock

from absl import app, flags

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


def call_script(script, *arguments, input='', cwd='.'):
  """Like `call`, in this process, which has imported and compiled the most.

  The script is run anew with flags, streams, signal handlers and log levels of
  its own, which are put back. It sets up neither the CPU nor the cache of
  compiled programs, for the tests do.

  Args:
    script: its name in `experiments/`.
    arguments: its flags.
    input: its standard input.
    cwd: its working directory.

  Returns:
    What `call` returns. An exception that the script does not turn into a
    message is raised.
  """
  argv = command(script, *arguments)[1:]
  streams = [
    io.TextIOWrapper(io.BytesIO(content), 'utf-8', newline='\n')
    for content in (input.encode(), b'', b'')
  ]
  with contextlib.ExitStack() as stack:
    stack.enter_context(contextlib.chdir(cwd))
    for name, stream in zip(('stdin', 'stdout', 'stderr'), streams):
      stack.enter_context(mock.patch.object(sys, name, stream))
    stack.enter_context(mock.patch.object(sys, 'argv', argv))
    for name in ('configure_cpu', 'cache_compilations'):
      stack.enter_context(mock.patch(f'bigru_jax.runtime.host.{name}'))
    # absl's own sets handlers and flags of the process, once.
    stack.enter_context(mock.patch.object(app, 'run', _run))
    for context in (_signals, _logging, _flags, _modules):
      stack.enter_context(context())
    status = 0
    try:
      runpy.run_path(argv[0], run_name='__main__')
    except SystemExit as error:
      status = error.code or 0
  stdout, stderr = map(_content, streams[1:])
  return subprocess.CompletedProcess(argv, status, stdout, stderr)


def _run(main, flags_parser):
  main(flags_parser(sys.argv))


def _content(stream):
  stream.flush()
  return stream.buffer.getvalue().decode()


@contextlib.contextmanager
def _signals():
  """Puts the signal handlers back."""
  numbers = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1
  handlers = {number: signal.getsignal(number) for number in numbers}
  try:
    yield
  finally:
    for number, handler in handlers.items():
      signal.signal(number, handler)


@contextlib.contextmanager
def _logging():
  """Shows warnings on the standard error, and puts the levels back."""
  names = 'bigru_jax', 'asyncio', 'absl'
  loggers = [logging.getLogger(name) for name in names]
  levels = [logger.level for logger in loggers]
  handler = logging.StreamHandler(sys.stderr)
  logging.getLogger('bigru_jax').addHandler(handler)
  try:
    yield
  finally:
    logging.getLogger('bigru_jax').removeHandler(handler)
    for logger, level in zip(loggers, levels):
      logger.setLevel(level)


@contextlib.contextmanager
def _flags():
  """Has no flags but absl's own, at their defaults, and puts all back."""
  state = vars(flags.FLAGS)
  before = dict(state)
  own = {
    name: [copy.deepcopy(flag) for flag in module_flags]
    for name, module_flags in flags.FLAGS.flags_by_module_dict().items()
    if name.startswith('absl.')
  }
  state.clear()
  flags.FLAGS.__init__()
  for name, module_flags in own.items():
    for flag in module_flags:
      flag.unparse()
      flags.DEFINE_flag(flag, module_name=name)
  try:
    yield
  finally:
    state.clear()
    state.update(before)


@contextlib.contextmanager
def _modules():
  """Has the modules of `experiments/`, which define flags, imported anew."""
  folder = str(ROOT / 'experiments') + os.sep

  def own():
    return {
      name: module
      for name, module in sys.modules.items()
      if (getattr(module, '__file__', None) or '').startswith(folder)
    }

  before = own()
  for name in before:
    del sys.modules[name]
  try:
    yield
  finally:
    for name in own():
      del sys.modules[name]
    sys.modules.update(before)


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
