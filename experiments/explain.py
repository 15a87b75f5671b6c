"""Tests whether what a trained run looked at explains its answers.

  python experiments/explain.py --workdir=RUN --split=test
  python experiments/explain.py --workdir=RUN --limit=500 --uniform=OTHER_RUN

It prints the faithfulness tests of the attention with the papers that they are
from, and how well each attribution (gradients, leave-one-out, attention) stands
up to the removal of tokens, and writes both to explain-<split>.json of the run
directory; `bigru_jax/explain/study.py` says what is in it. The page of the run,
report.html, then shows it above the texts.
"""

import dataclasses
import os
import pathlib
import sys
from typing import Any

from absl import flags
import command
import jax
import jax.numpy as jnp
import numpy as np

import bigru_jax
from bigru_jax import runs
from bigru_jax.build import init_params, make_task
from bigru_jax.data.corpora import synthetic
from bigru_jax.data.embeddings import embedding_table
from bigru_jax.data.prepare import Dataset, prepare
from bigru_jax.explain import study
from bigru_jax.explain.faithfulness import mean_estimate
from bigru_jax.explain.predictions import (
  WITHOUT_WEIGHTS,
  check_supported,
  sampled,
)
from bigru_jax.reports import tables
from bigru_jax.reports.page import update_page
from bigru_jax.runtime import host

_WORKDIR = flags.DEFINE_string('workdir', '', 'The run directory.')
_SPLIT = flags.DEFINE_enum(
  'split', 'test', ['validation', 'test'], 'Which of its splits is explained.'
)
_LIMIT = flags.DEFINE_integer(
  'limit', 2000, 'The most texts, drawn at random.', lower_bound=1
)
_ADVERSARIAL_TEXTS = flags.DEFINE_integer(
  'adversarial_texts',
  200,
  'The most of them for the search of adversarial attention.',
  lower_bound=1,
)
_DIAGNOSTIC_TEXTS = flags.DEFINE_integer(
  'diagnostic_texts',
  5000,
  'The most training texts of the diagnostic MLP; 0 for none of it.',
  lower_bound=0,
)
_UNIFORM = flags.DEFINE_string(
  'uniform',
  '',
  'A run like this one but with attention=mean: the uniform control.',
)
_EMBEDDINGS = flags.DEFINE_string(
  'embeddings', '', "The run's file of vectors; by default where it was."
)
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Of the texts, the permutations and the search.', lower_bound=0
)
_OUTPUT = flags.DEFINE_string(
  'output', '', 'A .json file; by default in the run directory.'
)


def read_data(workdir: pathlib.Path, config: bigru_jax.Config) -> Dataset:
  """The data of a run.

  Raises:
    ValueError: they are not those that it was trained on.
  """
  data = prepare(config)
  if data.identity != runs.read_identity(workdir):
    raise ValueError(f'workdir={workdir}: the data changed since the run')
  return data


def deciding_tokens(
  config: bigru_jax.Config, split: str, rows: np.ndarray
) -> list[set[int]] | None:
  """The positions of the tokens that decide each label, where they are known.

  Args:
    config: of the run.
    split: the name of its split.
    rows: the places of the texts in the data set, from 1.
  """
  known = config.dataset == 'synthetic' and not config.train
  if not known or config.tokenizer != 'words':
    return None
  found = synthetic.deciding_positions(config.split_seed, split)
  return [found[row - 1] for row in rows]


def uniform_control(
  workdir: pathlib.Path, other: pathlib.Path, split: str
) -> list[dict[str, Any]]:
  """The accuracies of a run and of one trained with uniform weights.

  Wiegreffe & Pinter, 2019, https://aclanthology.org/D19-1002, section 3.2:
  attention that training does not need for its accuracy cannot explain much.

  Raises:
    ValueError: the other run has learned its weights, or other data.
  """
  attention = runs.read_config(other).attention
  if attention != 'mean':
    raise ValueError(f'uniform={other} has attention={attention}, not mean')
  if runs.read_identity(other) != runs.read_identity(workdir):
    raise ValueError(f'uniform={other}: its data are not those of {workdir}')
  rows = []
  for name, path in (
    ('accuracy of the run', workdir),
    ('accuracy of the run trained with uniform attention', other),
  ):
    answers = runs.read_predictions(path, split)
    correct = [answer['label'] == answer['prediction'] for answer in answers]
    rows.append(study.row(name, mean_estimate(correct), study.WIEGREFFE_PINTER))
  return rows


def _number(value: float | None) -> str:
  return '–' if value is None else f'{value:.4f}'


def shown(explanation: dict[str, Any]) -> str:
  """The tables as text."""
  rows = [['attention', 'mean', '95 % interval', 'texts', 'paper']]
  for row in explanation['table']:
    low, high = _number(row['low']), _number(row['high'])
    rows.append(
      [
        row['name'],
        _number(row['value']),
        f'{low} to {high}',
        str(row['n']),
        row['paper'],
      ]
    )
  lines = tables.aligned(rows, left=1) if explanation['table'] else []
  attributions = explanation['attributions']
  columns = list(attributions['gradient'])
  columns += [
    name for name in attributions['integrated_gradients'] if name not in columns
  ]
  rows = [['attribution', *(name.replace('_', ' ') for name in columns)]]
  rows += [
    [name.replace('_', ' '), *(_number(means.get(c)) for c in columns)]
    for name, means in attributions.items()
  ]
  return '\n'.join([*lines, '', *tables.aligned(rows, left=1)]).lstrip()


def main() -> None:
  if not _WORKDIR.value:
    raise ValueError('workdir: name a run')
  workdir = pathlib.Path(_WORKDIR.value).expanduser()
  split = _SPLIT.value
  check_supported(runs.read_config(workdir))
  control = []
  if _UNIFORM.value:
    other = pathlib.Path(_UNIFORM.value).expanduser()
    control = uniform_control(workdir, other, split)
  host.configure_cpu()
  host.cache_compilations()
  embeddings = os.path.expanduser(_EMBEDDINGS.value)
  run = bigru_jax.load(workdir, embeddings)
  config = run.config
  if embeddings:
    config = dataclasses.replace(config, embeddings=embeddings)
  data = read_data(workdir, config)
  task: Any = make_task(config, len(run.labels), labels=run.labels)
  # A completeness error should be that of the integral alone.
  model: Any = run.model.clone(dtype=jnp.float32)
  params = jax.device_put(jax.device_get(run.params), jax.devices()[0])
  texts = sampled(data.splits[split], _LIMIT.value, _SEED.value)
  table, attributions = study.study(
    model,
    task,
    params,
    run.labels,
    texts,
    _ADVERSARIAL_TEXTS.value,
    deciding_tokens(config, split, texts.rows),
    _SEED.value,
  )
  table += control
  if _DIAGNOSTIC_TEXTS.value and config.attention not in WITHOUT_WEIGHTS:
    vectors = init_params(model, config.seed)['embedding']
    vocabulary = data.tokenizer.vocabulary
    if data.vectors and vocabulary:
      vectors, _ = embedding_table(vectors, vocabulary, data.vectors)
    table += study.diagnostic_rows(
      model,
      task,
      params,
      sampled(data.splits['train'], _DIAGNOSTIC_TEXTS.value, _SEED.value),
      texts,
      vectors,
      _SEED.value,
    )
  explanation = {
    'split': split,
    'texts': len(texts),
    'table': table,
    'attributions': attributions,
  }
  sys.stdout.write(f'{shown(explanation)}\n')
  output = os.path.expanduser(_OUTPUT.value)
  if output:
    runs.write_json(pathlib.Path(output), explanation)
  else:
    runs.write_json(workdir / f'explain-{split}.json', explanation)
    update_page(workdir)


if __name__ == '__main__':
  command.run(main)
