"""How Orbax saves and restores here: by which processes, and what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
import logging
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp


def processes(active: Sequence[int]) -> ocp.options.MultiprocessingOptions:
  """Returns Orbax's options for these processes."""
  return ocp.options.MultiprocessingOptions(
    primary_host=min(active), active_processes=set(active)
  )


def array_handler() -> ocp.PyTreeCheckpointHandler:
  """Returns Orbax's handler of a train state."""
  # Orbax's own registry is global. By default each device writes a slice of
  # every replicated array; compiling the slicing programs made the first save
  # ten times slower.
  registry = ocp.type_handlers.create_type_handler_registry(
    (jax.Array, ocp.type_handlers.ArrayHandler(use_replica_parallel=False)),
    (np.ndarray, ocp.type_handlers.NumpyHandler()),
  )
  return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


class LatestAndBest:
  """Orbax's preservation policy: the two latest steps and the best one."""

  def __init__(self) -> None:
    self.best: int | None = None

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    """Returns which of the checkpoints, oldest first, to keep."""
    del context
    latest = [info.step for info in checkpoints[-2:]]
    return [info.step in (*latest, self.best) for info in checkpoints]


def is_not_of_orbax(record: logging.LogRecord) -> bool:
  """Drops Orbax's traceback for each thread; one line of ours says it."""
  return record.levelno < logging.ERROR or 'orbax' not in record.pathname
