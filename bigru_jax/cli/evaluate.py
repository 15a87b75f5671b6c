"""Evaluates a trained run by class, on a labelled file or a split.

  bigru evaluate --workdir=RUN --split=test
  bigru evaluate --workdir=RUN --input=labelled.csv
  bigru evaluate --workdir=RUN --split=test --mistakes=10

It prints the precision, recall and F1 of each class, their averages, the
confusion matrix and the metrics, with --format also for a page, a paper or a
program. With --output it also writes a prediction for each text: its `id`, if
the run has an id_column; the file (`source`), the line at which the text begins
(`row`), the correct `label`, the `prediction`, the `probabilities`, and whether
the text is missing or blank (`empty`). A .csv file has a column
`probability_<label>` for each label, like the output of `bigru predict`.

A run may also be a linear baseline of `bigru baseline`, with --split. A run of
an early version has no files of predictions: --recompute makes its split again
and writes them.
"""

from collections.abc import Collection
import logging
import pathlib
import sys
from typing import Any

from bigru_jax import metrics
from bigru_jax.cli import inputs, outputs, recomputed
from bigru_jax.cli.command_flags import Flags
from bigru_jax.cli.labelled_answers import csv_rows, mistakes_of
from bigru_jax.config import Config
from bigru_jax.data.soft_labels import Distribution, SoftLabel, independent
from bigru_jax.data.split_digest import SplitDigest
from bigru_jax.data.splits import Example
from bigru_jax.data.text import is_blank
from bigru_jax.evaluation.evaluation import Evaluation, read_evaluation
from bigru_jax.reports.class_tables import evaluation_as
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import (
  check_same_split,
  examples_of_run,
  split_again,
)

_log = logging.getLogger('bigru_jax.evaluate')

FLAGS = Flags()
FLAGS.append_flag_values(inputs.FLAGS_WITH_ID)
_INPUT = FLAGS.path(
  'input', 'A labelled file: .csv, .tsv, .jsonl, .json or .parquet.'
)
_SPLIT = FLAGS.enum(
  'split',
  'The split of the run to evaluate.',
  ['', 'validation', 'test'],
  '',
)
_RECOMPUTE = FLAGS.boolean(
  'recompute',
  'Make the split again from the data, and write predictions-<split>.jsonl to '
  'the directory of a run of an early version, which has none.',
)
_OUTPUT = FLAGS.path('output', 'The .jsonl or .csv file for the predictions.')
_MISTAKES = FLAGS.integer(
  'mistakes', 'The number of most confident mistakes to print.', 0, lower=0
)
_METRICS = FLAGS.string(
  'metrics',
  'The comma-separated metrics to print; by default those that the run shows.',
)
_FORMAT = outputs.define_format(FLAGS, 'text')
_IGNORE_UNKNOWN_LABELS = FLAGS.boolean(
  'ignore_unknown_labels',
  'Count and ignore labels that the run does not know, and texts that have no '
  'other label.',
)
_LABEL_COLUMN = FLAGS.string(
  'label_column', "The input's column of labels; by default as in the run."
)
_LABEL_SEPARATOR = FLAGS.string(
  'label_separator',
  'The string between labels in the input; by default as in the run.',
)
_WEIGHT_COLUMN = FLAGS.string(
  'weight_column',
  "The input's column of weights; by default the run's, if the input has it. "
  'Empty for none.',
)


def with_known_labels(
  examples: list[Example], labels: list[str]
) -> tuple[list[Example], int]:
  """Returns the examples with known labels, and the number of the others.

  A text with several labels keeps the known ones.

  Raises:
    ValueError: a label is unknown, and unknown labels are not ignored.
  """
  names_of = [inputs.label_names(example) for example in examples]
  known = set(labels)
  unknown: dict[str, Example] = {}  # The first text that has the label.
  for example, names in zip(examples, names_of):
    for name in names:
      if name not in known:
        unknown.setdefault(name, example)
  if unknown and not _IGNORE_UNKNOWN_LABELS.value:
    first = next(iter(unknown.values()))
    raise ValueError(
      f'{first.source}, row {first.row}: the run does not know the labels '
      f'{", ".join(map(repr, list(unknown)[:9]))}; it knows '
      f'{", ".join(map(repr, labels[:9]))}; see ignore_unknown_labels'
    )
  ignored = sum(not known.issuperset(names) for names in names_of)
  remaining = []
  for example in examples:
    label = known_label(example.label, known)
    if label is not None:
      remaining.append(example._replace(label=label))
  if not remaining:
    raise ValueError('input: no text has a label that the run knows')
  return remaining, ignored


def known_label(label: Any, known: Collection[str]) -> Any:
  """Returns the part of a label that has known names; None if there is none.

  A text that has exactly one label is left out if it may have an unknown one.
  """
  if isinstance(label, str):
    return label if label in known else None
  if isinstance(label, Distribution):
    return label if label.values.keys() <= set(known) else None
  if isinstance(label, SoftLabel):
    return independent({x: v for x, v in label.values.items() if x in known})
  return tuple(x for x in label if x in known)


def check_flags(workdirs: list[pathlib.Path], path: str, output: str) -> None:
  """Refuses flags that contradict each other, or would be ignored.

  Args:
    workdirs: the directories of the runs.
    path: the input; empty where a split of the run is evaluated.
    output: the file of predictions; empty where there is none.

  Raises:
    FileNotFoundError, ValueError: there is such a flag, or no such file.
  """
  if bool(_INPUT.value) == bool(_SPLIT.value):
    raise ValueError('give either input or split')
  if output == '-':
    raise ValueError('output: name a file; the tables go to standard output')
  if output:
    outputs.check_output(output, path)
  inputs.check_flags(path, pipe_of_lines=False)
  if path:
    FLAGS.refuse('a split', 'recompute')
  else:
    of_inputs = (
      'label_column',
      'label_separator',
      'weight_column',
      'ignore_unknown_labels',
    )
    FLAGS.refuse('an input', *of_inputs)
  if run_files.read_config(workdirs[0]).task != 'multi_label':
    FLAGS.refuse('a run with task=multi_label', 'label_separator')
  if not (_OUTPUT.value or _MISTAKES.value):
    FLAGS.refuse('output or mistakes', 'calibrated')
  if _RECOMPUTE.value:
    FLAGS.refuse('a run without recompute', 'calibrated')
    outputs.check_can_write(inputs.WORKDIR.value[0], 'recompute writes a file')
    recomputed.check(workdirs, _SPLIT.value)


def evaluate(
  workdirs: list[pathlib.Path], path: str
) -> tuple[Evaluation, list[Example], int]:
  """Returns the evaluation, its examples, and how many have ignored labels.

  Args:
    workdirs: the directories of the runs.
    path: the input; empty where a split of the run is evaluated.
  """
  for other in workdirs[1:]:
    if not path:
      check_same_split(workdirs[0], other)
  if len(workdirs) == 1 and not path and run_files.is_baseline(workdirs[0]):
    FLAGS.refuse('a run of the network', 'calibrated', 'embeddings')
    config = run_files.read_config(workdirs[0])
    examples = examples_of_run(workdirs[0], _SPLIT.value, config)
    weights = weights_of(examples)
    evaluation = read_evaluation(workdirs[0], _SPLIT.value, weights)
    return evaluation, examples, 0
  run = inputs.load_model()
  if path:
    examples = inputs.labelled_file(
      path,
      run,
      _LABEL_COLUMN.value,
      _LABEL_SEPARATOR.value,
      _WEIGHT_COLUMN.value,
      inputs.id_column(run.config, path),
    )
    warn_of_train(workdirs, path, examples)
  else:
    read = split_again if _RECOMPUTE.value else examples_of_run
    examples = read(workdirs[0], _SPLIT.value, run.config)
  examples, ignored = with_known_labels(examples, run.labels)
  evaluation = run.evaluate(
    [example.text for example in examples],
    [example.label for example in examples],
    **inputs.options(),
    weights=weights_of(examples),
    origins=[f'{example.source}, row {example.row}' for example in examples],
  )
  return evaluation, examples, ignored


def warn_of_train(
  workdirs: list[pathlib.Path], path: str, examples: list[Example]
) -> None:
  """Warns where the input is the file on which a run was trained."""
  digest = SplitDigest()
  for example in examples:
    digest.add(example)
  for workdir in workdirs:
    if run_files.read_identity(workdir).get('train') == digest.hexdigest():
      message = 'the run was trained on it, so its scores on it say little'
      _log.warning('%s: %s; see --split=test (%s)', path, message, workdir)


def answers_of(
  evaluation: Evaluation, examples: list[Example], all_probabilities: bool
) -> list[dict[str, Any]]:
  """Returns the lines of a predictions file."""
  ids = [example.id for example in examples]
  return evaluation.answers(
    [example.row for example in examples],
    [example.source for example in examples],
    all_probabilities,
    ids=ids if any(ids) else (),
  )


def weights_of(examples: list[Example]) -> list[float] | None:
  """Returns the weights of the examples; None if all are 1."""
  weights = [example.weight for example in examples]
  return weights if any(weight != 1 for weight in weights) else None


def metrics_to_show(config: Config, values: dict[str, Any]) -> dict[str, Any]:
  """Returns the metrics of the flag, or else those that the run shows.

  Raises:
    ValueError: the evaluation does not have a metric of the flag.
  """
  for name in metrics.names_in(_METRICS.value or ''):
    if name not in values:
      raise ValueError(
        f'metrics={name}: the evaluation has {", ".join(values)}'
      )
  chosen = _METRICS.value or config.metrics
  return metrics.shown(values, chosen, config.select_by)


def main() -> None:
  """Evaluates, prints the tables, and writes the predictions."""
  workdirs = inputs.workdirs()
  path = _INPUT.value or ''
  output = _OUTPUT.value or ''
  is_csv = bool(output) and outputs.is_csv(output)
  check_flags(workdirs, path, output)
  # A text may contain a lone surrogate.
  sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
  config = run_files.read_config(workdirs[0])
  evaluation, examples, ignored = evaluate(workdirs, path)
  texts = [example.text for example in examples]
  if _RECOMPUTE.value:
    loss = evaluation.metrics['loss']
    answers = answers_of(evaluation, examples, all_probabilities=False)
    recomputed.write(workdirs[0], _SPLIT.value, loss, answers)
  answers = answers_of(evaluation, examples, all_probabilities=is_csv)
  for answer, text in zip(answers, texts):
    answer['empty'] = is_blank(text)
  values = metrics_to_show(config, evaluation.metrics)
  print(evaluation_as(evaluation.report, values, _FORMAT.value))
  stream = outputs.stream_of_notes(_FORMAT.value)
  if ignored:
    print(
      f'{ignored} texts have a label that the run does not know', file=stream
    )
  if _MISTAKES.value:
    mistakes = mistakes_of(evaluation, answers, texts, _MISTAKES.value)
    print(f'\n{mistakes}', file=stream)
  if is_csv:
    outputs.write_csv(output, csv_rows(config, evaluation.names, answers))
  elif output:
    outputs.write_json_lines(output, answers)
