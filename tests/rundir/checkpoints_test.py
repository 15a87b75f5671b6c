"""Saving and restoring, corrupt checkpoints, and disks that refuse them."""

import json
import logging
import os
import random
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bigru_jax import parallel
from bigru_jax.rundir import best_params, checkpoints
from bigru_jax.training.state import TrainState

POSITIONS = 200


def _state(step):
  """A state in which every parameter is the step."""
  params = {
    'embedding': np.full((10, 8), step, np.float32),
    'output': {'kernel': np.full((8, 3), step, np.float32)},
  }
  state = TrainState.create(params, optax.adam(1e-3))
  state = state.replace(step=np.int32(step))
  return jax.device_put(state, parallel.shardings(state, parallel.make_mesh(8)))


def _progress(best, epoch):
  return {'best': {'step': best}, 'epoch': epoch}


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A run directory with checkpoints 1 (the best), 2 and 3."""
  workdir = tmp_path_factory.mktemp('saved')
  writer = checkpoints.Checkpoints(workdir)
  for step in (1, 2, 3):
    writer.save(_state(step), _progress(1, step))
  writer.close()
  return workdir


@pytest.fixture
def workdir(saved, tmp_path):
  """A copy of `saved`."""
  return shutil.copytree(saved, tmp_path / 'run')


def _restored(workdir):
  """The step from which a run resumes, or None."""
  reader = checkpoints.Checkpoints(workdir)
  found = reader.restore(_state(0))
  reader.close()
  if found is None:
    return None
  state, progress = found
  step = int(state.step)
  assert progress == _progress(1, step)
  for leaf in jax.tree.leaves(state.params):
    assert (np.asarray(leaf) == step).all()
  return step


def test_the_latest_is_restored_and_the_best_is_kept(saved):
  assert _restored(saved) == 3
  params = best_params.restore(saved, _state(0).params)
  assert all((np.asarray(p) == 1).all() for p in jax.tree.leaves(params))


def test_a_state_is_saved_whole_in_any_type(tmp_path):
  """A new field, of whatever type, is saved without being named."""

  class Wider(TrainState):
    extra: dict

  extra = {
    'bfloat16': jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
    'bool': jnp.array([True, False]),
    'int8': jnp.int8(-3),
    'float16': jnp.ones(3, jnp.float16),
  }
  writer = checkpoints.Checkpoints(tmp_path)
  state = Wider(**vars(_state(4)), extra=extra)
  writer.save(state, _progress(4, 1))
  blank = jax.tree.map(jnp.zeros_like, state)
  writer.wait()
  restored, _ = writer.restore(blank)
  writer.close()
  for ours, expected in zip(jax.tree.leaves(restored), jax.tree.leaves(state)):
    assert ours.dtype == expected.dtype
    np.testing.assert_array_equal(ours, expected)
    assert ours.sharding == expected.sharding


def test_a_state_with_other_fields_is_refused_and_kept(workdir):
  class Wider(TrainState):
    extra: jax.Array

  reader = checkpoints.Checkpoints(workdir)
  with pytest.raises(ValueError, match='another train state.* in extra'):
    reader.restore(Wider(**vars(_state(0)), extra=jnp.ones(2)))
  reader.close()
  assert _restored(workdir) == 3


def test_restored_arrays_have_the_requested_sharding(workdir):
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), (parallel.DATA_AXIS,))
  like = _state(0)
  like = jax.device_put(like, parallel.shardings(like, mesh))
  reader = checkpoints.Checkpoints(workdir)
  state, _ = reader.restore(like)
  reader.close()
  table = state.params['embedding']
  assert table.sharding == like.params['embedding'].sharding
  np.testing.assert_array_equal(table, 3)


def test_orbaxs_registry_is_unchanged(workdir):
  import orbax.checkpoint as ocp

  before = ocp.type_handlers.get_type_handler(jax.Array)
  checkpoints.Checkpoints(workdir).close()
  assert ocp.type_handlers.get_type_handler(jax.Array) is before


@pytest.mark.slow
def test_a_flipped_or_missing_byte_never_restores_a_wrong_state(
  saved, tmp_path, caplog
):
  rng = random.Random(0)
  folder = saved / 'checkpoints' / '3'
  files = sorted(p for p in folder.rglob('*') if p.is_file())
  sizes = [p.stat().st_size for p in files]
  for i in range(POSITIONS):
    path = rng.choices(files, sizes)[0] if i % 2 else files[i % len(files)]
    workdir = shutil.copytree(saved, tmp_path / str(i))
    target = workdir / path.relative_to(saved)
    data = bytearray(path.read_bytes())
    at = rng.randrange(max(len(data), 1))
    if data and rng.random() < 0.7:
      data[at] ^= 1 << rng.randrange(8)
    else:
      del data[at:]
    target.write_bytes(data)
    caplog.clear()
    with caplog.at_level(logging.WARNING, 'bigru_jax'):
      step = _restored(workdir)
    assert step in (2, 3)
    assert (step == 2) == ('checkpoint 3 is quarantined' in caplog.text)
    shutil.rmtree(workdir)


def _cut(checkpoint):
  for path in (checkpoint / 'state' / 'd').iterdir():
    path.write_bytes(path.read_bytes()[:-1])


def test_a_corrupt_checkpoint_is_quarantined(workdir, caplog):
  _cut(workdir / 'checkpoints' / '3')
  with caplog.at_level(logging.WARNING, 'bigru_jax'):
    assert _restored(workdir) == 2
  assert 'checkpoint 3 is quarantined' in caplog.text
  (moved,) = (workdir / 'quarantine').iterdir()
  assert moved.name.startswith('3-')


def test_without_its_best_a_run_restarts_from_scratch(workdir):
  _cut(workdir / 'checkpoints' / '1')
  assert _restored(workdir) is None
  assert len(list((workdir / 'quarantine').iterdir())) == 3


def test_a_quarantined_checkpoint_is_not_the_missing_best(workdir):
  """A run may restart from the beginning, but not from an old best."""
  writer = checkpoints.Checkpoints(workdir)
  writer.save(_state(4), _progress(4, 4))
  writer.close()
  assert not (workdir / 'checkpoints' / '1').exists()
  _cut(workdir / 'checkpoints' / '4')
  assert _restored(workdir) is None
  # Those in quarantine say nothing about a best one that is taken away later.
  writer = checkpoints.Checkpoints(workdir)
  for step in (5, 6, 7):
    writer.save(_state(step), _progress(5, step))
  writer.close()
  shutil.rmtree(workdir / 'checkpoints' / '5')
  with pytest.raises(OSError, match='checkpoints/5, the best .* is missing'):
    _restored(workdir)


def test_edited_metadata_are_not_trusted(workdir):
  path = workdir / 'checkpoints' / '3' / 'metadata' / 'metadata'
  metadata = json.loads(path.read_text())
  metadata['content']['progress']['epoch'] = 1
  path.write_text(json.dumps(metadata))
  assert _restored(workdir) == 2


def _mount(folder, *options):
  command = ['mount', '-t', 'tmpfs', '-o', ','.join(options), 'tmpfs', folder]
  if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
    pytest.skip('mounting a file system needs root')


@pytest.mark.slow
def test_a_full_disk_raises_one_error_and_keeps_the_last_checkpoint(
  saved, tmp_path
):
  _mount(tmp_path, 'size=32m')
  try:
    workdir = shutil.copytree(saved, tmp_path / 'run')
    writer = checkpoints.Checkpoints(workdir)
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / 'ballast').write_bytes(b'x' * max(free - 4096, 0))
    with pytest.raises(OSError, match='cannot save in .*last good'):
      writer.save(_state(4), _progress(1, 4))
      writer.wait()
    (tmp_path / 'ballast').unlink()
    assert _restored(workdir) == 3
  finally:
    subprocess.run(['umount', '-l', tmp_path], check=True)


@pytest.mark.slow
def test_a_read_only_disk_raises_one_error(tmp_path):
  _mount(tmp_path, 'ro')
  try:
    with pytest.raises(OSError):
      checkpoints.Checkpoints(tmp_path / 'run')
  finally:
    subprocess.run(['umount', '-l', tmp_path], check=True)
