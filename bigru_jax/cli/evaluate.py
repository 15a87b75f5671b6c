"""Evaluates a trained run by class, on a labelled file or on one of its splits.

  python experiments/evaluate.py --workdir=RUN --split=test
  python experiments/evaluate.py --workdir=RUN --input=labelled.csv
  python experiments/evaluate.py --workdir=RUN --split=test --mistakes=10

It prints the precision, recall and F1 of each class, their averages, the
confusion matrix and the metrics. With --output it also writes one prediction
for each text: `source`, the file; `row`, the line at which the text begins
there; `label`, the correct one; `prediction`; `probabilities`; and `empty`,
whether the text is missing or blank. A .csv file has a column
`probability_<label>` for each label, as the output of predict.py has.
"""

from collections.abc import Iterable
import csv
import json
import os
import pathlib
import sys
from typing import Any

from absl import flags

from bigru_jax.cli import command, inputs, outputs
from bigru_jax.data import sources
from bigru_jax.data.labels import Flags
from bigru_jax.data.splits import Example
from bigru_jax.data.text import is_blank
from bigru_jax.evaluation.evaluation import Evaluation
from bigru_jax.inference.prediction_table import (
  DEFAULT_CSV_FIELDS,
  label_writer,
  prediction_columns,
)
from bigru_jax.reports import tables
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import check_same_split, examples_of_run
from bigru_jax.runtime import host
from bigru_jax.runtime.fields import expand_users

FLAGS = flags.FlagValues()
FLAGS.append_flag_values(inputs.FLAGS)
_INPUT = flags.DEFINE_string(
  'input',
  '',
  'A labelled file: .csv, .tsv, .jsonl, .json or .parquet.',
  flag_values=FLAGS,
)
_SPLIT = flags.DEFINE_enum(
  'split',
  '',
  ['', 'validation', 'test'],
  'The split of the run that is evaluated.',
  flag_values=FLAGS,
)
_OUTPUT = flags.DEFINE_string(
  'output',
  None,
  'The .jsonl or .csv file of the predictions.',
  flag_values=FLAGS,
)
_MISTAKES = flags.DEFINE_integer(
  'mistakes',
  0,
  'How many of the most confident mistakes to print.',
  lower_bound=0,
  flag_values=FLAGS,
)
_IGNORE_UNKNOWN_LABELS = flags.DEFINE_bool(
  'ignore_unknown_labels',
  False,
  'Labels that the run does not know are counted and left out, and so are '
  'texts that have no other label.',
  flag_values=FLAGS,
)
_LABEL_COLUMN = flags.DEFINE_string(
  'label_column',
  None,
  "The input's column of labels; by default the one of the run.",
  flag_values=FLAGS,
)
_LABEL_SEPARATOR = flags.DEFINE_string(
  'label_separator',
  None,
  'What separates labels in the input; by default as in the run.',
  flag_values=FLAGS,
)


def with_known_labels(
  examples: list[Example], labels: list[str]
) -> tuple[list[Example], int]:
  """The examples whose labels the run knows, and how many have others.

  Where a text has any number of labels, only the unknown ones are left out.

  Raises:
    ValueError: a label is unknown, and such labels are not to be ignored.
  """
  names = set(labels)
  kept: list[Example] = []
  unknown: dict[str, Example] = {}
  ignored = 0
  for example in examples:
    label = example.label
    assert not isinstance(label, Flags)  # They are read as names.
    unknown_names = {label} if isinstance(label, str) else set(label)
    unknown_names -= names
    for name in unknown_names:
      unknown.setdefault(name, example)
    ignored += bool(unknown_names)
    if not isinstance(label, str):
      rest = tuple(name for name in label if name not in unknown_names)
      kept.append(example._replace(label=rest))
    elif not unknown_names:
      kept.append(example)
  if unknown and not _IGNORE_UNKNOWN_LABELS.value:
    first = next(iter(unknown.values()))
    raise ValueError(
      f'{first.source}, row {first.row}: the run does not know the labels '
      f'{", ".join(map(repr, list(unknown)[:9]))}, but '
      f'{", ".join(map(repr, labels[:9]))}; see ignore_unknown_labels'
    )
  if not kept:
    raise ValueError('input: no text has a label that the run knows')
  return kept, ignored


def mistakes_of(
  evaluation: Evaluation, answers: list[dict[str, Any]], texts: list[str]
) -> str:
  """The most confident mistakes, a paragraph each."""
  paragraphs = []
  for i in evaluation.mistakes()[: _MISTAKES.value]:
    line = answers[i]
    names = line['prediction']
    names = [names] if isinstance(names, str) else names
    answer = ', '.join(
      f'{name} ({line["probabilities"].get(name, 0):.3f})' for name in names
    )
    gold = line['label']
    gold = gold if isinstance(gold, str) else ', '.join(gold) or 'no label'
    paragraphs.append(
      f'{line["source"]}, row {line["row"]}: {answer or "no label"}, '
      f'but it is {gold}\n  {texts[i]}'
    )
  return '\n'.join(paragraphs) or 'no mistakes'


def write_csv(
  file: Any,
  labels: list[str],
  separator: str | None,
  answers: Iterable[dict[str, Any]],
) -> None:
  """Writes answers with the columns of predict.py.

  Args:
    file: open for writing.
    labels, separator: see `prediction_table.prediction_columns`.
    answers: with `row`, `label` and so on, and all probabilities.
  """
  columns = prediction_columns(labels, separator, DEFAULT_CSV_FIELDS)
  write_label = label_writer(labels, separator)
  writer = csv.writer(file)
  writer.writerow(['source', 'row', 'label', *columns])
  for answer in answers:
    predicted = {**answer, 'label': answer['prediction']}
    cells = [cell(predicted) for cell in columns.values()]
    gold = write_label(answer['label'])
    writer.writerow([answer['source'], answer['row'], gold, *cells])


def check_flags(workdir: pathlib.Path, path: str, output: str) -> None:
  """Refuses flags that contradict each other, or would be ignored.

  Args:
    workdir: the directory of the first run.
    path: the input; empty where a split of the run is evaluated.
    output: the file of predictions; empty where there is none.

  Raises:
    FileNotFoundError, ValueError: there is such a flag, or no such file.
  """
  if bool(_INPUT.value) == bool(_SPLIT.value):
    raise ValueError('give either input or split')
  if output == '-':
    raise ValueError('output: name a file; the tables are on standard output')
  if output:
    outputs.is_csv(output)
    outputs.check_output(output, path)
  inputs.check_flags(path, pipe_of_lines=False)
  if not path:
    of_input = 'label_column', 'label_separator', 'ignore_unknown_labels'
    command.refuse_flags(FLAGS, 'an input', *of_input)
  if run_files.read_config(workdir).task != 'multi_label':
    command.refuse_flags(
      FLAGS, 'a run of several labels a text', 'label_separator'
    )
  if not (_OUTPUT.value or _MISTAKES.value):
    command.refuse_flags(
      FLAGS, 'output or mistakes, which show it', 'calibrated'
    )


def main() -> None:
  """Evaluates, prints the tables, and writes the predictions."""
  workdirs = inputs.workdirs()
  path = expand_users(_INPUT.value)
  output = os.path.expanduser(_OUTPUT.value or '')
  check_flags(workdirs[0], path, output)
  # A text may hold what is no character.
  sys.stdout.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
  host.configure_cpu()
  host.cache_compilations()
  run = inputs.load_model()
  if path:
    examples = inputs.labelled_file(
      path, run, _LABEL_COLUMN.value, _LABEL_SEPARATOR.value
    )
  else:
    for other in workdirs[1:]:
      check_same_split(workdirs[0], other)
    examples = examples_of_run(workdirs[0], _SPLIT.value, run.config)
  examples, ignored = with_known_labels(examples, run.labels)
  texts = [example.text for example in examples]
  evaluation = run.evaluation(
    texts,
    [example.label for example in examples],
    **inputs.options(),
    places=[f'{example.source}, row {example.row}' for example in examples],
  )
  is_csv = bool(output) and outputs.is_csv(output)
  answers = evaluation.answers(
    [example.row for example in examples],
    [example.source for example in examples],
    every=is_csv,
  )
  for answer, text in zip(answers, texts):
    answer['empty'] = is_blank(text)
  print(tables.classification_table(evaluation.report()), end='\n\n')
  print(tables.metrics_table(evaluation.metrics))
  if ignored:
    print(f'{ignored} texts have a label that the run does not know')
  if _MISTAKES.value:
    print(f'\n{mistakes_of(evaluation, answers, texts)}')
  if output:
    with outputs.open_output(output, path) as file:
      if is_csv:
        separator = sources.label_separator(run.config)
        write_csv(file, run.labels, separator, answers)
      else:
        file.writelines(json.dumps(answer) + '\n' for answer in answers)
