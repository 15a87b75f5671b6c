"""Precision, recall and F1 by class, and multi-label metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

_RANKS = 1, 3, 5
_LARGEST_CONFUSION = 200


def classification_report(
  labels: np.ndarray, predictions: np.ndarray, names: list[str]
) -> dict[str, Any]:
  """Returns precision, recall, F1 and support, as scikit-learn defines them.

  A quotient with a denominator of 0 is 0. With one label per text, the micro
  average is the accuracy, and the macro average is over the classes that occur
  as a label or as a prediction.

  Args:
    labels: class indices [N], or bool [N, C] for multi_label.
    predictions: in the same form.
    names: the classes' names.

  Returns:
    `classes`: by name `precision`, `recall`, `f1`, `support`; the same for the
    averages `micro`, `macro` and `weighted`; for multi_label, the mean over
    texts, `samples`; else, of at most 200 classes, the `confusion` matrix,
    whose rows are labels and whose columns are predictions.
  """
  num_classes = len(names)
  is_multi_label = labels.ndim > 1
  report: dict[str, Any] = {}
  if is_multi_label:
    true_positives = (labels & predictions).sum(0)
    positives, predicted = labels.sum(0), predictions.sum(0)
  else:
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    true_positives = np.diag(confusion)
    positives, predicted = confusion.sum(1), confusion.sum(0)
  scores = _scores(true_positives, predicted, positives)
  report['classes'] = {
    name: {
      **{key: float(values[c]) for key, values in scores.items()},
      'support': int(positives[c]),
    }
    for c, name in enumerate(names)
  }
  total = int(positives.sum())
  micro = _scores(true_positives.sum(), predicted.sum(), positives.sum())
  shares = positives / max(total, 1)
  averaged = (positives + predicted > 0) | is_multi_label
  averages = {
    'micro': {key: float(value) for key, value in micro.items()},
    'macro': {key: float(x[averaged].mean()) for key, x in scores.items()},
    'weighted': {key: float(x @ shares) for key, x in scores.items()},
  }
  if is_multi_label:
    by_text = _scores(
      (labels & predictions).sum(1), predictions.sum(1), labels.sum(1)
    )
    averages['samples'] = {key: float(x.mean()) for key, x in by_text.items()}
  report |= {name: {**x, 'support': total} for name, x in averages.items()}
  if not is_multi_label and num_classes <= _LARGEST_CONFUSION:
    report['confusion'] = confusion.tolist()
  return report


def _scores(
  true_positives: Any, predicted: Any, positives: Any
) -> dict[str, Any]:
  """Returns precision, recall and F1 from counts."""
  return {
    'precision': true_positives / np.maximum(predicted, 1),
    'recall': true_positives / np.maximum(positives, 1),
    'f1': 2 * true_positives / np.maximum(predicted + positives, 1),
  }


def multi_label_metrics(
  labels_NxC: np.ndarray, predictions_NxC: np.ndarray, scores_NxC: np.ndarray
) -> dict[str, float]:
  """Returns the metrics of texts that may have more than one label.

  Args:
    labels_NxC, predictions_NxC: bool.
    scores_NxC: the scores that rank the labels.

  Returns:
    `accuracy`, which compares whole sets of labels; `micro_f1`, `macro_f1`,
    `samples_f1`; `precision_at_k`, the share of true labels among the k labels
    with the largest scores; `lrap`, the label ranking average precision, where
    a text without labels counts as 1 (as in scikit-learn).
  """
  names = list(map(str, range(labels_NxC.shape[1])))
  report = classification_report(labels_NxC, predictions_NxC, names)
  metrics = {
    'accuracy': float((labels_NxC == predictions_NxC).all(1).mean()),
    **{
      f'{average}_f1': report[average]['f1']
      for average in ('micro', 'macro', 'samples')
    },
  }
  num_ranks = min(max(_RANKS), labels_NxC.shape[1])
  hits_NxK = np.zeros((len(labels_NxC), num_ranks), bool)
  for hits, labels, scores in zip(hits_NxK, labels_NxC, scores_NxC):
    hits[:] = labels[np.argsort(-scores, kind='stable')[:num_ranks]]
  for k in _RANKS:
    if k <= num_ranks:
      metrics[f'precision_at_{k}'] = float(hits_NxK[:, :k].mean())
  metrics['lrap'] = _label_ranking(labels_NxC, scores_NxC)
  return metrics


def _label_ranking(labels_NxC: np.ndarray, scores_NxC: np.ndarray) -> float:
  """Returns the label ranking average precision, as scikit-learn defines it."""
  total = 0.0
  for true, scores in zip(labels_NxC, scores_NxC):
    if not true.any():
      total += 1
      continue
    mine = scores[true]
    above = np.searchsorted(np.sort(-scores), -mine, side='right')
    true_above = np.searchsorted(np.sort(-mine), -mine, side='right')
    total += (true_above / above).mean()
  return total / max(len(labels_NxC), 1)
