"""Writes the page of a run: curves, scores, texts with attention.

  bigru report --workdir=RUN
  bigru report --workdir=RUN --input=reviews.csv --output=x.html
  bigru report --workdir=RUN --text="A film." --output=x.html

Training writes the same page, RUN/report.html, with the texts of the test
split. The input has any form that `bigru predict` accepts. --label_column names
the column of the labels, which are shown next to the predictions.
"""

from collections.abc import Sequence
import itertools
import pathlib
from typing import Any

import numpy as np

import bigru_jax
from bigru_jax.cli import inputs, outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.soft_labels import hard_label
from bigru_jax.data.splits import Example
from bigru_jax.data.tabular_files import without_folders
from bigru_jax.explain.choice import affordable, page_methods
from bigru_jax.reports.page.baseline import describe_baseline
from bigru_jax.reports.page.page import describe, note_on_test, write_page
from bigru_jax.reports.page.shading import Attribute
from bigru_jax.rundir.examples import examples_of_run

FLAGS = Flags()
FLAGS.append_flag_values(inputs.FLAGS)
_TEXT = FLAGS.multi_string('text', 'A text to show; the flag may be repeated.')
_INPUT = FLAGS.path('input', 'A file of texts to show.')
_LABEL_COLUMN = FLAGS.string(
  'label_column', "The input's column of labels; by default none are shown."
)
_OUTPUT = FLAGS.path(
  'output',
  'The .html file; for the test split, the default is report.html in the run '
  'directory.',
)
_BASELINE = FLAGS.path(
  'baseline',
  'The directory of a linear baseline of the same data, whose test metrics are '
  "shown beside the run's; by default, a finished one beside the run's "
  'directory.',
)
_MAX_TEXTS = FLAGS.integer(
  'max_texts',
  'The maximum number of texts on the page: the first texts of an input, or '
  'evenly spaced texts of the test split.',
  20_000,
  lower=1,
)


def choose_texts(
  workdir: pathlib.Path, run: bigru_jax.Run
) -> tuple[list[Example], bool, str]:
  """Returns the texts to show, whether they have labels, and a note on them."""
  limit, source = _MAX_TEXTS.value, _INPUT.value
  if not (_TEXT.value or source):
    examples = examples_of_run(workdir, 'test', run.config)
    chosen = examples[:: -(-len(examples) // limit)]
    return chosen, True, note_on_test(len(examples), len(chosen))
  path = source or ''
  if _LABEL_COLUMN.value:
    labelled = inputs.labelled_file(path, run, _LABEL_COLUMN.value)
    names = set(run.labels)
    for example in labelled[:limit]:
      if unknown := set(inputs.label_names(example)) - names:
        raise ValueError(
          f'{example.source}, row {example.row}: the run does not know the '
          f'label {min(unknown)!r}'
        )
    return labelled[:limit], True, f'Texts of {source_name()}.'
  texts = _TEXT.value or itertools.islice(
    inputs.read_texts(path, run.config), limit
  )
  origin = source or 'text'
  note = f'Texts of {source_name()}.'
  examples = [Example(text, '', origin, i) for i, text in enumerate(texts, 1)]
  return examples, False, note


def source_name() -> str:
  """Returns the name of what the texts are; '' for the test split."""
  if _TEXT.value:
    return 'the command line'
  return without_folders(_INPUT.value) if _INPUT.value else ''


def check_flags() -> None:
  """Refuses flags that contradict each other, or would be ignored.

  Raises:
    ValueError: there is such a flag.
  """
  if _TEXT.value and _INPUT.value:
    raise ValueError('give either text or input')
  if (_TEXT.value or _INPUT.value) and not _OUTPUT.value:
    raise ValueError(
      'output: name a file; report.html in the run directory is for the test '
      'split'
    )
  if (_TEXT.value or _INPUT.value) and _BASELINE.value:
    raise ValueError('baseline: it has scores only on the test split')
  if not _INPUT.value:
    FLAGS.refuse('an input', 'label_column')
  if _MAX_TEXTS.present and _TEXT.value:
    raise ValueError('max_texts needs an input or the test split')


def explainer(
  run: bigru_jax.Run, texts: Sequence[str], answers: Sequence[dict[str, Any]]
) -> Attribute:
  """Returns what explains the answers of a page; see `Attribute`."""

  def attribute(order):
    attributions = {}
    lengths = [len(answer['tokens']) for answer in answers]
    for method in page_methods(run.config.pooling):
      if method == 'attention':  # The answers have it.
        continue
      indices = affordable(method, lengths, order)
      weights: list[np.ndarray | None] = [None] * len(texts)
      explained = run.explain([texts[i] for i in indices], method)
      for i, answer in zip(indices, explained):
        weights[i] = np.array(answer['attribution'])
      attributions[method] = weights
    return attributions

  return attribute


def main() -> None:
  """Predicts the texts and writes their page."""
  workdir, *more = inputs.workdirs()
  if more:
    raise ValueError('workdir: a page shows one run')
  check_flags()
  path = _INPUT.value or ''
  inputs.check_flags(path, pipe_of_lines=not _LABEL_COLUMN.value)
  if not _OUTPUT.value:
    outputs.check_can_write(inputs.WORKDIR.value[0], 'output is not given')
  output = _OUTPUT.value or workdir / 'report.html'
  outputs.check_output(str(output), path)
  run = inputs.load_model()
  assert isinstance(run, bigru_jax.Run)
  if baseline := _BASELINE.value:
    describe_baseline(workdir, pathlib.Path(baseline))
  describe(workdir)  # Raises what the page would, before the predictions.
  examples, labelled, note = choose_texts(workdir, run)
  texts = [example.text for example in examples]
  answers = run.predict(texts, **inputs.options())
  write_page(
    pathlib.Path(output),
    workdir,
    texts,
    answers,
    [hard_label(x.label) if labelled else None for x in examples],
    [f'{example.source}, row {example.row}' for example in examples],
    note,
    baseline=pathlib.Path(baseline) if baseline else None,
    source=source_name(),
    attribute=explainer(run, texts, answers) if run.config.explain else None,
  )
  print(output)
