"""Measures how faithful attributions are, over three seeds of three data sets.

  python experiments/faithfulness.py --data_root=data \\
    --embeddings=data/glove/glove.6B.100d.txt

Test texts are drawn at random and explained by each method, for the predicted
class. The runs, <output>/<data set>-<seed>, are trained where they are missing.
The results are written to experiments/papers/results/faithfulness/, and the
table to docs/explanations.md. Without --data_root only the table is.
"""

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import bigru_jax
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.cache import prepare_shared
from bigru_jax.explain.attributions import ATTRIBUTIONS, attributions_of_batch
from bigru_jax.explain.choice_in_words import TITLES
from bigru_jax.explain.faithfulness import erasure
from bigru_jax.explain.positions import Batch
from bigru_jax.explain.predictions import (
  TrainedModel,
  make_trained,
  over_split,
  sampled,
)
from bigru_jax.reports.tables import markdown
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.source import prepare_from
from bigru_jax.runtime import host

from . import results, tables

BEGIN = '<!-- faithfulness: written by experiments/faithfulness.py -->'
END = '<!-- faithfulness: end -->'
FLAGS = Flags()
_DATA_ROOT = FLAGS.path(
  'data_root', 'The folder that contains the folders sst and imdb.'
)
_EMBEDDINGS = FLAGS.path('embeddings', 'The vectors of a new run.')
_OUTPUT = FLAGS.path('output', 'The folder of the runs.', 'runs/faithfulness')
_RESULTS = FLAGS.path(
  'results',
  'The folder of the JSON files.',
  str(results.RESULTS / 'faithfulness'),
)
_PAGE = FLAGS.path(
  'page',
  'The file that contains the table.',
  str(results.ROOT / 'docs' / 'explanations.md'),
)
_SEEDS = 3
_BATCH_SIZE = 64
# By data set: its title, folder, number of texts that are explained, and the
# fields of its runs.
_SETTINGS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
  'sst2': ('SST-2', 'sst/trees', 300, {'epochs': 4}),
  'imdb': ('IMDB', 'imdb', 50, {'epochs': 2, 'max_length': 300}),
  'newsgroups_sports': (
    '20 Newsgroups sports', '', 50,
    {'epochs': 8, 'batch_size': 16, 'max_length': 300},
  ),
}  # fmt: skip
# The shares of the tokens that are removed, the most important first, for the
# area over the perturbation curve.
_CURVE = tuple((np.arange(10) + 1) / 10)
_TESTS = {
  'comprehensiveness': 'comprehensiveness ↑',
  'sufficiency': 'sufficiency ↓',
  'area': 'area over the perturbation curve ↑',
}


def measure(workdir: pathlib.Path, limit: int) -> dict[str, dict[str, float]]:
  """Returns for each attribution of a run the means of `_TESTS` by name.

  Args:
    workdir: the directory of a finished run.
    limit: the number of test texts.

  Raises:
    ValueError: the data changed since the run.
  """
  run = bigru_jax.load(workdir)
  data, _ = prepare_from(run.config, prepare_shared)
  if data.identity != run_files.read_identity(workdir):
    raise ValueError(f'workdir={workdir}: the data changed since the run')
  thresholds = run.calibration.thresholds
  trained = make_trained(run.model, run.task, run.params, thresholds)
  texts = sampled(data.splits['test'], limit, seed=0)
  of_texts = over_split(_measure, trained, texts, _BATCH_SIZE)
  return {
    name: {test: float(np.mean(of_texts[f'{name}: {test}'])) for test in _TESTS}
    for name in (*ATTRIBUTIONS, 'random')
  }


@jax.jit
def _measure(
  trained: TrainedModel, batch: Batch, key: jax.Array
) -> dict[str, jax.Array]:
  classes_B = trained.classes(trained.probabilities(batch))
  weights = attributions_of_batch(trained, batch, tuple(ATTRIBUTIONS))
  weights['random'] = jax.random.uniform(key, batch['tokens'].shape)
  inputs = trained, batch, classes_B, jnp.stack(list(weights.values()))
  tests = *erasure(*inputs), erasure(*inputs, _CURVE)[0]
  return {
    f'{name}: {test}': values_MxB[m]
    for test, values_MxB in zip(_TESTS, tests)
    for m, name in enumerate(weights)
  }


def measure_all(
  data_root: pathlib.Path, output: pathlib.Path, folder: pathlib.Path
) -> None:
  """Trains runs where they are missing, and writes what is measured.

  Args:
    data_root: the folder of the data sets.
    output: the folder of the runs.
    folder: the folder of the JSON files.
  """
  host.configure_cpu()
  host.cache_compilations()
  for name, (_, data_dir, limit, fields) in _SETTINGS.items():
    of_seeds = []
    for seed in range(_SEEDS):
      workdir = output / f'{name}-{seed}'
      if not (workdir / 'result.json').exists():
        config = bigru_jax.Config(
          dataset=name,
          data_dir=str(data_root / data_dir) if data_dir else '',
          embeddings=_EMBEDDINGS.value or '',
          learning_rate=0.002,
          patience=2,
          seed=seed,
          explain=False,
          **fields,
        )
        bigru_jax.train(config, workdir)
      of_seeds.append(measure(workdir, limit))
    path = folder / f'{name}.json'
    run_files.write_json(path, {'texts': limit, 'seeds': of_seeds})


def table(folder: pathlib.Path) -> str:
  """Returns the table as Markdown: means and ranges over the seeds.

  Args:
    folder: the folder of the JSON files; a missing result has no lines.

  Raises:
    ValueError: a file is corrupt.
  """
  lines = [['data set', 'attribution', *_TESTS.values()]]
  for name, (title, *_) in _SETTINGS.items():
    path = folder / f'{name}.json'
    if not path.exists():
      continue
    try:
      seeds = json.loads(path.read_text('utf-8'))['seeds']
      for attribution in seeds[0]:
        of_tests = [
          [seed[attribution][test] for seed in seeds] for test in _TESTS
        ]
        words = attribution.replace('_x_', ' × ').replace('_', ' ')
        words = TITLES.get(attribution, words)
        lines.append([title, words, *map(_mean_and_range, of_tests)])
    except (KeyError, TypeError, ValueError, IndexError) as error:
      raise ValueError(
        f'{path} is not a file of faithfulness.py: {error}'
      ) from error
  return markdown(lines)


def _mean_and_range(values: list[float]) -> str:
  mean = f'{np.mean(values):.2f}'
  return f'{mean} ({min(values):.2f} to {max(values):.2f})'


def main() -> None:
  """Measures if the data are named, writes the table, and prints it."""
  folder = pathlib.Path(_RESULTS.value)
  if data_root := _DATA_ROOT.value:
    measure_all(pathlib.Path(data_root), pathlib.Path(_OUTPUT.value), folder)
  else:
    FLAGS.refuse('data_root', 'embeddings', 'output')
  path = pathlib.Path(_PAGE.value)
  part = table(folder)
  path.write_text(tables.replaced(path, BEGIN, END, part), encoding='utf-8')
  print(part)
