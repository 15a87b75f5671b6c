"""Metrics of a confusion matrix, for one label per text.

Rows are labels and columns are predictions. The cells are counts, or sums of
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
import re

import numpy as np


def confusion_matrix(
  labels: np.ndarray,
  predictions: np.ndarray,
  num_classes: int,
  weights: np.ndarray | None = None,
) -> np.ndarray:
  """Returns the confusion matrix [C, C]: int64, or float64 with weights.

  Args:
    labels, predictions: class indices [N].
    num_classes: C.
    weights: the weight of each example [N]; by default all are 1.
  """
  cells = labels.astype(np.int64) * num_classes + predictions
  counts = np.bincount(cells, weights, num_classes**2)
  return counts.reshape(num_classes, num_classes)


def accuracy(confusion_CxC: np.ndarray, _: Sequence[str] = ()) -> float:
  """Returns the share of the examples that are predicted correctly."""
  total = confusion_CxC.sum().item()
  return np.trace(confusion_CxC).item() / total if total else 0.0


def macro_f1(confusion_CxC: np.ndarray, _: Sequence[str] = ()) -> float:
  """Returns the unweighted mean of F1 over the classes that occur.

  A class occurs as a label or as a prediction, as in scikit-learn's
  `f1_score(average='macro')`.
  """
  occurring = confusion_CxC.sum(0) + confusion_CxC.sum(1)
  correct = np.diag(confusion_CxC)
  f1 = 2 * correct[occurring > 0] / occurring[occurring > 0]
  return float(f1.mean()) if len(f1) else 0.0


def mcc(confusion_CxC: np.ndarray) -> float:
  """Returns the Matthews correlation coefficient of any number of classes.

  Gorodkin, 2004, https://doi.org/10.1016/j.compbiolchem.2004.09.006. It is 0
  where the labels or the predictions are all one class, as in scikit-learn.
  """
  confusion_CxC = confusion_CxC.astype(np.float64)
  labels, predicted = confusion_CxC.sum(1), confusion_CxC.sum(0)
  total = predicted.sum()
  covariance = np.trace(confusion_CxC) * total - labels @ predicted
  spread = (total**2 - predicted @ predicted) * (total**2 - labels @ labels)
  return float(covariance / np.sqrt(spread)) if spread else 0.0


def cohen_kappa(confusion_CxC: np.ndarray) -> float:
  """Returns (observed - expected) / (1 - expected) of the share agreed upon.

  Cohen, 1960, https://doi.org/10.1177/001316446002000104. It is NaN where the
  labels and the predictions are all the same class, as in scikit-learn.
  """
  confusion_CxC = confusion_CxC.astype(np.float64)
  total = confusion_CxC.sum()
  by_chance_CxC = np.outer(confusion_CxC.sum(1), confusion_CxC.sum(0))
  differ = ~np.eye(len(confusion_CxC), dtype=bool)
  by_chance = by_chance_CxC[differ].sum()
  if not by_chance:
    return math.nan
  return float(1 - confusion_CxC[differ].sum() * total / by_chance)


def relations_of(labels: Sequence[str]) -> tuple[str, ...]:
  """Returns the relation of each SemEval-2010 label, without its direction.

  Example:
    >>> relations_of(['Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Other'])
    ('Cause-Effect', 'Cause-Effect', '')

  Returns:
    The names; '' for `Other`, which is not a relation.

  Raises:
    ValueError: a label is neither `Other` nor a relation with its direction,
      or no label is a relation.
  """
  relations = []
  for label in labels:
    match = re.fullmatch(r'(.+)\((?:e1,e2|e2,e1)\)', label)
    if not match and label != 'Other':
      raise ValueError(
        f'select_by=semeval2010_f1: the label {label!r} is neither Other nor a '
        'relation with its direction, such as Cause-Effect(e1,e2)'
      )
    relations.append(match[1] if match else '')
  if not any(relations):
    raise ValueError('select_by=semeval2010_f1: no label is a relation')
  return tuple(relations)


def semeval2010_f1(confusion_CxC: np.ndarray, labels: Sequence[str]) -> float:
  """Returns the official score of SemEval-2010 Task 8, the mean F1.

  This is the (9+1)-way evaluation of the task's scorer that takes direction
  into account (Hendrickx et al., 2010, https://aclanthology.org/S10-1006). A
  correct prediction has the right relation and direction; predictions and
  labels of a relation are counted in either direction. The mean is over the
  relations that occur as a label, nine in the task's test set. It excludes
  `Other`, but confusing `Other` with a relation counts against the relation.

  Args:
    confusion_CxC: the confusion matrix.
    labels: the names of the classes.

  Raises:
    ValueError: see `relations_of`.
  """
  relations = relations_of(labels)
  scores = []
  for name in sorted(set(relations) - {''}):
    is_relation = np.array(relations) == name
    correct = np.diag(confusion_CxC)[is_relation].sum()
    predicted = confusion_CxC[:, is_relation].sum()
    gold = confusion_CxC[is_relation].sum()
    if gold:
      scores.append(2 * correct / (predicted + gold))
  return float(np.mean(scores)) if scores else 0.0
