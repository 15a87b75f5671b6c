"""Measures what a threshold that validation chooses is worth on test.

  python experiments/thresholds.py --data_dir=data/imdb

IMDB is made imbalanced: of each split all negative reviews stay, and so many
positive ones, drawn with a fixed seed, that they are 5 %. A fifth of train is
the validation split. Each seed trains one run, since the threshold has no
effect on training; its predictions are scored at the chosen threshold and at
0.5. The results are written to experiments/papers/results/thresholds.json, and
the table to docs/guide/evaluate.md. Without --data_dir only the table is.
"""

from collections.abc import Iterable
import json
import pathlib
from typing import Any

import numpy as np

import bigru_jax
from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.corpora import find
from bigru_jax.data.splits import Example
from bigru_jax.metrics.thresholds import best_threshold
from bigru_jax.reports.comparison.settings import summarize
from bigru_jax.reports.tables import markdown
from bigru_jax.rundir import files as run_files
from bigru_jax.runtime import host

from . import results, tables

BEGIN = '<!-- thresholds: written by experiments/thresholds.py -->'
END = '<!-- thresholds: end -->'
FLAGS = Flags()
_DATA_DIR = FLAGS.path('data_dir', 'The folder of the Parquet files of IMDB.')
_OUTPUT = FLAGS.path('output', 'The folder of the runs.', 'runs/thresholds')
_RESULTS = FLAGS.path(
  'results', 'The JSON file.', str(results.RESULTS / 'thresholds.json')
)
_PAGE = FLAGS.path(
  'page',
  'The file that contains the table.',
  str(results.ROOT / 'docs' / 'guide' / 'evaluate.md'),
)
_SHARE, _SEEDS, _RESAMPLES = 0.05, 5, 2000
_INTERVAL = 0.025, 0.975
Texts = tuple[list[str], list[str]]  # Texts and their labels.


def imbalanced(
  examples: Iterable[Example], rare: str, share: float, seed: int = 0
) -> Texts:
  """Returns the texts in a random order, after dropping those of a label.

  Args:
    examples: the texts.
    rare: the label that becomes rare.
    share: its share of the texts that stay.
    seed: the seed by which they are drawn.
  """
  rng, examples = np.random.default_rng(seed), list(examples)
  order = rng.permutation(len(examples))
  is_rare = np.array([examples[i].label == rare for i in order])
  count = round((~is_rare).sum() * share / (1 - share))
  kept = rng.permutation(order[~is_rare | (np.cumsum(is_rare) <= count)])
  return (
    [examples[i].text for i in kept],
    [str(examples[i].label) for i in kept],
  )


def f1(is_positive: np.ndarray, predicted: np.ndarray) -> float:
  """Returns the F1 of the positive label."""
  both = (is_positive & predicted).sum()
  return float(2 * both / max(is_positive.sum() + predicted.sum(), 1))


def measure(workdir: pathlib.Path) -> dict[str, float]:
  """Returns the threshold of a finished run, and its scores.

  Returns:
    `threshold`; `validation`, the F1 of the positive label at it, with the
    95 % interval `low` to `high` over resampled validation texts; `out_of_bag`,
    the mean F1 where each resample chooses a threshold of its own, which is
    scored on the texts that it lacks, with its interval `out_of_bag_low` to
    `out_of_bag_high`; `test`, the F1 at the run's threshold on test; and
    `test_at_half`, that at 0.5.
  """
  calibration = run_files.read_json(workdir / 'calibration.json', 'calibration')
  (threshold,) = calibration['thresholds']
  positive = calibration['positive_label']

  def read(split: str) -> tuple[np.ndarray, np.ndarray]:
    lines = run_files.read_predictions(workdir, split)
    return (
      np.array([line['label'] == positive for line in lines]),
      np.array([line['probabilities'][positive] for line in lines]),
    )

  truth, p = read('validation')
  rng = np.random.default_rng(0)
  resampled, out_of_bag = [], []
  for _ in range(_RESAMPLES):
    drawn = rng.integers(0, len(truth), len(truth))
    resampled.append(f1(truth[drawn], p[drawn] >= threshold))
    chosen = best_threshold(truth[drawn], p[drawn])
    others = np.setdiff1d(np.arange(len(truth)), drawn)
    out_of_bag.append(f1(truth[others], p[others] >= chosen))
  low, high = np.quantile(resampled, _INTERVAL).tolist()
  out_of_bag_low, out_of_bag_high = np.quantile(out_of_bag, _INTERVAL).tolist()
  test_truth, test_p = read('test')
  return {
    'threshold': threshold,
    'validation': f1(truth, p >= threshold),
    'low': low,
    'high': high,
    'out_of_bag': float(np.mean(out_of_bag)),
    'out_of_bag_low': out_of_bag_low,
    'out_of_bag_high': out_of_bag_high,
    'test': f1(test_truth, test_p >= threshold),
    'test_at_half': f1(test_truth, test_p >= 0.5),
  }


def train_all(data_dir: str, output: pathlib.Path) -> dict[str, Any]:
  """Trains a run for each seed, and returns the content of the JSON file."""
  source = find('imdb').read(
    bigru_jax.Config(dataset='imdb', data_dir=data_dir)
  )
  texts, labels = imbalanced(source['train'], 'pos', _SHARE)
  fifth = len(texts) // 5
  corpus: dict[str, Texts] = {
    'train': (texts[fifth:], labels[fifth:]),
    'validation': (texts[:fifth], labels[:fifth]),
    'test': imbalanced(source['test'], 'pos', _SHARE),
  }
  runs = []
  for seed in range(_SEEDS):
    config = bigru_jax.Config(
      threshold='tuned', positive_label='pos', max_length=100, keep='both',
      learning_rate=2e-3, seed=seed,
    )  # fmt: skip
    workdir = output / f'seed={seed}'
    bigru_jax.train(config, workdir, corpus)
    runs.append({'seed': seed, **measure(workdir)})
  return {
    'texts': {
      name: {'all': len(labels), 'positive': labels.count('pos')}
      for name, (_, labels) in corpus.items()
    },
    'runs': runs,
  }


def table(record: dict[str, Any]) -> str:
  """Returns the results as Markdown, with a line for each seed."""
  lines = [
    ['seed', 'threshold', 'F1 on validation', 'out of bag', 'F1 on test',
     'F1 on test at 0.5'],
  ]  # fmt: skip
  for run in record['runs']:
    promises = [
      f'{run[name]:.3f} ({run[low]:.3f} to {run[high]:.3f})'
      for name, low, high in (
        ('validation', 'low', 'high'),
        ('out_of_bag', 'out_of_bag_low', 'out_of_bag_high'),
      )
    ]
    scores = [f'{run[key]:.3f}' for key in ('test', 'test_at_half')]
    first = str(run['seed']), f'{run["threshold"]:.3f}'
    lines.append([*first, *promises, *scores])
  keys = 'validation', 'out_of_bag', 'test', 'test_at_half'
  means = [summarize([x[key] for x in record['runs']]) for key in keys]
  lines.append(['mean', '', *(f'{x.mean:.3f} ± {x.std:.3f}' for x in means)])
  return markdown(lines)


def main() -> None:
  """Trains and measures the runs, writes the table, and prints it."""
  path, page = pathlib.Path(_RESULTS.value), pathlib.Path(_PAGE.value)
  if _DATA_DIR.value:
    host.configure_cpu()
    host.cache_compilations()
    record = train_all(_DATA_DIR.value, pathlib.Path(_OUTPUT.value))
    path.write_text(json.dumps(record, indent=2) + '\n', 'utf-8')
  part = table(json.loads(path.read_text('utf-8')))
  page.write_text(tables.replaced(page, BEGIN, END, part), encoding='utf-8')
  print(part)
