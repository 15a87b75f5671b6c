"""Statistics of a run that its page and figures show besides the scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.splits import label_pairs
from bigru_jax.evaluation.calibration import reliability
from bigru_jax.evaluation.evaluation import Evaluation

_LENGTH_BINS = 10


def diagnose(data: Dataset, evaluation: Evaluation) -> dict[str, Any]:
  """Returns statistics of the data, and how test accuracy depends on them.

  Args:
    data: the run's data.
    evaluation: the evaluation of its test split.

  Returns:
    A JSON object. `notes`: sentences on the data. `splits`: by name the number
    of `texts`; the `mean`, `median`, `p95` and `longest` number of tokens; and
    the number of texts with each of the `labels`. `reliability`: the bins that
    are not empty, each with `low`, `high`, `count`, `confidence`, `accuracy`.
    `by_length`: bins from `low` to `high` tokens, of about equally many texts
    unless many texts are equally long, each with `count` and `accuracy`.
    If the texts have weights, the bins of `reliability` count weights, and each
    `accuracy` is a mean by weight.
  """
  test = data.splits['test']
  return {
    **describe_data(data),
    'reliability': _reliability(test, evaluation),
    'by_length': _by_length(test, evaluation),
  }


def describe_data(data: Dataset) -> dict[str, Any]:
  """Returns the `notes` and the `splits` of `diagnose`."""
  return {
    'notes': data.notes,
    'splits': {
      name: _statistics(split, len(data.labels))
      for name, split in data.splits.items()
    },
  }


def _statistics(split: EncodedSplit, num_labels: int) -> dict[str, Any]:
  """Returns the statistics of a split; without labels, no `labels`."""
  lengths = split.table['tokens'].lengths
  statistics = {
    'texts': len(split),
    'mean': float(lengths.mean()),
    'median': float(np.median(lengths)),
    'p95': float(np.quantile(lengths, 0.95)),
    'longest': int(lengths.max()),
  }
  if num_labels:
    _, ids = label_pairs(split.table['label'])
    statistics['labels'] = np.bincount(ids, minlength=num_labels).tolist()
  return statistics


def _reliability(
  split: EncodedSplit, evaluation: Evaluation
) -> list[dict[str, Any]]:
  diagram = reliability(
    evaluation.labels, evaluation.probabilities, split.example_weights()
  )
  bins = len(diagram['count'])
  return [
    {
      'low': b / bins,
      'high': (b + 1) / bins,
      'count': count.item(),
      'confidence': float(diagram['confidence'][b] / count),
      'accuracy': float(diagram['correct'][b] / count),
    }
    for b, count in enumerate(diagram['count'])
    if count
  ]


def _by_length(
  split: EncodedSplit, evaluation: Evaluation
) -> list[dict[str, Any]]:
  correct = evaluation.labels == evaluation.predictions
  if correct.ndim > 1:
    correct = correct.all(1)
  lengths, weights = split.table['tokens'].lengths, split.example_weights()
  if weights is None:
    weights = np.ones(len(split))
  used = weights > 0
  correct, lengths, weights = correct[used], lengths[used], weights[used]
  shares = np.linspace(0, 1, _LENGTH_BINS + 1)[1:]
  # The longest length of each bin; equal lengths share one.
  highs = np.unique(np.quantile(lengths, shares, method='inverted_cdf'))
  bin_of = np.searchsorted(highs, lengths)
  return [
    {
      'low': int(lengths[bin_of == b].min()),
      'high': int(high),
      'count': int((bin_of == b).sum()),
      'accuracy': float(
        np.average(correct[bin_of == b], weights=weights[bin_of == b])
      ),
    }
    for b, high in enumerate(highs)
  ]
