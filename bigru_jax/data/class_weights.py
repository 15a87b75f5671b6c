"""The weights of the classes in the loss."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data.prepare import Dataset
from bigru_jax.data.ragged import Ragged
from bigru_jax.data.splits import label_pairs


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
  train_labels = data.splits['train'].table['label']
  _, ids = label_pairs(train_labels)
  counts_C = np.bincount(ids, minlength=len(data.labels))
  if isinstance(train_labels, Ragged):
    weights_C = class_weights(setting, counts_C, len(train_labels))
    return dataclasses.replace(data, label_weights=weights_C)
  weights_C = class_weights(setting, counts_C)
  splits = {
    name: dataclasses.replace(
      split,
      table=split.table.with_columns(weight=weights_C[split.table['label']]),
    )
    for name, split in data.splits.items()
  }
  return dataclasses.replace(data, splits=splits, label_weights=weights_C)


def class_weights(
  setting: str, counts_C: np.ndarray, texts: int | None = None
) -> np.ndarray:
  """Returns the weight of each class in the loss, float32.

  Args:
    setting: the field: `balanced`, or one number per class, separated by
      commas. `balanced` is N / (C * N_c) for one label per text, as in
      scikit-learn, and (N - N_c) / N_c, negative over positive texts, for
      several labels (1 if there are no negative or no positive texts).
    counts_C: the number of training texts with each label.
    texts: N for several labels per text, else None.

  Raises:
    ValueError: the setting has another form.
  """
  num_classes = len(counts_C)
  if setting == 'balanced':
    positive = np.maximum(counts_C, 1)  # A fold may have all of a class.
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
