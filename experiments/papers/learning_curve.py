"""Measures how many labels a pretraining saves, on IMDB.

  python experiments/learning_curve.py --data_root=data

So many training texts are drawn with each seed, of which a fifth is the
validation split. Runs start from GloVe vectors, as the row imdb, or from the
language model of film reviews, as the row imdb_pretrained. They have the
recipes of these rows, but batches of 16 texts and at most 20 epochs, and are
tested on 5,000 texts of the test set. The results for all labels are those
recorded for the rows, on the whole test set. The results are written to
experiments/papers/results/learning_curve.json, the table and the picture to
docs/guide. Without --data_root only these are.
"""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

import bigru_jax
from bigru_jax.cli import planned_runs
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.corpora import find
from bigru_jax.reports.comparison.settings import summarize
from bigru_jax.reports.tables import markdown
from bigru_jax.runtime import host

from . import plans, results, tables
from .papers import ROWS

BEGIN = '<!-- learning curve: written by experiments/learning_curve.py -->'
END = '<!-- learning curve: end -->'
TITLES = {'imdb': 'GloVe', 'imdb_pretrained': 'pretrained on the reviews'}
FLAGS = Flags()
_DATA_ROOT = FLAGS.path(
  'data_root', 'The folder that contains a folder for each data set.'
)
_OUTPUT = FLAGS.path('output', 'The folder of the runs.', 'runs/learning_curve')
_RESULTS = FLAGS.path(
  'results', 'The JSON file.', str(results.RESULTS / 'learning_curve.json')
)
_PAGE = FLAGS.path(
  'page',
  'The file that contains the table; the picture lies beside it.',
  str(results.ROOT / 'docs' / 'guide' / 'pretrain.md'),
)
_SIZES, _SEEDS, _TESTED, _ALL = (100, 500, 2500), 3, 5000, 24_996
Texts = tuple[list[str], list[str]]  # Texts and their labels.
Record = dict[str, dict[str, list[float]]]


def drawn(texts: Texts, count: int, seed: int) -> Texts:
  """Returns `count` random texts and their labels."""
  indices = np.random.default_rng(seed).permutation(len(texts[0]))[:count]
  return [texts[0][i] for i in indices], [texts[1][i] for i in indices]


def train_all(data_root: pathlib.Path, output: pathlib.Path) -> Record:
  """Trains all runs; returns the test accuracies by row and size."""
  config = bigru_jax.Config(dataset='imdb', data_dir=str(data_root / 'imdb'))
  splits: dict[str, Texts] = {}
  for name, examples in find('imdb').read(config).items():
    pairs = [(example.text, str(example.label)) for example in examples]
    splits[name] = [x for x, _ in pairs], [x for _, x in pairs]
  test = drawn(splits['test'], _TESTED, 0)
  record: Record = {name: {} for name in TITLES}
  for size in _SIZES:
    for seed in range(_SEEDS):
      texts, labels = drawn(splits['train'], size, seed)
      fifth = size // 5
      corpus = {
        'train': (texts[fifth:], labels[fifth:]),
        'validation': (texts[:fifth], labels[:fifth]),
        'test': test,
      }
      for name in TITLES:
        workdir = output / f'{name},size={size},seed={seed}'
        run_config = _config(name, data_root, seed)
        bigru_jax.train(run_config, workdir, corpus)
        result = json.loads((workdir / 'result.json').read_text('utf-8'))
        accuracy = result['test']['accuracy']
        record[name].setdefault(str(size), []).append(accuracy)
  return record


def _config(name: str, data_root: pathlib.Path, seed: int) -> bigru_jax.Config:
  """Returns the configuration of a row, for few texts in memory."""
  row = ROWS[name]
  vectors = plans.find_vectors(data_root, None)
  problem = plans.missing(row, data_root, vectors)
  if problem:
    raise FileNotFoundError(f'data_root={data_root}: {problem}')
  (run,) = plans.plan(row, data_root, vectors, str(seed), [])
  config = planned_runs.config_of(run.flags)
  return dataclasses.replace(
    config, dataset=bigru_jax.Config.dataset, data_dir='', batch_size=16,
    epochs=20, patience=5, explain=False,
  )  # fmt: skip


def with_all_labels(record: Record) -> Record:
  """Returns the accuracies by row and size, with those of the recorded rows."""
  recorded = results.read_all(results.RESULTS)
  both = {}
  for name, by_size in record.items():
    runs = recorded[name]['runs'] if name in recorded else []
    accuracies = [run['test']['accuracy'] for run in runs]
    both[name] = by_size | ({str(_ALL): accuracies} if accuracies else {})
  return both


def table(record: Record) -> str:
  """Returns the mean accuracies as Markdown, with a line for each size."""
  lines = [['labels', *(TITLES[name] for name in record)]]
  for size in dict.fromkeys(x for by_size in record.values() for x in by_size):
    summaries = [
      summarize(by_size[size]) if size in by_size else None
      for by_size in record.values()
    ]
    scores = [f'{100 * x.mean:.1f} ± {100 * x.std:.1f}' if x else '–'
              for x in summaries]  # fmt: skip
    lines.append([f'{int(size):,}', *scores])
  return markdown(lines)


def draw(record: Record, path: pathlib.Path) -> None:
  """Draws the accuracy against the number of labels, with each run a dot."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6, 3.6), layout='constrained')
  axes: Any = figure.subplots()
  for i, (name, by_size) in enumerate(record.items()):
    sizes = [int(size) for size in by_size]
    means = [100 * np.mean(x) for x in by_size.values()]
    axes.semilogx(sizes, means, color=f'C{i}', label=TITLES[name])
    for size, accuracies in by_size.items():
      dots = [100 * x for x in accuracies]
      axes.plot([int(size)] * len(dots), dots, 'o', color=f'C{i}', ms=3)
  axes.set_xticks(sizes, [f'{size:,}' for size in sizes])
  axes.minorticks_off()
  axes.set(xlabel='labels, validation included', ylabel='test accuracy, %')
  axes.legend(frameon=False)
  figure.savefig(path, dpi=130)


def main() -> None:
  """Trains the runs, writes the table and the picture, and prints the table."""
  path, page = pathlib.Path(_RESULTS.value), pathlib.Path(_PAGE.value)
  if _DATA_ROOT.value:
    host.configure_cpu()
    host.cache_compilations()
    data_root = pathlib.Path(_DATA_ROOT.value).absolute()
    record = train_all(data_root, pathlib.Path(_OUTPUT.value))
    path.write_text(json.dumps(record, indent=2) + '\n', 'utf-8')
  record = with_all_labels(json.loads(path.read_text('utf-8')))
  part = table(record)
  page.write_text(tables.replaced(page, BEGIN, END, part), encoding='utf-8')
  draw(record, page.with_name('learning_curve.png'))
  print(part)
