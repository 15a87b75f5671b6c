"""Checkpoints with Orbax: the latest two of a run, and its best.

A checkpoint has three items: `params`, `rest` (everything else of the train
state) and `note`, a JSON object with the run's progress. A run's dropout keys
and batches follow from its seed and step, so this is all that decides its
future.

A note holds checksums of the arrays and of itself, so that a checkpoint that
was damaged on disk is never taken for a good one.
"""

import hashlib
import json
import logging
import os
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

_log = logging.getLogger(__name__)


class _LatestAndBest:
  """Orbax's preservation policy: the two latest steps and the best one."""

  def __init__(self):
    self.best = None

  def should_preserve(self, checkpoints, *, context):
    del context
    latest = [info.step for info in checkpoints[-2:]]
    return [info.step in (*latest, self.best) for info in checkpoints]


def _manager(folder, **options):
  # By default each device writes a slice of what all of them have; the slices
  # are little programs, whose compilation made the first save ten times slower.
  whole = ocp.type_handlers.ArrayHandler(use_replica_parallel=False)
  ocp.type_handlers.register_type_handler(jax.Array, whole, override=True)
  return ocp.CheckpointManager(
    folder,
    options=ocp.CheckpointManagerOptions(**options),
    item_names=('params', 'rest', 'note'),
  )


@jax.jit
def _weighted_sums(tree):
  """A checksum of each array: the sum of its words times odd weights, mod 2^32.

  Any change of one word changes it, and the order of the sum, and so the number
  of devices, does not.
  """

  def of(array):
    words = jax.lax.bitcast_convert_type(array, jnp.uint32)
    place = jnp.zeros(array.shape, jnp.uint32)
    for axis, size in enumerate(array.shape):
      along = jax.lax.broadcasted_iota(jnp.uint32, array.shape, axis)
      place = place * np.uint32(size) + along
    return jnp.sum(words * (2 * place + 1), dtype=jnp.uint32)

  return [of(array) for array in jax.tree.leaves(tree)]


def _checksums(tree):
  return [int(x) for x in jax.device_get(_weighted_sums(tree))]


def _sha256(value):
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _items(state):
  """What a checkpoint holds of a train state."""
  rest = {
    field: getattr(state, field)
    for field in ('step', 'opt_state', 'loss_sum', 'bad_steps', 'skipped')
  }
  return {'params': state.params, 'rest': rest}


def _restore(manager, step, **like):
  """The items of a step, placed as `like` is, and the note's progress.

  Raises:
    ValueError: the checkpoint is damaged.
  """
  try:
    args = {
      name: ocp.args.StandardRestore(
        jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
      )
      for name, tree in like.items()
    }
    found = manager.restore(
      step, args=ocp.args.Composite(note=ocp.args.JsonRestore(), **args)
    )
    note = found.note
    if _sha256(note['content']) != note['sha256']:
      raise ValueError('its note is damaged')
    for name in like:
      if _checksums(found[name]) != note['content']['checksums'][name]:
        raise ValueError(f'its {name} are damaged')
    if note['content']['step'] != step:
      raise ValueError('it is of another step')
  except Exception as error:  # Orbax and TensorStore raise many kinds.
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    raise ValueError(f'checkpoint {step} cannot be read: {reason}') from error
  return found, note['content']['progress']


class Checkpoints:
  """Writes and reads the checkpoints of one run; saving is asynchronous.

  Attributes:
    seconds: how long training has waited for saving.
  """

  def __init__(self, workdir):
    self._workdir = pathlib.Path(workdir).absolute()
    self._folder = self._workdir / 'checkpoints'
    self._policy = _LatestAndBest()
    self.seconds = 0.0
    try:
      self._manager = _manager(
        self._folder,
        preservation_policy=self._policy,
        cleanup_tmp_directories=True,
      )
    except OSError as error:
      raise self._cannot_save(error) from error

  def _cannot_save(self, error):
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return OSError(
      f'--workdir: cannot save in {self._folder}: {reason}; the last good '
      'checkpoint stays'
    )

  def save(self, state, progress):
    """Saves a state and a JSON object under the state's step.

    Raises:
      OSError: this, or the save before it, could not be written.
    """
    jax.block_until_ready(state)  # Training is no cost of saving.
    start = time.perf_counter()
    best = progress['best']
    self._policy.best = best and best['step']
    items = _items(state)
    step = int(state.step)
    content = {
      'step': step,
      'checksums': {name: _checksums(tree) for name, tree in items.items()},
      'progress': progress,
    }
    note = {'content': content, 'sha256': _sha256(content)}
    args = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
    try:
      self._manager.save(
        step, args=ocp.args.Composite(note=ocp.args.JsonSave(note), **args)
      )
    except Exception as error:  # Orbax and TensorStore raise many kinds.
      raise self._cannot_save(error) from error
    self.seconds += time.perf_counter() - start

  def restore(self, state):
    """The newest checkpoint that is whole, and whose best one is.

    Those that are not are reported and moved to the folder `damaged`. What
    saving needs is compiled here, before training.

    Args:
      state: a state of the same shapes, placed where the arrays shall be.

    Returns:
      The state and the progress, or None where nothing is saved.
    """
    self._set_aside(
      (int(p.name) for p in self._folder.iterdir() if p.name.isdigit()),
      but=self._manager.all_steps(),
      reason='it is not whole',
    )
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        found, progress = _restore(self._manager, step, **_items(state))
      except ValueError as error:
        self._set_aside([step], reason=error)
        continue
      best = progress['best'] and progress['best']['step']
      if best not in (None, step):
        try:
          _restore(self._manager, best, params=state.params)
        except ValueError as error:
          # What came after the best needs it at the end, and is made anew.
          self._set_aside(
            (s for s in self._manager.all_steps() if s >= best), reason=error
          )
          continue
      self._policy.best = best
      return state.replace(params=found.params, **found.rest), progress
    for tree in _items(state).values():
      _checksums(tree)
    return None

  def _set_aside(self, steps, reason, but=()):
    for step in set(steps) - set(but):
      target = self._workdir / 'damaged' / f'{step}-{time.time_ns()}'
      target.parent.mkdir(exist_ok=True)
      if (self._folder / str(step)).exists():
        os.rename(self._folder / str(step), target)
      _log.warning('checkpoint %d is set aside in %s: %s', step, target, reason)
    self._manager.reload()

  def restore_best(self, state, step):
    """The state with the parameters of the best step.

    Raises:
      ValueError: that checkpoint was damaged since it was saved.
    """
    self.wait()
    found, _ = _restore(self._manager, step, params=state.params)
    return state.replace(params=found.params)

  def wait(self):
    """Waits for what is being written.

    Raises:
      OSError: it could not be written.
    """
    start = time.perf_counter()
    try:
      self._manager.wait_until_finished()
    except Exception as error:  # Orbax and TensorStore raise many kinds.
      raise self._cannot_save(error) from error
    self.seconds += time.perf_counter() - start

  def close(self):
    """Waits, as `wait` does, and ends the threads that write."""
    try:
      self.wait()
    finally:
      self._manager.close()


def restore_best_params(workdir, params):
  """The best parameters of a run, of the shapes and placing of `params`.

  Raises:
    FileNotFoundError: the run has no best checkpoint yet.
    ValueError: the checkpoint is damaged, or does not fit the configuration.
  """
  folder = pathlib.Path(workdir).absolute() / 'checkpoints'
  missing = FileNotFoundError(f'--workdir: {workdir} has no best checkpoint')
  if not folder.is_dir():
    raise missing
  manager = _manager(folder, read_only=True)
  try:
    for step in sorted(manager.all_steps(), reverse=True):
      try:
        _, progress = _restore(manager, step)
      except ValueError as error:
        _log.warning('%s', error)
        continue
      if progress['best']:
        best = progress['best']['step']
        return _restore(manager, best, params=params)[0].params
    raise missing
  except ValueError as error:
    raise ValueError(f'--workdir: {folder}: {error}') from error
  finally:
    manager.close()
