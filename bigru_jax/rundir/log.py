"""The log of a run: metrics.jsonl, and the same as TensorBoard scalars."""

from __future__ import annotations

from collections.abc import Sequence
import functools
import json
import pathlib
from typing import Any

from bigru_jax.metrics import each_epoch
from bigru_jax.rundir.files import finite, write_lines


class MetricsLog:
  """Evaluations, as lines of metrics.jsonl and as TensorBoard scalars."""

  def __init__(
    self, workdir: pathlib.Path, lines: Sequence[dict[str, Any]] = ()
  ) -> None:
    """Opens the log of a run.

    Args:
      workdir: the run directory.
      lines: what the log holds according to a checkpoint. Lines that were
        written after it are dropped, for they will be written again.
    """
    self._path = workdir / 'metrics.jsonl'
    self._purge_step = lines[-1]['step'] + 1 if lines else 0
    write_lines(self._path, lines)

  def add(self, line: dict[str, Any]) -> None:
    """Appends one evaluation."""
    with self._path.open('a', encoding='utf-8') as file:
      file.write(json.dumps(finite(line)) + '\n')
    for name in each_epoch():
      if name in line:
        tag = f'{line["split"]}/{name}'
        self._tensorboard.add_scalar(tag, line[name], line['step'])
    self._tensorboard.flush()

  def close(self) -> None:
    """Closes TensorBoard's file."""
    self._tensorboard.close()

  @functools.cached_property
  def _tensorboard(self):
    # Imported after the first epoch: it imports PyTorch where that is there.
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(self._path.parent), purge_step=self._purge_step)
