"""Explains texts, or tests whether attention explains predictions.

  bigru explain --workdir=RUN --text="A gentle, funny film."
  bigru explain --workdir=RUN --input=reviews.csv --output=x.html
  bigru explain --workdir=RUN --text="A film." --label=fresh

Texts are predicted, and each token gets a number: how much it speaks for the
predicted label, or for the one of --label, or against it. They are printed with
a background for each token, blue for the label and orange, underlined, against
it; where the output is no terminal, with signed numbers. The output may also be
a .jsonl or .json file, - for JSON lines, a picture (.png, .svg, .pdf; the extra
`plot`), or a page (.html). The input has any form that `bigru predict` accepts.

Without texts, the command tests the attention on a split of the run's data:

  bigru explain --workdir=RUN --split=test
  bigru explain --workdir=RUN --limit=500 --uniform_run=OTHER

It prints the results of published tests of whether attention is faithful, and
how much the prediction changes when the tokens that an attribution (gradients,
leave-one-out, attention) ranks highest are removed. It writes both to
explain-<split>.json in the run directory, which `bigru_jax/explain/study.py`
describes, and shows them on the page of the run, report.html.
"""

import dataclasses
import logging
import pathlib
import sys
from typing import Any

import numpy as np

import bigru_jax
from bigru_jax.cli import explain_texts, inputs, outputs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.corpora import find
from bigru_jax.data.prepare import Dataset, prepare
from bigru_jax.data.text import TOKENIZERS
from bigru_jax.explain import study
from bigru_jax.explain.predictions import (
  check_supported,
  make_trained,
  sampled,
)
from bigru_jax.models.embedding import with_joined_table, with_ngrams_in_table
from bigru_jax.reports import tables
from bigru_jax.reports.page.page import update_page
from bigru_jax.rundir import files as run_files, published
from bigru_jax.rundir.examples import check_data, check_same_split
from bigru_jax.rundir.source import Source, prepare_from
from bigru_jax.runtime import host
from bigru_jax.runtime.precision import single_precision
from bigru_jax.training.program import build_program

VERBOSE = True
FLAGS = Flags()
FLAGS.append_flag_values(explain_texts.FLAGS)
_SPLIT = FLAGS.enum(
  'split',
  'The split of the run to explain.',
  ['validation', 'test'],
  'test',
)
_LIMIT = FLAGS.integer(
  'limit',
  'The maximum number of texts; if there are more, they are sampled.',
  2000,
  lower=1,
)
_ADVERSARIAL_TEXTS = FLAGS.integer(
  'adversarial_texts',
  'The maximum number of texts for which adversarial attention is searched.',
  200,
  lower=1,
)
_DIAGNOSTIC_TEXTS = FLAGS.integer(
  'diagnostic_texts',
  'The maximum number of training texts for the diagnostic MLP; 0 for no MLP.',
  5000,
  lower=0,
)
_UNIFORM_RUN = FLAGS.path(
  'uniform_run',
  'The uniform control: the directory of the same run with pooling=mean.',
)
_SEED = FLAGS.integer(
  'seed', 'The seed of the sample, permutations and search.', 0, lower=0
)
_OUTPUT = FLAGS.path(
  'output',
  'The file; for a split a .json file, by default explain-<split>.json in the '
  'run directory.',
)
# The old name, for one version.
FLAGS.alias('uniform', 'uniform_run')
_OF_SPLIT = (
  'split', 'limit', 'adversarial_texts', 'diagnostic_texts', 'uniform_run',
  'uniform', 'seed',
)  # fmt: skip
_log = logging.getLogger('bigru_jax.explain')


def deciding_tokens(
  config: bigru_jax.Config, split: str, line_numbers: np.ndarray
) -> list[set[int]] | None:
  """Returns the positions of each text's deciding tokens; None if unknown.

  Args:
    config: the run's.
    split: the name of its split.
    line_numbers: the numbers of the texts in the data set, from 1.
  """
  find_positions = find(config.dataset).deciding_positions
  tokenizer = TOKENIZERS.get(config.tokenizer)
  if config.train or not (find_positions and tokenizer):
    return None
  if len(tokenizer('two words')) != 2:  # The positions are those of words.
    return None
  positions = find_positions(config.split_seed, split)
  return [positions[number - 1] for number in line_numbers]


def check_uniform(workdir: pathlib.Path, other: pathlib.Path) -> None:
  """Raises ValueError where a run is not the uniform control of another."""
  pooling = run_files.read_config(other).pooling
  if pooling != 'mean':
    raise ValueError(f'uniform_run={other} has pooling={pooling}, not mean')
  check_same_split(workdir, other, 'uniform_run')


def correct_answers(workdir: pathlib.Path, split: str) -> list[bool]:
  """Returns whether a run predicts the label of each text of a split."""
  return [
    answer['label'] == answer['prediction']
    for answer in run_files.read_predictions(workdir, split)
  ]


def _number(value: float | None) -> str:
  return '–' if value is None else f'{value:.4f}'


def as_text(explanation: dict[str, Any]) -> str:
  """Formats the tables as text."""
  lines = [['attention', 'mean', '95 % interval', 'texts', 'paper']]
  for row in explanation['table']:
    low, high = _number(row['low']), _number(row['high'])
    paper = row['paper'].partition(', https')[0]
    lines.append([row['name'], _number(row['value']), f'{low} to {high}',
                  str(row['n']), paper])  # fmt: skip
  parts = tables.aligned(lines, left=1) if explanation['table'] else []
  attributions = explanation['attributions']
  # All have the measures of the first; only some have a completeness error.
  columns = {
    **attributions['gradient'], **attributions['integrated_gradients'],
  }  # fmt: skip
  lines = [['attribution', *(name.replace('_', ' ') for name in columns)]]
  for name, means in attributions.items():
    numbers = (_number(means.get(column)) for column in columns)
    lines.append([name.replace('_', ' '), *numbers])
  return '\n'.join([*parts, '', *tables.aligned(lines, left=1)]).lstrip()


@single_precision()
def explain(
  run: bigru_jax.Run,
  data: Dataset,
  split: str,
  correct: list[bool],
  of_uniform: list[bool] | None,
  source: Source | None = None,
) -> dict[str, Any]:
  """Computes all attributions and tests; see `study` for the result.

  Args:
    run: the trained run.
    data: its data.
    split: the name of the split to explain.
    correct, of_uniform: see `study.accuracy_rows`.
    source: the run that it started from, if there is one.
  """
  config, seed = run.config, _SEED.value
  trained = make_trained(
    run.model, run.task, run.params, run.calibration.thresholds
  )
  texts = sampled(data.splits[split], _LIMIT.value, seed)
  table, attributions = study.study(
    trained,
    run.labels,
    texts,
    _ADVERSARIAL_TEXTS.value,
    deciding_tokens(config, split, texts.table['row']),
    seed,
  )
  if table:
    table += study.accuracy_rows(correct, of_uniform)
  if table and _DIAGNOSTIC_TEXTS.value:
    _log.info('the diagnostic MLP, on training texts')
    program = build_program(config, data, source)
    _, params = with_ngrams_in_table(program.model, program.params)
    vectors = with_joined_table(params)[0]['embedding']
    table += study.diagnostic_rows(
      trained,
      sampled(data.splits['train'], _DIAGNOSTIC_TEXTS.value, seed),
      texts,
      vectors,
      seed,
    )
  return {
    'split': split,
    'texts': len(texts),
    'table': table,
    'attributions': attributions,
  }


def main() -> None:
  """Explains the texts of the flags, or else tests the attention."""
  if not explain_texts.are_given():
    test_attention()
    return
  for name in _OF_SPLIT:
    if FLAGS[name].present:
      raise ValueError(f'{name} is for a split, not for text or input')
  # Only the tests are long enough for a log of what they do.
  logging.getLogger('bigru_jax').setLevel(logging.WARNING)
  explain_texts.main(_OUTPUT.value or '')


def test_attention() -> None:
  """Tests, prints the tables, and writes them to a file and the page."""
  workdir, *more = inputs.workdirs()
  if more:
    raise ValueError('workdir: one run is tested at a time')
  if not _OUTPUT.value:
    outputs.check_can_write(inputs.WORKDIR.value[0], 'output is not given')
  split, embeddings = _SPLIT.value, FLAGS['embeddings'].value or ''
  config = run_files.read_config(workdir)
  check_supported(config)
  if not config.pooling_entry.has_weights:
    ignored = 'adversarial_texts', 'diagnostic_texts', 'uniform_run'
    FLAGS.refuse('an attention with weights', *ignored)
  if not (config.embeddings or config.init_from):
    FLAGS.refuse('a run that started from vectors', 'embeddings')
  check_data(workdir, config)
  output = pathlib.Path(_OUTPUT.value or workdir / f'explain-{split}.json')
  outputs.check_output(str(output))
  of_uniform = None
  if _UNIFORM_RUN.value:
    other = published.find(_UNIFORM_RUN.value)
    check_uniform(workdir, other)
    of_uniform = correct_answers(other, split)
  host.configure_cpu()
  host.cache_compilations()
  run = bigru_jax.load(workdir, embeddings)
  if embeddings:
    moved = 'init_from' if config.init_from else 'embeddings'
    values: dict[str, Any] = {moved: embeddings}
    config = dataclasses.replace(config, **values)
  data, source = prepare_from(config, prepare)
  if data.identity != run_files.read_identity(workdir):
    raise ValueError(f'workdir={workdir}: the data changed since the run')
  correct = correct_answers(workdir, split)
  explanation = explain(run, data, split, correct, of_uniform, source)
  sys.stdout.write(f'{as_text(explanation)}\n')
  if output.exists():
    _log.info('%s is overwritten', output)
  run_files.write_json(output, explanation)
  if not _OUTPUT.value:
    update_page(workdir)
