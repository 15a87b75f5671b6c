"""Checkpoints with Orbax: the latest two of a run, and its best.

A checkpoint has three items: `params`, `optimizer` and `progress`, the last a
JSON object. A run's dropout keys and batches follow from its seed and step, so
this is all that decides its future.
"""

import pathlib

import jax
import orbax.checkpoint as ocp

LATEST, BEST = 'latest', 'best'


def _manager(workdir, name, keep):
  return ocp.CheckpointManager(
    pathlib.Path(workdir).absolute() / 'checkpoints' / name,
    options=ocp.CheckpointManagerOptions(max_to_keep=keep, create=True),
    item_names=('params', 'optimizer', 'progress'),
  )


class Checkpoints:
  """Writes and reads the checkpoints of one run; saving is asynchronous."""

  def __init__(self, workdir):
    self._managers = {
      LATEST: _manager(workdir, LATEST, keep=2),
      BEST: _manager(workdir, BEST, keep=1),
    }

  def save(self, name, state, progress):
    """Saves a state under its step; a step saved already stays."""
    step = int(state.step)
    if step in self._managers[name].all_steps():
      return
    self._managers[name].save(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardSave(state.params),
        optimizer=ocp.args.StandardSave(state.opt_state),
        progress=ocp.args.JsonSave(progress),
      ),
    )

  def restore(self, name, state):
    """The newest checkpoint of a name.

    Args:
      name: `LATEST` or `BEST`.
      state: a state of the same shapes, placed where the arrays shall be.

    Returns:
      The state and the progress, or None where nothing is saved.
    """
    manager = self._managers[name]
    manager.wait_until_finished()
    step = manager.latest_step()
    if step is None:
      return None
    like = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
    restored = manager.restore(
      step,
      args=ocp.args.Composite(
        params=ocp.args.StandardRestore(like.params),
        optimizer=ocp.args.StandardRestore(like.opt_state),
        progress=ocp.args.JsonRestore(),
      ),
    )
    state = state.replace(
      step=jax.device_put(jax.numpy.int32(step), state.step.sharding),
      params=restored.params,
      opt_state=restored.optimizer,
    )
    return state, restored.progress

  def close(self):
    """Waits for what is being written."""
    for manager in self._managers.values():
      manager.close()


def restore_best_params(workdir, params):
  """The best parameters of a run, placed as `params` are.

  Raises:
    FileNotFoundError: the run has no best checkpoint yet.
    ValueError: the checkpoint does not fit the run's configuration.
  """
  path = pathlib.Path(workdir) / 'checkpoints' / BEST
  if not path.is_dir():
    raise FileNotFoundError(f'--workdir: {workdir} has no best checkpoint')
  manager = _manager(workdir, BEST, keep=1)
  try:
    step = manager.latest_step()
    if step is None:
      raise FileNotFoundError(f'--workdir: {workdir} has no best checkpoint')
    like = jax.tree.map(ocp.utils.to_shape_dtype_struct, params)
    args = ocp.args.Composite(params=ocp.args.StandardRestore(like))
    return manager.restore(step, args=args).params
  finally:
    manager.close()
