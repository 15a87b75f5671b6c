"""Predicts with a trained run: label, probabilities, attention over tokens.

  python experiments/predict.py --workdir=RUN --text="A gentle, funny film."
  python experiments/predict.py --workdir=RUN --input=reviews.csv --output=-
  python experiments/predict.py --workdir=RUN --workdir=RUN --text="Two."
  python experiments/predict.py --workdir=RUN --text="In colours." --color

An input is a .csv, .tsv, .jsonl, .json or .parquet file, or one text per line:
a .txt file, a pipe, or - for standard input. The output is JSON lines, one per
text, in the same order. Where it is a .csv file and the input too, it holds the
input's columns, the label as `prediction`, and its `probability`; where a text
has several labels, these are joined by the run's label_separator.
"""

from collections.abc import Iterable, Iterator
import csv
import itertools
import json
import logging
import os
import sys
from typing import Any

from absl import flags
import command
import inputs
from tqdm import tqdm

import bigru_jax
from bigru_jax.data import files
from bigru_jax.data.limits import limits_of
from bigru_jax.reports.shades import colored
from bigru_jax.runtime import host

Model = bigru_jax.Run | bigru_jax.Ensemble
_log = logging.getLogger('bigru_jax.predict')

flags.adopt_module_key_flags(inputs)
_TEXT = flags.DEFINE_string('text', None, 'One text.')
_INPUT = flags.DEFINE_string('input', None, 'A file of texts, or -.')
_OUTPUT = flags.DEFINE_string(
  'output', '-', 'A .jsonl file, - for standard output, or a .csv file.'
)
_COLOR = flags.DEFINE_bool(
  'color',
  False,
  'Print the texts, shaded by their attention, for a terminal, and no JSON.',
)
_BATCH_SIZE = flags.DEFINE_integer(
  'batch_size', 256, 'The most texts per batch.', lower_bound=1
)


def write_csv(run: Model, path: str, output: str) -> None:
  """Predicts a CSV file into another one that keeps its columns."""
  column, encoding, delimiter = inputs.input_format(run.config)
  table = files.read_table(path, 'input', encoding, delimiter, column)
  names = next(table)
  for added in ('prediction', 'probability'):
    if added in names:
      raise ValueError(f'input={path} has a column {added!r} already')
  place = names.index(column)
  rows, texts = itertools.tee(table)
  answers = _predict(run, (row[place] for row in texts))
  with command.opened(output, path) as file:
    writer = csv.writer(file)
    writer.writerow([*names, 'prediction', 'probability'])
    for answer, row in zip(answers, rows):
      found = answer['label']
      labels = [found] if isinstance(found, str) else found
      probabilities = [str(answer['probabilities'][label]) for label in labels]
      between = run.config.label_separator.join
      writer.writerow([*row, between(labels), between(probabilities)])


def _predict(run: Model, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
  """The answers, behind a progress bar; truncated texts are said once."""
  truncated = 0
  answers = run.stream(texts, _BATCH_SIZE.value, **inputs.options())
  shown = tqdm(answers, unit=' texts', delay=2, leave=False, disable=None)
  for answer in shown:
    truncated += answer['truncated']
    yield answer
  if truncated:
    limits = limits_of(run.config)
    _log.warning('%d texts are truncated at %s', truncated, limits)


def main() -> None:
  inputs.workdirs()
  if (_TEXT.value is None) == (_INPUT.value is None):
    raise ValueError('give either text or input')
  output = os.path.expanduser(_OUTPUT.value)
  source = files.expand_users(_INPUT.value or '')
  command.check_output(output, source)
  inputs.check_flags(source)
  host.configure_cpu()
  host.cache_compilations()
  run = inputs.load_model()
  if _COLOR.value and (output != '-' or isinstance(run, bigru_jax.Ensemble)):
    raise ValueError('color: it is of one run, on standard output')
  if output.endswith('.csv'):
    if not source.lower().removesuffix('.gz').endswith('.csv'):
      raise ValueError(f'output={output} needs a .csv file as input')
    write_csv(run, source, output)
    return
  if _TEXT.value is not None:
    texts: Iterable[str] = [_TEXT.value]
  else:
    texts = inputs.read_texts(source, run.config)
  lines: Iterable[str]
  if _COLOR.value:
    shown, asked = itertools.tee(texts)
    lines = map(colored, shown, _predict(run, asked))
  else:
    lines = (json.dumps(answer) + '\n' for answer in _predict(run, texts))
  if output == '-':
    sys.stdout.writelines(lines)
    sys.stdout.flush()
  else:
    with command.opened(output, source) as file:
      file.writelines(lines)


if __name__ == '__main__':
  command.run(main)
