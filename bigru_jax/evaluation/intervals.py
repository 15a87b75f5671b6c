"""How much the metrics of a split would differ on other texts."""

from __future__ import annotations

from collections.abc import Collection
import dataclasses

import numpy as np

from bigru_jax.metrics import METRICS, compute
from bigru_jax.metrics.scored import Scored
from bigru_jax.statistics import intervals
from bigru_jax.statistics.intervals import Interval, Score

# Of large splits, whose scores take long to rank, fewer draws are enough.
_MAX_VALUES = 20_000_000  # Of all draws together.
_MIN_RESAMPLES = 200


def intervals_of(scored: Scored, names: Collection[str]) -> dict[str, Interval]:
  """Returns the 95 % intervals of metrics over texts.

  That of the accuracy, which is a share of the texts, is Wilson's; the others
  are by the bootstrap, see `statistics.intervals.of_texts`.

  Args:
    scored: the examples.
    names: the metrics.

  Returns:
    The intervals by name, of those that the task and its classes have; the loss
    and the calibration error have none.
  """
  weights_N = weights_of(scored)
  by_name = {}
  for name in compute(scored, names):
    if name == 'accuracy':
      by_name[name] = intervals.share(is_right(scored), weights_N)
    else:
      by_name[name] = intervals.of_texts(
        score_of(scored, name),
        weights_N,
        METRICS[name].bounds,
        num_resamples(scored, name),
      )
  return by_name


def num_resamples(scored: Scored, name: str) -> int:
  """Returns the number of draws of the texts for the interval of a metric."""
  needs_scores = METRICS[name].of_confusion is None
  values = scored.scores.size if needs_scores else len(scored.labels)
  most = _MAX_VALUES // max(values, 1)
  return min(max(most, _MIN_RESAMPLES), intervals.RESAMPLES)


def weights_of(scored: Scored) -> np.ndarray:
  """Returns the weights of the examples [N]."""
  if scored.weights is None:
    return np.ones(len(scored.labels))
  return scored.weights


def is_right(scored: Scored) -> np.ndarray:
  """Returns whether each text has exactly the predicted labels, bool [N]."""
  equal = scored.labels == scored.predictions
  return equal.all(1) if scored.is_multi_label else equal


def score_of(scored: Scored, name: str) -> Score:
  """Returns the function from the weights of the examples to a metric."""

  def score(weights_N: np.ndarray) -> float:
    weighted = dataclasses.replace(scored, weights=weights_N)
    return compute(weighted, [name])[name]

  return score
