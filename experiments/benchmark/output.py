"""What the benchmarks share: checking a list flag, writing the results."""

from collections.abc import Callable, Iterable
import json
import pathlib
import sys
from typing import Any

from absl import flags

Line = dict[str, Any]


def check_choices(flag: flags.FlagHolder, choices: Iterable[str]) -> None:
  """Checks the values of a list flag.

  Raises:
    ValueError: one of them is not among the choices.
  """
  choices = list(choices)
  for value in flag.value:
    if value not in choices:
      raise ValueError(f'{flag.name}={value}: choose {", ".join(choices)}')


def write(
  path: pathlib.Path,
  measured: Iterable[Line],
  tables: Callable[[list[Line]], str],
) -> list[Line]:
  """Prints the tables, and writes them to path.md and the lines to path.json.

  path.json is written after each line, so that an interrupted benchmark keeps
  what it has measured.

  Args:
    path: without a suffix.
    measured: the lines, which are measured while they are iterated over.
    tables: makes Markdown of lines.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  lines = []
  for line in measured:
    lines.append(line)
    path.with_suffix('.json').write_text(json.dumps(lines, indent=2) + '\n')
    print(tables([line]), file=sys.stderr)
  print(tables(lines))
  path.with_suffix('.md').write_text(tables(lines) + '\n')
  return lines
