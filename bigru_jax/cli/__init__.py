"""The commands: `bigru run`, `bigru predict` and so on, a module for each.

A command's module has a docstring, which `--help` prints, its flags in `FLAGS`,
and `main`, which returns an exit status or None. `command` runs the command, in
a process of its own or in one that runs many commands.
"""

from collections.abc import Sequence
import gc
import importlib
import pathlib
import sys
from typing import NoReturn

COMMANDS = (
  'run', 'pretrain', 'predict', 'evaluate', 'explain', 'report', 'plot',
  'export', 'sweep', 'compare', 'baseline', 'from_torch', 'compile',
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> NoReturn:
  """Runs the console command `bigru`, whose first argument names a command."""
  arguments = (sys.argv if argv is None else argv)[1:]
  name = arguments[0] if arguments else '--help'
  if name in COMMANDS:
    start(name, [f'bigru {name}', *arguments[1:]])
  if name in ('--help', '-help', '-h', 'help'):
    print(_list_commands())
    sys.exit()
  print(
    f'bigru: {name!r} is not a command: choose {", ".join(COMMANDS)}',
    file=sys.stderr,
  )
  sys.exit(2)


def start(name: str, argv: Sequence[str] | None = None) -> NoReturn:
  """Runs a command as this process, which ends with it.

  Args:
    name: the command.
    argv: the program's name and the flags; by default those of the process.
  """
  # Importing JAX makes so many objects that garbage collection at Python's
  # default threshold takes 0.1 to 0.4 s of the start.
  gc.set_threshold(50_000)
  from bigru_jax.cli import command

  try:
    module = importlib.import_module(f'{__name__}.{name}')
  except ModuleNotFoundError as error:
    if name != 'plot':  # Only this command cannot even start without its extra.
      raise
    print(
      f'bigru {name} needs more packages: pip install "bigru_jax[{name}]" '
      f'({error})',
      file=sys.stderr,
    )
    sys.exit(2)
  command.start(module, sys.argv if argv is None else argv)


def _list_commands() -> str:
  """Returns the commands with the first lines of their docstrings."""
  lines = ['usage: bigru COMMAND [FLAGS]; bigru COMMAND --help', '']
  for name in COMMANDS:
    # Importing them all would take seconds.
    source = pathlib.Path(__file__).with_name(f'{name}.py').read_text('utf-8')
    summary = source.splitlines()[0].removeprefix('"""')
    lines.append(f'  {name:<12}{summary}')
  return '\n'.join(lines)
