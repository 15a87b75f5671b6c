"""The weights of the classes in the loss."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data.prepare import Dataset
from bigru_jax.data.ragged import Ragged
from bigru_jax.data.splits import Table, label_pairs


def weigh_classes(data: Dataset, setting: str) -> Dataset:
  """Returns the data with class weights, from the counts of the training split.

  Args:
    data: the data without class weights.
    setting: see `class_weights`.

  Raises:
    ValueError: the setting does not match the classes.
  """
  if not setting:
    return data
  train = data.splits['train'].table
  counts_C = _counts(train, len(data.labels))
  is_multi_label = isinstance(train['label'], Ragged)
  texts = _example_weights(train).sum() if is_multi_label else None
  try:
    weights_C = class_weights(setting, counts_C, texts)
  except ValueError as error:
    names = ', '.join(data.labels[:20])
    raise ValueError(f'{error}, in the order of the classes: {names}') from None
  if is_multi_label:
    return dataclasses.replace(data, label_weights=weights_C)
  splits = {
    name: dataclasses.replace(split, table=_weighted(split.table, weights_C))
    for name, split in data.splits.items()
  }
  return dataclasses.replace(data, splits=splits, label_weights=weights_C)


def _example_weights(table: Table) -> np.ndarray:
  """Returns the weight of each example in the data, float64 [N]."""
  if 'example_weight' not in table:
    return np.ones(len(table))
  return table['example_weight'].astype(np.float64)


def _counts(train: Table, num_classes: int) -> np.ndarray:
  """Returns the sum of the weights of the texts with each label, float64 [C].

  A soft label counts by its value.
  """
  weights = _example_weights(train)
  if 'target' in train:
    return weights @ train['target'].astype(np.float64)
  rows, ids = label_pairs(train['label'])
  return np.bincount(ids, weights[rows], minlength=num_classes)


def _weighted(table: Table, weights_C: np.ndarray) -> Table:
  """Returns the table with weights that are multiplied by those of classes.

  The factor is sum_c target_c w_c; for a hard label it is that of its class.
  """
  if 'target' in table:
    factors = table['target'] @ weights_C
  else:
    factors = weights_C[table['label']]
  return table.with_columns(weight=table['weight'] * factors)


def class_weights(
  setting: str, counts_C: np.ndarray, texts: float | None = None
) -> np.ndarray:
  """Returns the weight of each class in the loss, float32.

  Args:
    setting: the field: `balanced`, or one number per class, separated by
      commas. `balanced` is N / (C * N_c) for one label per text, as in
      scikit-learn, and (N - N_c) / N_c, negative over positive texts, for
      several labels (1 if there are no negative or no positive texts).
    counts_C: the number of training texts with each label, or the sum of their
      weights.
    texts: N, or the sum of all weights, for several labels per text; else None.

  Raises:
    ValueError: the setting has another form.
  """
  num_classes = len(counts_C)
  if setting == 'balanced':
    # A fold may have all of a class.
    positive = np.where(counts_C > 0, counts_C, 1)
    if texts is None:
      weights = counts_C.sum() / (num_classes * positive)
    else:
      mixed = (counts_C > 0) & (counts_C < texts)
      weights = np.where(mixed, (texts - counts_C) / positive, 1)
    return weights.astype(np.float32)
  try:
    weights = np.array(setting.split(','), np.float32)
  except ValueError:
    weights = np.zeros(0, np.float32)
  valid = np.isfinite(weights).all() and (weights >= 0).all() and weights.any()
  if len(weights) != num_classes or not valid:
    raise ValueError(
      f'class_weights={setting!r}: give "balanced" or {num_classes} numbers of '
      '0 or more, not all 0'
    )
  return weights
