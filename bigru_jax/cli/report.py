"""Writes the page of a run: its curves and scores, and texts with attention.

  python experiments/report.py --workdir=RUN
  python experiments/report.py --workdir=RUN --input=reviews.csv --output=x.html
  python experiments/report.py --workdir=RUN --text="A film." --output=x.html

Training writes the same page, RUN/report.html, with the texts of the test
split. The input is any that predict.py takes; --label_column names the column
of a .csv, .tsv, .jsonl, .json or .parquet file whose labels are shown beside
the predictions.
"""

import itertools
import os
import pathlib

from absl import flags

import bigru_jax
from bigru_jax.cli import inputs, outputs
from bigru_jax.data.labels import Flags
from bigru_jax.data.splits import Example
from bigru_jax.reports.page import describe, note_on_test, write_page
from bigru_jax.rundir.examples import examples_of_run
from bigru_jax.runtime import host
from bigru_jax.runtime.fields import expand_users

FLAGS = flags.FlagValues()
FLAGS.append_flag_values(inputs.FLAGS)
_TEXT = flags.DEFINE_multi_string(
  'text', [], 'A text to show; the flag may be repeated.', flag_values=FLAGS
)
_INPUT = flags.DEFINE_string(
  'input', '', 'A file of texts to show.', flag_values=FLAGS
)
_LABEL_COLUMN = flags.DEFINE_string(
  'label_column',
  '',
  "The input's column of labels; without it none are shown.",
  flag_values=FLAGS,
)
_OUTPUT = flags.DEFINE_string(
  'output',
  '',
  'The .html file; for the test split by default report.html in the run '
  'directory.',
  flag_values=FLAGS,
)
_MAX_TEXTS = flags.DEFINE_integer(
  'max_texts',
  20_000,
  'The largest number of texts on the page: the first ones of an input, and '
  'evenly spaced ones of the test split.',
  lower_bound=1,
  flag_values=FLAGS,
)


def choose_texts(
  workdir: pathlib.Path, run: bigru_jax.Run
) -> tuple[list[Example], bool, str]:
  """The texts to show, whether they have labels, and a sentence on them."""
  limit = _MAX_TEXTS.value
  if _TEXT.value:
    return (
      [Example(x, '', 'text', i) for i, x in enumerate(_TEXT.value, 1)],
      False,
      'Texts of the command line.',
    )
  if not _INPUT.value:
    examples = examples_of_run(workdir, 'test', run.config)
    stride = -(-len(examples) // limit)
    return examples[::stride], True, note_on_test(len(examples), stride)
  path = expand_users(_INPUT.value)
  note = f'Texts of {_INPUT.value}.'
  if _LABEL_COLUMN.value:
    labelled = inputs.labelled_file(path, run, _LABEL_COLUMN.value)
    examples = labelled[:limit]
    run_labels = set(run.labels)
    for example in examples:
      label = example.label
      assert not isinstance(label, Flags)  # They are read as names.
      unknown = {label} if isinstance(label, str) else set(label)
      unknown -= run_labels
      if unknown:
        raise ValueError(
          f'{example.source}, row {example.row}: the run does not know the '
          f'label {min(unknown)!r}'
        )
    return examples, True, note
  texts = itertools.islice(inputs.read_texts(path, run.config), limit)
  examples = [Example(x, '', _INPUT.value, i) for i, x in enumerate(texts, 1)]
  return examples, False, note


def main() -> None:
  """Predicts the texts and writes their page."""
  workdirs = inputs.workdirs()
  if len(workdirs) > 1:
    raise ValueError('workdir: a page is of one run')
  if _TEXT.value and _INPUT.value:
    raise ValueError('give either text or input')
  if (_TEXT.value or _INPUT.value) and not _OUTPUT.value:
    raise ValueError(
      'output: name a file; report.html in the run directory is that of its '
      'test split'
    )
  if _LABEL_COLUMN.value and not _INPUT.value:
    raise ValueError('label_column: give an input, whose column it is')
  if _MAX_TEXTS.present and _TEXT.value:
    raise ValueError(
      'max_texts: of the texts of the command line all are shown'
    )
  path = expand_users(_INPUT.value)
  inputs.check_flags(path, pipe_of_lines=not _LABEL_COLUMN.value)
  workdir = workdirs[0]
  output = os.path.expanduser(_OUTPUT.value) or workdir / 'report.html'
  outputs.check_output(str(output), path)
  host.configure_cpu()
  host.cache_compilations()
  run = inputs.load_model()
  assert isinstance(run, bigru_jax.Run)
  workdir = run.workdir  # Of a published model, where it was downloaded to.
  describe(workdir)  # Raises what the page would, before the predictions.
  examples, labelled, note = choose_texts(workdir, run)
  texts = [example.text for example in examples]
  write_page(
    pathlib.Path(output),
    workdir,
    texts,
    run.predict(texts, **inputs.options()),
    [example.label if labelled else None for example in examples],
    [f'{example.source}, row {example.row}' for example in examples],
    note,
  )
  print(output)
