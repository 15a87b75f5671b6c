"""The stored predictions of finished runs, to compare them text by text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np

from bigru_jax.evaluation.calibration import read_calibration
from bigru_jax.evaluation.evaluation import read_evaluation
from bigru_jax.metrics.scored import Scored
from bigru_jax.rundir import files as run_files


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredPredictions:
  """What a run predicted for the texts of a split.

  Attributes:
    keys: the file and the line of each text, which identify it.
    scored: the texts' labels beside the predictions.
  """

  keys: list[tuple[str, int]]
  scored: Scored

  def in_order(self) -> StoredPredictions:
    """Returns the same predictions, sorted by their keys."""
    order = sorted(range(len(self.keys)), key=self.keys.__getitem__)
    return StoredPredictions(
      keys=[self.keys[i] for i in order],
      scored=_mapped([self.scored], lambda arrays: arrays[0][order]),
    )


def read_stored(workdir: pathlib.Path, split: str) -> StoredPredictions:
  """Reads the predictions of a finished run for `validation` or `test`.

  The probabilities have six decimals; see `read_evaluation`.

  Raises:
    FileNotFoundError, ValueError: the run is not finished, or corrupt.
  """
  lines = run_files.read_predictions(workdir, split)
  evaluation = read_evaluation(workdir, split)
  task = 'multi_label' if evaluation.labels.ndim > 1 else 'single_label'
  calibration = read_calibration(workdir, evaluation.names, task)
  positive = None
  if task == 'single_label' and len(evaluation.names) == 2:
    label = calibration.positive_label
    positive = evaluation.names.index(label) if label else 1
  weights = None
  if any('weight' in line for line in lines):
    weights = np.array([line['weight'] for line in lines], np.float64)
  probabilities = evaluation.probabilities.astype(np.float64)
  return StoredPredictions(
    keys=[(line['source'], line['row']) for line in lines],
    scored=Scored(
      labels=evaluation.labels,
      predictions=evaluation.predictions,
      scores=probabilities,
      probabilities=probabilities,
      weights=weights,
      positive=positive,
      names=tuple(evaluation.names),
    ),
  ).in_order()


def joined(parts: Sequence[StoredPredictions]) -> StoredPredictions:
  """Returns the predictions for all texts of several folds, in order."""
  return StoredPredictions(
    keys=[key for part in parts for key in part.keys],
    scored=_mapped([part.scored for part in parts], np.concatenate),
  ).in_order()


def _mapped(
  parts: Sequence[Scored], function: Callable[[Sequence[Any]], np.ndarray]
) -> Scored:
  """Applies a function to each array of some examples, from all parts."""
  names = ['labels', 'predictions', 'scores', 'probabilities']
  if parts[0].weights is not None:
    names.append('weights')
  arrays: dict[str, Any] = {
    x: function([getattr(part, x) for part in parts]) for x in names
  }
  return dataclasses.replace(parts[0], **arrays)
