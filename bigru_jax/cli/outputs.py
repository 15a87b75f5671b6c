"""The files that commands write: completely, and never over what they read."""

from collections.abc import Iterator
import contextlib
import os
from typing import TextIO

from bigru_jax.data import tabular_files
from bigru_jax.runtime.atomic import replacing


def check_output(output: str, source: str = '') -> None:
  """Refuses an output that cannot be written, or is what the script reads.

  Args:
    output: a path, or - for standard output.
    source: the files that the script reads, see `files.find`; - for none.

  Raises:
    FileNotFoundError: a source is missing.
    ValueError: the output is a folder or in no folder, or one of the sources.
  """
  folder = os.path.dirname(output) or '.'
  if os.path.isdir(output):
    raise ValueError(f'output={output} is a folder')
  if not os.path.isdir(folder):
    raise ValueError(f'output={output}: there is no folder {folder}')
  paths = tabular_files.find(source, 'input') if source not in ('', '-') else []
  if os.path.isfile(output) and any(
    os.path.samefile(path, output) for path in paths
  ):
    raise ValueError(f'output={output} is the input')


def is_csv(output: str) -> bool:
  """Whether an output is a CSV file; else it is one of JSON lines.

  Raises:
    ValueError: its extension is neither .csv nor .jsonl.
  """
  is_device = os.path.exists(output) and not os.path.isfile(output)
  if output == '-' or is_device or output.lower().endswith('.jsonl'):
    return False
  if not output.lower().endswith('.csv'):
    raise ValueError(f'output={output}: a file must end in .jsonl or .csv')
  return True


@contextlib.contextmanager
def open_output(output: str, source: str = '') -> Iterator[TextIO]:
  """Opens an output, which is written completely or not at all.

  Args:
    output: a path; a ~ is expanded.
    source: the files that the script reads.

  Raises:
    FileNotFoundError, ValueError: see `check_output`.
  """
  output = os.path.expanduser(output)
  check_output(output, source)
  if os.path.exists(output) and not os.path.isfile(output):  # /dev/null, say.
    with open(output, 'w', encoding='utf-8', newline='') as file:
      yield file
    return
  with (
    replacing(output) as partial,
    open(partial, 'w', encoding='utf-8', newline='') as file,
  ):
    yield file
