"""The linear baseline: TF-IDF of n-grams of words, and logistic regression.

It uses the splits, tokens, class weights and metrics of the network, but it
reads whole texts, and all words of train.
"""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
import functools
from typing import Any

import numpy as np
from scipy import special

from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.class_weights import weigh_classes
from bigru_jax.data.prepare import Dataset, prepare
from bigru_jax.data.ragged import Ragged
from bigru_jax.data.splits import one_hot
from bigru_jax.data.text import UNK_ID
from bigru_jax.data.truncation import NO_LIMIT
from bigru_jax.evaluation.scoring import compute_of_epoch, names_of_epoch
from bigru_jax.metrics import METRICS
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task
from bigru_jax.training import effects
from bigru_jax.training.final_evaluation import Report, make_report
from bigru_jax.training.program import task_of

# Scikit-learn's C, the inverse of the strength of the regularisation.
STRENGTHS = 1.0, 3.0, 10.0, 30.0, 100.0


def read_data(config: Config) -> Dataset:
  """Reads the data of a configuration; no text and no vocabulary is cut.

  Raises:
    FileNotFoundError, ValueError: with the field, the file and the row.
  """
  effects.check_has_labels(config)
  effects.check_effects(config)
  whole = dataclasses.replace(
    config, max_length=NO_LIMIT, max_vocabulary=NO_LIMIT
  )
  data = weigh_classes(prepare(whole), config.class_weights)
  effects.check_split_seed(config, data.identity)
  effects.check_labels(config, data.labels)
  return data


@single_precision()
def fit(
  config: Config, data: Dataset, ngrams: int
) -> tuple[Report, dict[str, Any]]:
  """Fits the baseline with the C that has the best validation metric.

  Args:
    config: `select_by` names the metric; `seed` draws the order in which the
      solver visits the texts.
    data: the result of `read_data`.
    ngrams: the maximum number of words in an n-gram.

  Returns:
    The report, and the content of baseline.json.

  Raises:
    ValueError: scikit-learn is not installed, or no training text has a word.
  """
  try:
    from sklearn.feature_extraction.text import TfidfVectorizer
  except ImportError as error:
    raise ValueError(
      'the baseline needs scikit-learn: pip install "bigru_jax[baseline]"'
    ) from error
  task = task_of(config, data)
  vectorizer = TfidfVectorizer(
    analyzer=functools.partial(_ngrams_of, longest=ngrams), sublinear_tf=True
  )
  train = data.splits['train']
  if (train.table['tokens'].flat() == UNK_ID).all():
    raise ValueError(f'{data.name}: no training text has a word')
  features_of = {'train': vectorizer.fit_transform(_tokens(train))}
  for name in ('validation', 'test'):
    features_of[name] = vectorizer.transform(_tokens(data.splits[name]))
  validation, scores = data.splits['validation'], {}
  names = names_of_epoch(config, task, validation)
  best: Any = None
  for strength in STRENGTHS:
    logits = _logits(config, data, features_of, strength)
    metrics = {
      name: _metrics(task, data.splits[name], logits[name]) for name in logits
    }
    metrics['validation'] |= compute_of_epoch(
      task, validation, logits['validation'], names
    )
    score = scores[strength] = metrics['validation'][config.select_by]
    is_better = METRICS[config.select_by].is_better
    if best is None or is_better(score, scores[best[0]]):
      best = strength, logits, metrics
  return make_report(config, task, data, *best[1:]), {
    'ngrams': ngrams,
    'features': len(vectorizer.vocabulary_),
    'C': best[0],
    f'validation_{config.select_by}': scores,
  }


def _tokens(split: EncodedSplit) -> Iterator[list[int]]:
  """Returns the ids of the tokens of each text."""
  tokens = split.table['tokens']
  for start, length in zip(tokens.starts, tokens.lengths):
    yield tokens.values[start : start + length].tolist()


def _ngrams_of(tokens: list[int], longest: int) -> list[tuple[int, ...]]:
  """Returns the n-grams of a text; a text without words has none."""
  if tokens == [UNK_ID]:
    return []
  return [
    ngram
    for size in range(1, longest + 1)
    for ngram in zip(*(tokens[i:] for i in range(size)))
  ]


def _logits(
  config: Config, data: Dataset, features_of: dict[str, Any], strength: float
) -> dict[str, np.ndarray]:
  """Returns the logits of validation and test, with a regression per class.

  With one label per text, their softmax gives each regression's probability
  divided by the sum of all. Two classes need only one regression.
  """
  table = data.splits['train'].table
  is_multi_label = isinstance(table['label'], Ragged)
  target_NxC = table.columns.get('target')
  if target_NxC is None:
    target_NxC = one_hot(table['label'], len(data.labels))
  is_binary = not is_multi_label and len(data.labels) == 2
  columns: dict[str, list[np.ndarray]] = {'validation': [], 'test': []}
  for c in range(int(is_binary), len(data.labels)):
    weight = data.label_weights[c] if is_multi_label else 1.0
    examples = _examples(target_NxC[:, c], table['weight'], weight)
    values = _decide(features_of, *examples, strength, config.seed)
    for name, column in columns.items():
      column.append(values[name])
  logits = {}
  for name, column in columns.items():
    values_NxC = np.stack(column, 1)
    if is_binary:
      values_NxC = np.pad(values_NxC, ((0, 0), (1, 0)))
    elif not is_multi_label:
      values_NxC = special.log_softmax(special.log_expit(values_NxC), axis=1)
    logits[name] = values_NxC.astype(np.float32)
  return logits


def _examples(
  target: np.ndarray, weights: np.ndarray, positive_weight: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the rows, the hard labels and the weights that a regression fits.

  A text with a soft label y is two examples, a positive one of weight y and a
  negative one of weight 1 - y, which have the same cross entropy together.

  Args:
    target: the value of the label of each text, or bool.
    weights: the weight of each text.
    positive_weight: a factor of the weights of positive examples.
  """
  rows = np.arange(len(target))
  if target.dtype == bool:
    return rows, target, weights * np.where(target, positive_weight, 1.0)
  return (
    np.tile(rows, 2),
    np.repeat([True, False], len(target)),
    np.append(weights * target * positive_weight, weights * (1 - target)),
  )


def _decide(
  features_of: dict[str, Any],
  rows: np.ndarray,
  is_true: np.ndarray,
  weights: np.ndarray,
  strength: float,
  seed: int,
) -> dict[str, np.ndarray]:
  """Returns the logit of one class for each text of validation and test.

  Args:
    features_of: the features of the texts of each split.
    rows, is_true, weights: see `_examples`.
    strength: scikit-learn's C.
    seed: the seed of the solver.
  """
  from sklearn.linear_model import LogisticRegression

  used = np.flatnonzero(weights)
  count = int(is_true[used].sum())
  if count in (0, len(used)):  # The class occurs in no text, or in all.
    logit = float(np.log((count + 0.5) / (len(used) - count + 0.5)))
    return {
      name: np.full(features_of[name].shape[0], logit)
      for name in ('validation', 'test')
    }
  # The dual problem takes a tenth of the time of the other solvers, and with
  # this tolerance the loss has all digits that are printed.
  model = LogisticRegression(
    C=strength,
    solver='liblinear',
    dual=True,
    tol=1e-2,
    max_iter=1000,
    random_state=seed,
  )
  features = features_of['train'][rows[used]]
  model.fit(features, is_true[used], weights[used])
  return {
    name: model.decision_function(features_of[name])
    for name in ('validation', 'test')
  }


def _metrics(
  task: Task, split: EncodedSplit, logits_NxC: np.ndarray
) -> dict[str, Any]:
  """Returns the metrics that the network's evaluation sums over batches."""
  ones = np.ones(len(split), np.int32)
  batch: Any = {
    'labels': split.label_array(),
    'weights': split.table['weight'],
    'lengths': ones,
  }
  if 'target' in split.table:
    batch['targets'] = split.table['target']
  losses = task.losses(logits_NxC, batch)  # type: ignore[arg-type]
  sums: Any = task.empty_metrics()
  return task.update_metrics(sums, logits_NxC, losses, batch).compute()  # type: ignore[arg-type]
