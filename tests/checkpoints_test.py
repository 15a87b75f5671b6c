"""Checkpoints that are damaged, and disks that do not take them."""

import json
import logging
import os
import random
import shutil
import subprocess

import jax
import numpy as np
import pytest
from training_test import make_trainer

from bigru_jax import checkpoints, sharding

POSITIONS = 200


@pytest.fixture(scope='module')
def trainer():
  return make_trainer(sharding.make_mesh(8))


def _progress(best, epoch):
  return {'best': {'step': best}, 'epoch': epoch}


def _state(trainer, step):
  """A state that can be told by its step."""
  params = jax.tree.map(lambda p: p * 0 + step, trainer.state.params)
  return sharding.place_state(
    trainer.state.replace(step=np.int32(step), params=params), trainer.mesh
  )


@pytest.fixture(scope='module')
def saved(trainer, tmp_path_factory):
  """A run directory with checkpoints 1 (the best), 2 and 3."""
  workdir = tmp_path_factory.mktemp('saved')
  writer = checkpoints.Checkpoints(workdir)
  for step in (1, 2, 3):
    writer.save(_state(trainer, step), _progress(1, step))
  writer.close()
  return workdir


def _restored(workdir, trainer):
  """What a run that goes on finds: the step, or None."""
  reader = checkpoints.Checkpoints(workdir)
  found = reader.restore(trainer.state)
  reader.close()
  if found is None:
    return None
  state, progress = found
  step = int(state.step)
  assert progress == _progress(1, step)
  for leaf in jax.tree.leaves(state.params):
    assert (np.asarray(leaf) == step).all()
  return step


def test_the_latest_is_restored_and_the_best_is_kept(saved, trainer):
  assert _restored(saved, trainer) == 3
  params = checkpoints.restore_best_params(saved, trainer.state.params)
  assert all((np.asarray(p) == 1).all() for p in jax.tree.leaves(params))


def test_a_byte_flipped_or_cut_anywhere_is_never_a_wrong_state(
  saved, trainer, tmp_path, caplog
):
  rng = random.Random(0)
  folder = saved / 'checkpoints' / '3'
  files = sorted(p for p in folder.rglob('*') if p.is_file())
  sizes = [p.stat().st_size for p in files]
  for i in range(POSITIONS):
    path = rng.choices(files, sizes)[0] if i % 2 else files[i % len(files)]
    workdir = tmp_path / str(i)
    shutil.copytree(saved, workdir)
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
      step = _restored(workdir, trainer)
    assert step in (2, 3)
    assert (step == 2) == ('checkpoint 3 is set aside' in caplog.text)
    shutil.rmtree(workdir)


def test_without_its_best_a_run_begins_anew(saved, trainer, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(saved, workdir)
  shutil.rmtree(workdir / 'checkpoints' / '1' / 'params')
  assert _restored(workdir, trainer) is None
  assert len(list((workdir / 'damaged').iterdir())) == 3


def test_a_note_that_was_edited_is_not_believed(saved, trainer, tmp_path):
  workdir = tmp_path / 'run'
  shutil.copytree(saved, workdir)
  (path,) = (workdir / 'checkpoints' / '3' / 'note').glob('metadata')
  note = json.loads(path.read_text())
  note['content']['progress']['epoch'] = 1
  path.write_text(json.dumps(note))
  assert _restored(workdir, trainer) == 2


def _mount(folder, *options):
  command = ['mount', '-t', 'tmpfs', '-o', ','.join(options), 'tmpfs', folder]
  if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
    pytest.skip('cannot mount a file system here')


def test_a_full_disk_is_one_error_and_keeps_the_last_checkpoint(
  saved, trainer, tmp_path
):
  _mount(tmp_path, 'size=32m')
  try:
    shutil.copytree(saved, tmp_path / 'run')
    writer = checkpoints.Checkpoints(tmp_path / 'run')
    free = shutil.disk_usage(tmp_path).free
    (tmp_path / 'ballast').write_bytes(b'x' * max(free - 4096, 0))
    with pytest.raises(OSError, match='cannot save in .*last good'):
      writer.save(_state(trainer, 4), _progress(1, 4))
      writer.wait()
    (tmp_path / 'ballast').unlink()
    assert _restored(tmp_path / 'run', trainer) == 3
  finally:
    subprocess.run(['umount', '-l', tmp_path], check=True)


def test_a_read_only_disk_is_one_error(trainer, tmp_path):
  _mount(tmp_path, 'ro')
  try:
    with pytest.raises(OSError):
      checkpoints.Checkpoints(tmp_path / 'run')
  finally:
    subprocess.run(['umount', '-l', tmp_path], check=True)
