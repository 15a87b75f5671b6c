"""Converts labels of new texts to class ids."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data.label_forms import form_of
from bigru_jax.data.memory import read_labels
from bigru_jax.data.ragged import pack
from bigru_jax.data.sources import label_separator
from bigru_jax.data.splits import Labels
from bigru_jax.rundir.files import read_identity


def to_label_ids(
  labels: Sequence[Any],
  names: Sequence[str],
  workdir: pathlib.Path,
  config: Config,
) -> Labels:
  """Converts labels to class ids.

  Args:
    labels: the label or labels of each text, as in the run's data or as names.
    names: the classes' names, by index.
    workdir, config: those of the run.

  Raises:
    ValueError: a label is malformed, has another form, or is not a class of
      the run.
  """
  form = form_of(read_identity(workdir), names)
  separator = label_separator(config)
  label_names = [
    form.names_of(label, 'labels', number)
    for number, label in enumerate(read_labels(labels, separator), 1)
  ]
  class_ids = {name: i for i, name in enumerate(names)}
  unknown = sorted({x for text in label_names for x in text} - class_ids.keys())
  if unknown:
    raise ValueError(
      f'labels={", ".join(map(repr, unknown[:9]))}: the run knows '
      f'{", ".join(map(repr, names))}'
    )
  ids = [[class_ids[name] for name in text_names] for text_names in label_names]
  if config.task == 'multi_label':
    return pack(ids)
  return np.array(ids, np.int32).ravel()
