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
"""

from collections.abc import Collection, Iterable, Iterator
import itertools
import logging
from typing import Any

from tqdm import tqdm

import bigru_jax
from bigru_jax.cli import inputs, outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data import sources
from bigru_jax.inference.prediction_table import (
  DEFAULT_CSV_FIELDS,
  check_names,
  prediction_columns,
)
from bigru_jax.inference.predictions import choose_fields
from bigru_jax.reports.shades import colored

_log = logging.getLogger('bigru_jax.predict')

FLAGS = Flags()
FLAGS.append_flag_values(inputs.FLAGS)
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
_COLOR = FLAGS.boolean(
  'color',
  'Print the texts, shaded by their attention, to a terminal instead of JSON.',
)
_BATCH_SIZE = FLAGS.integer(
  'batch_size', 'The maximum number of texts in a batch.', 256, lower=1
)


def csv_rows(
  run: inputs.Model, names: list[str], rows: Iterator[list[str]]
) -> Iterator[list[str]]:
  """Yields the rows of a table with the columns of their predictions added.

  Args:
    run: the model.
    names: the columns, one of which contains the texts.
    rows: the cells of each row.

  Raises:
    ValueError: the table has a column of the predictions, or a field has no
      column.
  """
  fields = _FIELDS.value or DEFAULT_CSV_FIELDS
  columns = prediction_columns(
    run.labels, sources.label_separator(run.config), fields
  )
  check_names(names, columns, f'input={_INPUT.value or ""}')
  text_index = names.index(inputs.input_format(run.config)[0])
  rows, text_rows = itertools.tee(rows)
  predictions = _predict(run, (row[text_index] for row in text_rows), fields)
  yield [*names, *columns]
  for prediction, row in zip(predictions, rows):
    yield [*row, *(cell(prediction) for cell in columns.values())]


def _predict(
  run: inputs.Model, texts: Iterable[str], fields: Collection[str] | None
) -> Iterator[dict[str, Any]]:
  """Yields the predictions; shows progress and warns of truncated texts."""
  truncated = 0
  names = choose_fields(fields, run.fields)
  predictions = run.stream(
    texts, _BATCH_SIZE.value, fields={*names, 'truncated'}, **inputs.options()
  )
  progress = tqdm(
    predictions, unit=' texts', delay=2, leave=False, disable=None
  )
  for prediction in progress:
    truncated += prediction['truncated']
    yield {name: prediction[name] for name in names}
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
    return
  texts: Iterable[str] = [_TEXT.value]
  if _TEXT.value is None:
    texts = inputs.read_texts(source, run.config)
  if not _COLOR.value:
    outputs.write_json_lines(output, _predict(run, texts, _FIELDS.value))
    return
  colored_texts, texts = itertools.tee(texts)
  with outputs.open_output(output) as file:
    file.writelines(map(colored, colored_texts, _predict(run, texts, None)))
