"""Checkpoints with Orbax: the latest two of a run, and its best.

A checkpoint has two items: `state`, the whole train state, and `metadata`, a
JSON object with the run's progress. Dropout keys and batches follow from the
configuration and the step, so nothing else decides how a run continues.

The metadata hold a checksum of each array and of themselves, so that a
checkpoint that was corrupted on disk is never taken for a good one.

Of several processes, all call the same methods, and each writes its part of the
arrays that are sharded over them. In reading, each has whole arrays and places
its part of them, so a run resumes on another number of processes and devices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import hashlib
import json
import logging
import os
import pathlib
import time
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from bigru_jax.runtime import distributed, mesh as meshes

_log = logging.getLogger(__name__)


class OtherStateError(ValueError):
  """A checkpoint is intact, but holds a train state of other fields."""


class Checkpoints:
  """Writes and reads the checkpoints of one run; saving is asynchronous.

  Attributes:
    seconds: how long training has waited for saving.
  """

  def __init__(self, workdir: str | os.PathLike) -> None:
    self._workdir = pathlib.Path(workdir).absolute()
    self._folder = self._workdir / 'checkpoints'
    self._policy = _LatestAndBest()
    self.seconds = 0.0
    try:
      with distributed.agreed():
        if distributed.is_main():
          self._folder.mkdir(parents=True, exist_ok=True)
      self._manager = ocp.CheckpointManager(
        self._folder,
        item_handlers={
          'state': _array_handler(),
          'metadata': ocp.JsonCheckpointHandler(),
        },
        options=ocp.CheckpointManagerOptions(
          preservation_policy=self._policy,
          cleanup_tmp_directories=True,
          create=False,
          # Named processes wait for each other without a collective, which
          # could come amid one of the training step.
          multiprocessing_options=_processes(set(range(jax.process_count()))),
        ),
      )
    except OSError as error:
      raise self._cannot_save(error) from error

  def save(self, state: Any, progress: dict[str, Any]) -> None:
    """Saves a train state under its step.

    Args:
      state: a pytree of arrays of any type, with a field `step`.
      progress: a JSON object; `best` is None or has the `step` of the best
        checkpoint, which is kept.

    Raises:
      OSError: this save, or the one before it, could not be written.
    """
    jax.block_until_ready(state)  # The steps in flight are not saving time.
    start = time.perf_counter()
    self._policy.best = progress['best'] and progress['best']['step']
    step = int(state.step)
    content = {
      'step': step,
      'checksums': _checksums(state),
      'progress': progress,
    }
    metadata = {'content': content, 'sha256': _sha256(content)}
    try:
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.PyTreeSave(state),
          metadata=ocp.args.JsonSave(metadata),
        ),
      )
    except Exception as error:  # Orbax and TensorStore raise many types.
      raise self._cannot_save(error) from error
    self.seconds += time.perf_counter() - start

  def restore(self, state: Any) -> tuple[Any, dict[str, Any]] | None:
    """Restores the newest checkpoint that is complete, as its best one is.

    Checkpoints that are corrupt are reported and moved to the folder
    `quarantine` of the run.

    Args:
      state: a train state of the same structure, placed where the arrays shall
        be.

    Returns:
      The state and the progress, or None where nothing is saved.

    Raises:
      ValueError: a checkpoint holds a train state of other fields.
    """
    complete = set(self._manager.all_steps())
    self._quarantine(_steps(self._folder) - complete, 'it is incomplete')
    for step in sorted(complete, reverse=True):
      if step not in self._manager.all_steps():
        continue
      try:
        with distributed.agreed():
          saved = _read_metadata(self._folder, step)['checksums'].keys()
          if other := saved ^ dict(_named_leaves(state)).keys():
            raise OtherStateError(
              f'workdir={self._workdir}: checkpoint {step} holds another train '
              f'state, which differs in {min(other)}; choose another workdir'
            )
          restored, progress = _restore(self._folder, step, state)
      except OtherStateError:
        raise
      except ValueError as error:
        self._quarantine([step], error)
        continue
      best = progress['best'] and progress['best']['step']
      if best not in (None, step):
        try:
          self.restore_best(state, best)
        except ValueError as error:
          # The end of the run needs the best parameters, so training restarts
          # from before them.
          later = {s for s in self._manager.all_steps() if s >= best}
          self._quarantine(later, error)
          continue
      self._policy.best = best
      return restored, progress
    return None

  def restore_best(self, state: Any, step: int) -> Any:
    """The state with the evaluated parameters of the best step as its own.

    Raises:
      ValueError: that checkpoint was corrupted since it was saved.
    """
    self.wait()
    field = state.evaluated
    with distributed.agreed():
      restored, _ = _restore(self._folder, step, {field: state.params})
    return state.replace(**{'params': restored[field], field: restored[field]})

  def wait(self) -> None:
    """Waits for what is being written.

    Raises:
      OSError: it could not be written.
    """
    start = time.perf_counter()
    try:
      self._manager.wait_until_finished()
    except Exception as error:  # Orbax and TensorStore raise many types.
      raise self._cannot_save(error) from error
    self.seconds += time.perf_counter() - start

  def close(self) -> None:
    """Waits, as `wait` does, and ends the threads that write."""
    try:
      self.wait()
    finally:
      self._manager.close()

  def _cannot_save(self, error: Exception) -> OSError:
    return OSError(
      f'workdir={self._workdir}: cannot save in {self._folder}: '
      f'{_first_line(error)}; the last good checkpoint stays'
    )

  def _quarantine(self, steps: Iterable[int], reason: object) -> None:
    for step in steps if distributed.is_main() else ():
      target = self._workdir / 'quarantine' / f'{step}-{time.time_ns()}'
      target.parent.mkdir(exist_ok=True)
      if (self._folder / str(step)).exists():
        os.rename(self._folder / str(step), target)
      _log.warning(
        'checkpoint %d is quarantined in %s: %s', step, target, reason
      )
    distributed.wait()
    self._manager.reload()


def restore_best_params(
  workdir: str | os.PathLike, params: Any, field: str = 'params'
) -> Any:
  """The best parameters of a run, of the shapes and sharding of `params`.

  Args:
    workdir: the run directory.
    params: abstract arrays.
    field: of the train state, `params` or `averaged_params`.

  Raises:
    FileNotFoundError: the run has no best checkpoint yet.
    ValueError: the checkpoint is corrupt, or does not fit the configuration.
  """
  folder = pathlib.Path(workdir).absolute() / 'checkpoints'
  missing = FileNotFoundError(f'workdir={workdir} has no best checkpoint yet')
  if not folder.is_dir():
    raise missing
  try:
    for step in sorted(_steps(folder), reverse=True):
      try:
        best = _read_metadata(folder, step)['progress']['best']
      except ValueError as error:
        _log.warning('%s', error)
        continue
      if best:
        return _restore(folder, best['step'], {field: params})[0][field]
  except ValueError as error:
    raise ValueError(f'workdir={workdir}: {error}') from error
  raise missing


class _LatestAndBest:
  """Orbax's preservation policy: the two latest steps and the best one."""

  def __init__(self) -> None:
    self.best: int | None = None

  def should_preserve(
    self, checkpoints: Sequence[Any], *, context: Any
  ) -> list[bool]:
    """Which of the checkpoints, oldest first, to keep."""
    del context
    latest = [info.step for info in checkpoints[-2:]]
    return [info.step in (*latest, self.best) for info in checkpoints]


def _processes(active: set[int]) -> ocp.options.MultiprocessingOptions:
  return ocp.options.MultiprocessingOptions(
    primary_host=min(active), active_processes=active
  )


def _array_handler() -> ocp.PyTreeCheckpointHandler:
  # A registry of our own, for Orbax's is global. By default each device writes
  # a slice of every replicated array; compiling the programs that slice made
  # the first save ten times slower.
  registry = ocp.type_handlers.create_type_handler_registry(
    (jax.Array, ocp.type_handlers.ArrayHandler(use_replica_parallel=False)),
    (np.ndarray, ocp.type_handlers.NumpyHandler()),
  )
  return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


def _steps(folder: pathlib.Path) -> set[int]:
  return {int(p.name) for p in folder.iterdir() if p.name.isdigit()}


def _checksums(tree: Any) -> dict[str, str]:
  """The SHA-256 of each array's bytes, by its path."""
  names, leaves = zip(*_named_leaves(tree))
  return {
    name: hashlib.sha256(
      np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    ).hexdigest()
    for name, array in zip(names, meshes.fetch(leaves))
  }


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
  leaves, _ = jax.tree.flatten_with_path(tree)
  return [
    (jax.tree_util.keystr(path, simple=True, separator='/'), leaf)
    for path, leaf in leaves
  ]


def _sha256(value: Any) -> str:
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]


def _cannot_read(step: int, error: Exception) -> ValueError:
  return ValueError(f'checkpoint {step} cannot be read: {_first_line(error)}')


def _read_metadata(folder: pathlib.Path, step: int) -> dict[str, Any]:
  """The content of a checkpoint's metadata.

  Raises:
    ValueError: they are corrupt.
  """
  path = folder / str(step) / 'metadata' / 'metadata'
  try:
    metadata = json.loads(path.read_text(encoding='utf-8'))
    content = metadata['content']
    if _sha256(content) != metadata['sha256'] or content['step'] != step:
      raise ValueError('its metadata are corrupt')
  except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
    raise _cannot_read(step, error) from error
  return content


def _restore(
  folder: pathlib.Path, step: int, like: Any
) -> tuple[Any, dict[str, Any]]:
  """Restores a state, or a part of one, and the progress.

  Args:
    folder: of the checkpoints.
    step: the checkpoint.
    like: a train state, or a dict of some of its fields; the result has its
      structure, types and sharding.

  Raises:
    ValueError: the checkpoint is corrupt.
  """
  content = _read_metadata(folder, step)
  abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
  shardings = jax.tree.map(lambda x: x.sharding, abstract)
  # Orbax could restore a part on each process, but the checksums are of whole
  # arrays, and one process whose part is corrupt must not leave the others
  # waiting in a collective.
  several = not all(s.is_fully_addressable for s in jax.tree.leaves(shardings))
  if several:
    abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), abstract
    )
  args = ocp.args.PyTreeRestore(
    item=abstract,
    restore_args=ocp.checkpoint_utils.construct_restore_args(abstract),
    partial_restore=isinstance(like, dict),
  )
  try:
    with ocp.Checkpointer(
      _array_handler(),
      # Otherwise it waits at the end for the others, which may have failed.
      multiprocessing_options=_processes({jax.process_index()}),
    ) as checkpointer:
      restored = checkpointer.restore(folder / str(step) / 'state', args=args)
    for path, checksum in _checksums(restored).items():
      if content['checksums'].get(path) != checksum:
        raise ValueError(f'its array {path} is corrupt')
  except Exception as error:  # Orbax and TensorStore raise many types.
    raise _cannot_read(step, error) from error
  if several:
    restored = meshes.place(restored, shardings)
  return restored, content['progress']
