"""Converts labels and weights of new texts to the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.cells import as_weight
from bigru_jax.data.label_forms import form_of
from bigru_jax.data.memory import column, read_labels
from bigru_jax.data.ragged import pack
from bigru_jax.data.soft_labels import SoftLabel, Targets
from bigru_jax.data.sources import label_separator, soft_names
from bigru_jax.data.splits import Labels, one_hot
from bigru_jax.rundir.files import read_identity


def to_columns(
  labels: Sequence[Any],
  weights: Sequence[float] | None,
  names: Sequence[str],
  workdir: pathlib.Path,
  config: Config,
) -> dict[str, Any]:
  """Returns the columns of `data.splits.Table` that labels and weights make.

  Args:
    labels: one for each text, in the form of the run's own data, or names.
    weights: one for each text; None if all are 1.
    names: the classes' names, by index.
    workdir, config: the run's.

  Returns:
    `label`; if a label is soft, `target`; and with weights, `weight` and
    `example_weight`.

  Raises:
    ValueError: a label is malformed, has another form, or is not a class of
      the run; or a weight is not a number of 0 or more, all are 0, or their
      number is not that of the labels.
  """
  form = form_of(read_identity(workdir), names)
  read = read_labels(labels, label_separator(config), soft_names(config))
  label_names = [
    form.names_of(label, 'labels', number)
    for number, label in enumerate(read, 1)
  ]
  class_ids = {name: i for i, name in enumerate(names)}
  targets, unknown = Targets(), set[str]()
  for i, text_names in enumerate(label_names):
    unknown |= set(text_names) - class_ids.keys()
    if isinstance(text_names, SoftLabel):
      targets.add(i, text_names)
  unknown |= targets.names.keys() - class_ids.keys()
  if unknown:
    raise ValueError(
      f'labels={", ".join(map(repr, sorted(unknown)[:9]))}: the run knows '
      f'{", ".join(map(repr, names))}'
    )
  ids = [[class_ids[name] for name in text_names] for text_names in label_names]
  label: Labels = pack(ids)
  if config.task != 'multi_label':
    label = np.array(ids, np.int32).ravel()
  columns: dict[str, Any] = {'label': label}
  if targets.has_soft:
    hard_NxC = one_hot(label, len(names))
    columns['target'] = targets.filled_in(hard_NxC, class_ids)
  if weights is not None:
    weight = _checked_weights(weights, len(label))
    columns |= {'weight': weight, 'example_weight': weight}
  return columns


def _checked_weights(weights: Sequence[float], count: int) -> np.ndarray:
  """Returns the weights as float32 [N]; see `to_columns` for what it raises."""
  checked = []
  for number, value in enumerate(column(weights, 'weights'), 1):
    try:
      checked.append(as_weight(value, 'weight'))
    except ValueError as error:
      raise ValueError(f'weights, row {number}: {error}') from None
  if len(checked) != count:
    raise ValueError(f'{count} labels and {len(checked)} weights')
  if checked and not any(checked):
    raise ValueError('weights: all weights are 0')
  return np.array(checked, np.float32)
