"""Checkpoints with Orbax: the latest two of a run, and the best one.

A checkpoint has two items: `state`, the whole train state, and `metadata`, a
JSON object with the run's progress. Dropout keys and batches follow from the
configuration and the step, so nothing else decides how a run continues.

The metadata contain a checksum of each array and of themselves, so a corrupt
checkpoint is never restored. A checkpoint is corrupt only if its bytes were
read and do not match their checksum or their format. An error of the system
(a permission, a disk, a network file system) or a checkpoint of another model
ends the run, and leaves all files where they are.

In a distributed run, all processes call the same methods. Process 0 writes the
whole arrays, which every process has for their checksums. When restoring, each
process reads whole arrays and places its part, so the number of processes and
devices may change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import contextlib
import logging
import os
import pathlib
import tempfile
import time
from typing import Any

import jax
import orbax.checkpoint as ocp

from bigru_jax import parallel
from bigru_jax.rundir import missing, orbax_options, restoring
from bigru_jax.rundir.files import write_json
from bigru_jax.rundir.mirror import Mirror
from bigru_jax.runtime import distributed

_absl_log = logging.getLogger('absl')


class Checkpoints:
  """Writes and reads the checkpoints of one run; saving is asynchronous.

  Attributes:
    seconds: the time that training has spent waiting for saving.
  """

  def __init__(
    self, workdir: str | os.PathLike, mirror: Mirror | None = None
  ) -> None:
    """Opens the checkpoints of a run directory.

    Args:
      workdir: the run directory.
      mirror: on process 0 of a run in a bucket, what copies them there.
    """
    self._workdir, self._mirror = pathlib.Path(workdir).absolute(), mirror
    self._folder = self._workdir / 'checkpoints'
    self._policy = orbax_options.LatestAndBest()
    self._is_recorded = False
    self.seconds = 0.0
    distributed.on_main(self._make_folder)
    with distributed.agreed():
      self._folder.mkdir(exist_ok=True)  # Of a run in a bucket, each has one.
      missing.steps(self._folder)
    _absl_log.addFilter(orbax_options.is_not_of_orbax)
    self._manager: ocp.CheckpointManager | None = None  # Process 0 has one.
    try:
      with distributed.agreed(), self._saving():
        if distributed.is_main():
          self._manager = self._open_manager()
    except (ValueError, OSError):
      _absl_log.removeFilter(orbax_options.is_not_of_orbax)
      raise

  def _make_folder(self) -> None:
    """Makes the folder, and checks that checkpoints can be written."""
    with self._saving():
      self._folder.mkdir(parents=True, exist_ok=True)
      with tempfile.TemporaryFile(dir=self._folder):
        pass

  def _open_manager(self) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(
      self._folder,
      item_handlers={
        'state': orbax_options.array_handler(),
        'metadata': ocp.JsonCheckpointHandler(),
      },
      options=ocp.CheckpointManagerOptions(
        preservation_policy=self._policy,
        cleanup_tmp_directories=True,
        create=False,
        multiprocessing_options=orbax_options.processes([0]),
        async_options=ocp.options.AsyncOptions(
          post_finalization_callback=self._mirror and self._mirror.update
        ),
      ),
    )

  def save(self, state: Any, progress: dict[str, Any]) -> None:
    """Saves a train state under its step.

    The first save of a process waits, and is recorded in the run directory, so
    that a run whose checkpoints are missing does not start again.

    Args:
      state: a pytree of arrays of any type, with a field `step`.
      progress: a JSON object; `best` is None or has the `step` of the best
        checkpoint, which is then kept.

    Raises:
      OSError: this save, or the one before it, could not be written; in a
        bucket also that the run is now another process's.
    """
    jax.block_until_ready(state)  # Steps in flight do not count as saving.
    self._policy.best = progress['best'] and progress['best']['step']
    step = int(state.step)
    if jax.process_count() > 1:
      with self._saving():
        state = parallel.fetch(state)
    with distributed.agreed():
      if self._mirror:
        self._mirror.check()
      if self._manager:
        self._save(self._manager, step, state, progress)
    if not self._is_recorded:
      self.wait()
      distributed.on_main(lambda: self._record(step))
      self._is_recorded = True

  def _save(
    self,
    manager: ocp.CheckpointManager,
    step: int,
    state: Any,
    progress: dict[str, Any],
  ) -> None:
    with self._saving():
      content = {
        'step': step,
        'checksums': restoring.array_checksums(state),
        'progress': progress,
      }
      metadata = {'content': content, 'sha256': restoring.sha256(content)}
      manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.PyTreeSave(state),
          metadata=ocp.args.JsonSave(metadata),
        ),
      )

  def _record(self, step: int) -> None:
    """Records in the run directory that a checkpoint was saved."""
    saved = {'step': step, 'time_ns': time.time_ns()}
    with self._saving():
      write_json(self._workdir / missing.SAVED, saved)

  def restore(self, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """Restores the newest intact checkpoint whose best one is also intact.

    Corrupt checkpoints are reported and moved to the run's `quarantine`.

    Args:
      state: a train state of the same structure and sharding.

    Returns:
      The state and the progress, or None if nothing is saved.

    Raises:
      ValueError: a checkpoint contains another train state.
      OSError: a file cannot be read or moved; all files stay where they are.
    """
    with distributed.agreed():
      listed = missing.steps(self._folder)
    steps = distributed.gather(sorted(listed))[0]
    while steps:
      step = steps.pop()
      read, reason = self._read(step, state)
      if reason:
        self._quarantine([step], reason)
        continue
      restored, progress = read
      best = progress['best'] and progress['best']['step']
      if best not in (None, step):
        reason = self._read_best(best, step, steps, state)
        if reason:
          # The end of the run needs the best parameters, so training resumes
          # before them.
          later = [s for s in (*steps, step) if s >= best]
          self._quarantine(later, reason)
          steps = [s for s in steps if s < best]
          continue
      self._policy.best = best
      return parallel.place(restored, restoring.shardings_of(state)), progress
    return None

  def restore_best(self, state: Any, step: int) -> Any:
    """Returns the state with the evaluated parameters of the best step.

    Raises:
      ValueError: the checkpoint is corrupt.
      OSError: it cannot be read.
    """
    self.wait()
    field = state.evaluated
    like = {field: state.params}
    restored = None
    with distributed.agreed():
      if distributed.is_main():
        restored, _ = restoring.read_state(self._folder, step, like)
    restored = distributed.send_from_main(restored, like)
    params = parallel.place(restored, restoring.shardings_of(like))[field]
    return state.replace(**{'params': params, field: params})

  def wait(self) -> None:
    """Waits until everything is written.

    Raises:
      OSError: a checkpoint could not be written.
    """
    with distributed.agreed(), self._saving():
      if self._manager:
        self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for this process's writing, and ends its threads."""
    try:
      if self._manager:
        with self._saving():
          self._manager.wait_until_finished()
    finally:
      if self._manager:
        self._manager.close()
      _absl_log.removeFilter(orbax_options.is_not_of_orbax)

  @contextlib.contextmanager
  def _saving(self) -> Iterator[None]:
    """Measures the time, and names the run directory in an error."""
    start = time.perf_counter()
    try:
      yield
    except Exception as error:  # Orbax and TensorStore raise many types.
      raise OSError(
        f'workdir={self._workdir}: cannot save in {self._folder}: '
        f'{missing.reason_of(error)}; the last good checkpoint stays'
      ) from error
    finally:
      self.seconds += time.perf_counter() - start

  def _read(self, step: int, like: Any) -> tuple[Any, str]:
    """Returns `read_state`'s result, or None and why the bytes are corrupt."""
    read, reason = None, ''
    with distributed.agreed():  # Any other error ends all processes.
      try:
        read = restoring.read_state(self._folder, step, like)
      except restoring.CorruptError as error:
        reason = str(error)
    reasons = [x for x in distributed.gather(reason) if x]
    return (None, reasons[0]) if reasons else (read, '')

  def _read_best(
    self, best: int, step: int, steps: Sequence[int], state: Any
  ) -> str:
    """Returns why the best checkpoint cannot be restored; '' where it can.

    It may be missing if a later checkpoint, which replaced it, was corrupt and
    is in quarantine.

    Args:
      best: the step of the best checkpoint.
      step: the step of the checkpoint that names it.
      steps: the steps of the other checkpoints.
      state: a train state of the same structure.

    Raises:
      OSError: its folder was removed.
    """
    if best in steps:
      return self._read(best, {state.evaluated: state.params})[1]
    quarantined: list[tuple[int, int]] = []
    with distributed.agreed():
      if distributed.is_main():  # In a bucket, it alone has moved them.
        quarantined = missing.quarantined(self._workdir)
    if any(later > step for later, _ in distributed.gather(quarantined)[0]):
      return f'its best checkpoint, {best}, was replaced by a corrupt one'
    raise OSError(
      f'workdir={self._workdir}: {self._folder / str(best)}, the best '
      f'checkpoint, is missing; {missing.STAYS}'
    )

  def _quarantine(self, steps: Sequence[int], reason: str) -> None:
    with distributed.agreed():
      for step in steps if distributed.is_main() else ():
        missing.quarantine(self._workdir, step, reason)
    if self._manager:
      self._manager.reload()
