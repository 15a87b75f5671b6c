"""Explains texts, for `bigru explain`: how much each token speaks for a label.

Its flags are a part of those of the command.
"""

from collections.abc import Callable, Iterable, Iterator
import itertools
import json
import logging
import os
import pathlib
import sys
from typing import Any

from tqdm import tqdm

import bigru_jax
from bigru_jax.cli import inputs, outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.tabular_files import without_folders
from bigru_jax.explain.attributions import ATTRIBUTIONS
from bigru_jax.explain.texts import METHOD
from bigru_jax.reports.page.page import describe, write_page
from bigru_jax.reports.shades import colored, signed

FLAGS = Flags()
FLAGS.append_flag_values(inputs.FLAGS_WITH_ID)
_TEXT = FLAGS.multi_string(
  'text', 'A text to explain; the flag may be repeated.'
)
_INPUT = FLAGS.path(
  'input', 'A file of texts to explain, or - for standard input.'
)
_METHOD = FLAGS.enum(
  'method', 'The attribution of the tokens.', list(ATTRIBUTIONS), METHOD
)
_LABEL = FLAGS.string(
  'label',
  'The label to explain; by default the predicted one, or of several the most '
  'probable one.',
)
_BATCH_SIZE = FLAGS.integer(
  'batch_size', 'The maximum number of texts in a batch.', 256, lower=1
)
FLAGS.mark_as_parsed()
_ALONE = (
  'method', 'label', 'batch_size', 'id_column', 'text_column', 'encoding',
  'delimiter', 'calibrated',
)  # fmt: skip
_JSON, _PICTURES = ('.jsonl', '.json'), ('.png', '.svg', '.pdf')
_MAX_PICTURED = 20
_log = logging.getLogger('bigru_jax.explain')
# Texts, and their answers from `Run.explain`.
Explained = Iterator[tuple[str, dict[str, Any]]]


def are_given() -> bool:
  """Returns whether there are texts to explain, instead of a split.

  Raises:
    ValueError: there are none, but a flag that only they have.
  """
  if not _TEXT.value and _INPUT.value is None:
    FLAGS.refuse('text or input', *_ALONE)
    return False
  if _TEXT.value and _INPUT.value is not None:
    raise ValueError('give either text or input')
  return True


def main(output: str) -> None:
  """Explains the texts of the flags, and prints or writes the explanations.

  Args:
    output: a file, - for JSON lines on standard output, or empty for readers.

  Raises:
    FileNotFoundError, ValueError: a flag or the input is wrong.
  """
  workdir, *more = inputs.workdirs()
  if more:
    raise ValueError('workdir: one run is explained at a time')
  FLAGS.refuse(
    'predictions; explanations are of the model itself', 'calibrated'
  )
  source, kind = _INPUT.value or '', _kind(output)
  write = _WRITERS[kind]
  if kind not in _JSON:
    FLAGS.refuse('an output in JSON', 'id_column')
  if output:
    outputs.check_output(output, source)
  inputs.check_flags(source)
  if kind == '.html':
    describe(workdir)  # Raises what the page would, before the explanations.
  run = inputs.load_model()
  assert isinstance(run, bigru_jax.Run)
  write(output, _explain(run, source), workdir)
  if output not in ('', '-'):
    print(output)


def _kind(output: str) -> str:
  """Returns the extension of an output, .jsonl for a stream, '' for readers."""
  if not output:
    return ''
  if output == '-' or outputs.is_device(output):
    return '.jsonl'
  kind = os.path.splitext(output)[1].lower()
  if kind not in _WRITERS:
    known = ', '.join(filter(None, _WRITERS))
    raise ValueError(f'output={output}: a file must end in one of {known}')
  if kind in _PICTURES:
    try:
      import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
      raise ValueError(
        f'output={output} needs more packages: pip install "bigru_jax[plot]" '
        f'({error})'
      ) from None
  return kind


def _explain(run: bigru_jax.Run, source: str) -> Explained:
  """Yields the explanations; shows progress and warns of truncated texts."""
  pairs: Iterable[tuple[str, str]] = ((text, '') for text in _TEXT.value)
  has_ids = False
  if source:
    pairs = inputs.read_texts_and_ids(source, run.config)
    has_ids = bool(inputs.id_column(run.config, source))
  pairs, text_pairs = itertools.tee(pairs)
  answers = run.stream_explanations(
    (text for text, _ in text_pairs),
    _METHOD.value,
    _LABEL.value,
    _BATCH_SIZE.value,
  )
  truncated = 0
  progress = tqdm(answers, unit=' texts', delay=2, leave=False, disable=None)
  for (text, text_id), answer in zip(pairs, progress):
    truncated += answer['truncated']
    yield text, {'id': text_id, **answer} if has_ids else answer
  if truncated:
    _log.warning('%d texts are truncated at %s', truncated, run.config.limits)


def _print(output: str, explained: Explained, workdir: pathlib.Path) -> None:
  """Prints the texts for readers, in colours if this is a terminal."""
  del output, workdir
  as_lines = colored if sys.stdout.isatty() else signed
  for number, (text, answer) in enumerate(explained):
    separator = '\n' if number else ''
    sys.stdout.write(separator + as_lines(text, answer))
  sys.stdout.flush()


def _write_lines(
  output: str, explained: Explained, workdir: pathlib.Path
) -> None:
  del workdir
  outputs.write_json_lines(output, (answer for _, answer in explained))


def _write_list(
  output: str, explained: Explained, workdir: pathlib.Path
) -> None:
  del workdir
  with outputs.open_output(output) as file:
    json.dump([answer for _, answer in explained], file)


def _write_picture(
  output: str, explained: Explained, workdir: pathlib.Path
) -> None:
  del workdir
  from bigru_jax.reports.figures.heat_map import (
    write_heat_maps,  # It needs an extra.
  )

  pairs = list(itertools.islice(explained, _MAX_PICTURED + 1))
  if not 0 < len(pairs) <= _MAX_PICTURED:
    raise ValueError(
      f'output={output}: a picture has 1 to {_MAX_PICTURED} texts; a .html '
      'output has any number'
    )
  write_heat_maps(output, *zip(*pairs))


def _write_page(
  output: str, explained: Explained, workdir: pathlib.Path
) -> None:
  """Writes a page of the texts with their attributions."""
  pairs = list(explained)
  source, origin = 'the command line', 'text'
  if _INPUT.value:
    source = origin = without_folders(_INPUT.value)
  write_page(
    pathlib.Path(output),
    workdir,
    [text for text, _ in pairs],
    [answer for _, answer in pairs],
    [None] * len(pairs),
    [f'{origin}, row {number}' for number in range(1, len(pairs) + 1)],
    f'Texts of {source}.',
    source=source,
  )


# By the extension of the output.
_WRITERS: dict[str, Callable[[str, Explained, pathlib.Path], None]] = {
  '': _print,
  '.jsonl': _write_lines,
  '.json': _write_list,
  **dict.fromkeys(_PICTURES, _write_picture),
  '.html': _write_page,
}
