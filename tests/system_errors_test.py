"""Errors of the system while a run resumes or is opened: nothing is moved."""

import builtins
import errno
import io
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import jax
import numpy as np
import optax
import pytest

from bigru_jax import checkpoints
from bigru_jax.runtime import mesh as meshes
from bigru_jax.training.state import TrainState

ERRORS = errno.EACCES, errno.EIO, errno.ESTALE
_FUNCTIONS = [
  (builtins, 'open'),
  (io, 'open'),
  (os, 'open'),
  (os, 'scandir'),
  (os, 'listdir'),
  (os, 'stat'),
  (os, 'lstat'),
  (os, 'rename'),
  (os, 'replace'),
]


class Faults:
  """Lets one call of the file system below a folder fail.

  Attributes:
    calls: how many there were so far.
  """

  def __init__(self, monkeypatch, folder, at, number):
    self.calls, self._at, self._number = 0, at, number
    self._folder, self._lock = str(folder), threading.Lock()
    for module, name in _FUNCTIONS:
      monkeypatch.setattr(module, name, self._wrap(getattr(module, name)))

  def _count(self, path):
    with self._lock:
      self.calls += 1
      if self.calls == self._at:
        raise OSError(self._number, os.strerror(self._number), path)

  def _wrap(self, function):
    def wrapped(path='.', *args, **kwargs):
      if not isinstance(path, str | os.PathLike) or not os.fspath(
        path
      ).startswith(self._folder):
        return function(path, *args, **kwargs)
      self._count(os.fspath(path))
      result = function(path, *args, **kwargs)
      if isinstance(result, io.IOBase):
        return _File(result, lambda: self._count(None))
      return result

    return wrapped


class _File:
  """An open file of which a reading may fail."""

  def __init__(self, file, count):
    self._file, self._count = file, count

  def __enter__(self):
    return self

  def __exit__(self, *args):
    self._file.close()

  def __getattr__(self, name):
    return getattr(self._file, name)

  def read(self, *args):
    self._count()
    return self._file.read(*args)


def _state(step):
  params = {
    'embedding': np.full((10, 8), step, np.float32),
    'output': {'kernel': np.full((8, 3), step, np.float32)},
  }
  state = TrainState.create(params, optax.adam(1e-3))
  state = state.replace(step=np.int32(step))
  return jax.device_put(state, meshes.shardings(state, meshes.make_mesh(8)))


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A run directory with checkpoints 1 (the best), 2 and 3."""
  workdir = tmp_path_factory.mktemp('saved')
  writer = checkpoints.Checkpoints(workdir)
  for step in (1, 2, 3):
    writer.save(_state(step), {'best': {'step': 1}, 'epoch': step})
  writer.close()
  return workdir


def _files(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


def _restored(workdir):
  """The step that a run resumes from, with the right parameters, or None."""
  reader = checkpoints.Checkpoints(workdir)
  try:
    restored = reader.restore(_state(0))
  finally:
    reader.close()
  if restored is None:
    return None
  state, _ = restored
  for leaf in jax.tree.leaves(state.params):
    assert (np.asarray(leaf) == int(state.step)).all()
  return int(state.step)


def _opened(workdir):
  """The step of the parameters that `load` reads."""
  params = checkpoints.restore_best_params(workdir, _state(0).params)
  (step,) = {float(np.asarray(x).mean()) for x in jax.tree.leaves(params)}
  return step


def _try_all(monkeypatch, workdir, action, expected, stride):
  """Lets each stride-th call fail by each of the errors."""
  before, failures, at = _files(workdir), 0, 1
  while True:
    for number in ERRORS:
      with monkeypatch.context() as patch:
        faults = Faults(patch, workdir, at, number)
        try:
          assert action(workdir) == expected
        except (OSError, ValueError) as error:
          failures += 1
          assert isinstance(error, OSError), error
          assert '\n' not in str(error) and str(workdir) in str(error)
      assert _files(workdir) == before
    if faults.calls < at:
      break
    at += stride
  assert failures > 2
  assert action(workdir) == expected


@pytest.mark.parametrize(
  'stride', [41, pytest.param(1, marks=pytest.mark.slow)]
)
def test_an_error_of_any_call_in_resuming_moves_nothing(
  saved, tmp_path, monkeypatch, stride
):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  _try_all(monkeypatch, workdir, _restored, 3, stride)


@pytest.mark.parametrize('stride', [7, pytest.param(1, marks=pytest.mark.slow)])
def test_an_error_of_any_call_in_loading_moves_nothing(
  saved, tmp_path, monkeypatch, stride
):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  _try_all(monkeypatch, workdir, _opened, 1, stride)
