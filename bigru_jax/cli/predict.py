"""Predicts the labels of texts, with the attention over tokens.

  bigru predict --workdir=RUN --text="A gentle, funny film."
  bigru predict --workdir=RUN --input=reviews.csv --output=-
  bigru predict --workdir=RUN --workdir=RUN --text="Two."
  bigru predict --workdir=RUN --text="In colours." --color

The input is a .csv, .tsv, .jsonl, .json or .parquet file, or has one text per
line: a .txt file, a pipe, or - for standard input. The output has one JSON line
for each text, in the same order, or is a .csv file. A .csv file has the columns
of a .csv or .tsv input, or else only the text. It adds the columns
`prediction`; `probability_<label>` for each label of the run; and `empty`,
which is true where a text is missing or blank. For multi_label, `prediction`
joins the labels by the run's label_separator, or is a JSON list if a label
contains the separator. --fields=label,probabilities leaves other fields out.
If the run has an id_column, JSON lines have the `id` of each text.

A submission has only the columns that are named, in their order: of the input,
a label for its probability, `prediction`, or `probability` for that of the
positive label. target=prediction gives a column another name.

  bigru predict --workdir=RUN --input=test.csv \\
    --output=submission.csv --columns=id,toxic,insult
  bigru predict --workdir=RUN --input=test.csv \\
    --output=submission.csv --columns=id,target=prediction
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
import itertools
import logging
from typing import Any

from tqdm import tqdm

import bigru_jax
from bigru_jax.cli import inputs, outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data import sources
from bigru_jax.data.labels import named_columns
from bigru_jax.data.text import join_texts
from bigru_jax.inference.prediction_table import (
  CSV_FIELDS,
  DEFAULT_CSV_FIELDS,
  check_names,
  choose_columns,
  prediction_columns,
)
from bigru_jax.inference.predictions import Predictions, choose_fields
from bigru_jax.reports.shades import colored
from bigru_jax.tasks import SingleLabel

_log = logging.getLogger('bigru_jax.predict')

FLAGS = Flags()
FLAGS.append_flag_values(inputs.FLAGS_WITH_ID)
_TEXT = FLAGS.string('text', 'The text to predict.')
_INPUT = FLAGS.path('input', 'A file of texts, or - for standard input.')
_OUTPUT = FLAGS.path(
  'output', 'A .jsonl file, - for standard output, or a .csv file.', '-'
)
_FIELDS = FLAGS.list(
  'fields',
  'The fields to write, such as label,probabilities; by default all, and '
  'label,probabilities,empty in a .csv file.',
)
_COLUMNS = FLAGS.list(
  'columns',
  'The columns of a .csv output, such as id,toxic,insult or '
  'id,target=prediction; by default those of the input and of the predictions.',
)
_COLOR = FLAGS.boolean(
  'color',
  'Print the texts, shaded by their attention, to a terminal instead of JSON.',
)
_BATCH_SIZE = FLAGS.integer(
  'batch_size', 'The maximum number of texts in a batch.', 256, lower=1
)


def csv_rows(
  run: inputs.Model, names: list[str], rows: Iterator[list[str]]
) -> Iterator[Sequence[Any]]:
  """Yields the rows of a table with the columns of their predictions added.

  Args:
    run: the model.
    names: the columns, of which one or several contain the texts.
    rows: the cells of each row.

  Raises:
    ValueError: the table has a column of the predictions, or a field or a
      wanted column is unknown.
  """
  wanted = _COLUMNS.value
  fields = CSV_FIELDS if wanted else _FIELDS.value or DEFAULT_CSV_FIELDS
  columns = prediction_columns(
    run.labels, sources.label_separator(run.config), fields
  )
  if wanted:
    chosen = choose_columns(wanted, names, columns, positive_label(run))
    header, cells = list(chosen), list(chosen.values())
  else:
    check_names(names, columns, f'input={_INPUT.value or ""}')
    header = [*names, *columns]
    cells = [*range(len(names)), *columns.values()]
  text_column = inputs.input_format(run.config)[0]
  text_names = named_columns('text_column', text_column, names)
  indices = [names.index(name) for name in text_names]
  rows, text_rows = itertools.tee(rows)
  texts = (join_texts([row[i] for i in indices]) for row in text_rows)
  yield header
  for predictions in _predict(run, texts, fields):
    input_columns = list(zip(*itertools.islice(rows, predictions.count)))
    yield from zip(
      *(
        input_columns[x] if isinstance(x, int) else x(predictions.columns)
        for x in cells
      )
    )


def positive_label(run: inputs.Model) -> str:
  """Returns the positive one of two classes; '' if there is none."""
  first = run.members[0] if isinstance(run, bigru_jax.Ensemble) else run
  if not isinstance(first.task, SingleLabel) or first.task.positive is None:
    return ''
  return run.labels[first.task.positive]


def json_values(run: inputs.Model, source: str) -> Iterator[dict[str, Any]]:
  """Yields the predictions of an input, with the ids of its texts."""
  if not inputs.id_column(run.config, source):
    texts = inputs.read_texts(source, run.config)
    return _answers(run, texts, _FIELDS.value)
  pairs, text_pairs = itertools.tee(
    inputs.read_texts_and_ids(source, run.config)
  )
  answers = _answers(run, (text for text, _ in text_pairs), _FIELDS.value)
  return ({'id': x, **answer} for (_, x), answer in zip(pairs, answers))


def _answers(
  run: inputs.Model, texts: Iterable[str], fields: Collection[str] | None
) -> Iterator[dict[str, Any]]:
  """Yields the predictions of each text; see `_predict`."""
  for predictions in _predict(run, texts, fields):
    yield from predictions.answers()


def _predict(
  run: inputs.Model, texts: Iterable[str], fields: Collection[str] | None
) -> Iterator[Predictions]:
  """Yields the predictions; shows progress and warns of truncated texts."""
  truncated = 0
  names = choose_fields(fields, run.fields)
  predictor = run.predictor(
    _BATCH_SIZE.value,
    fields={*names, 'truncated'},
    fixed_shapes=False,
    **inputs.options(),
  )
  with tqdm(unit=' texts', delay=2, leave=False, disable=None) as progress:
    for predictions in predictor.chunks(texts):
      truncated += sum(predictions.columns['truncated'])
      yield predictions.only(names)
      progress.update(predictions.count)
  if truncated:
    limits = run.config.limits
    _log.warning('%d texts are truncated at %s', truncated, limits)


def main() -> None:
  """Predicts, and writes the predictions as they are made."""
  inputs.workdirs()
  if (_TEXT.value is None) == (_INPUT.value is None):
    raise ValueError('give either text or input')
  if _COLOR.value and _FIELDS.value is not None:
    raise ValueError('fields: color does not print fields')
  output, source = _OUTPUT.value, _INPUT.value or ''
  is_csv = outputs.is_csv(output)
  if not is_csv:
    FLAGS.refuse('a .csv file as output', 'columns')
  if _COLUMNS.value and _FIELDS.value is not None:
    raise ValueError('fields: columns names the columns already')
  if _COLOR.value:
    FLAGS.refuse('an output without color', 'id_column')
  outputs.check_output(output, source)
  inputs.check_flags(source)
  run = inputs.load_model()
  if _COLOR.value and (output != '-' or isinstance(run, bigru_jax.Ensemble)):
    raise ValueError('color needs a single run and standard output')
  if is_csv:
    names, rows = [inputs.input_format(run.config)[0]], iter([[_TEXT.value]])
    if _TEXT.value is None:
      names, rows = inputs.read_rows(source, run.config)
    outputs.write_csv(output, csv_rows(run, names, rows))
  elif _COLOR.value:
    texts: Iterable[str] = [_TEXT.value]
    if _TEXT.value is None:
      texts = inputs.read_texts(source, run.config)
    colored_texts, texts = itertools.tee(texts)
    with outputs.open_output(output) as file:
      file.writelines(map(colored, colored_texts, _answers(run, texts, None)))
  elif _TEXT.value is None:
    outputs.write_json_lines(output, json_values(run, source))
  else:
    values = _answers(run, [_TEXT.value], _FIELDS.value)
    outputs.write_json_lines(output, values)
  if output != '-':
    print(output)
