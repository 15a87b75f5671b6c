"""System errors while a run resumes or is loaded, which move no file."""

import builtins
import contextlib
import errno
import grp  # noqa: F401  (Orbax imports it late.)
import io
import itertools
import json
import os
import pathlib
import shutil
import tempfile
import threading

import jax
import numpy as np
import optax
import pytest

from bigru_jax import Config, load, parallel, train
from bigru_jax.rundir import best_params, checkpoints, restoring
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
  """Makes one file-system call below a folder fail, or all from then on.

  Attributes:
    calls: the number of calls so far.
  """

  def __init__(self, monkeypatch, folder, at, number, lasting):
    self.calls, self._at, self._number = 0, at, number
    self._lasting = lasting
    self._folder, self._lock = str(folder), threading.Lock()
    for module, name in _FUNCTIONS:
      monkeypatch.setattr(module, name, self._wrap(getattr(module, name)))

  def _count(self, path):
    with self._lock:
      self.calls += 1
      if self.calls == self._at or (self._lasting and self.calls > self._at):
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
  """An open file whose reads may fail."""

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
  return jax.device_put(state, parallel.shardings(state, parallel.make_mesh(8)))


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
  params = best_params.restore(workdir, _state(0).params)
  (step,) = {float(np.asarray(x).mean()) for x in jax.tree.leaves(params)}
  return step


def _try_all(monkeypatch, workdir, action, expected, stride):
  """Makes each stride-th call fail with each of the errors."""
  before, failures, at = _files(workdir), 0, 1
  while True:
    for number, lasting in itertools.product(ERRORS, (False, True)):
      with monkeypatch.context() as patch:
        faults = Faults(patch, workdir, at, number, lasting)
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
def test_a_system_error_while_resuming_moves_no_file(
  saved, tmp_path, monkeypatch, stride
):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  _try_all(monkeypatch, workdir, _restored, 3, stride)


@pytest.mark.parametrize('stride', [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_system_error_while_loading_moves_no_file(
  saved, tmp_path, monkeypatch, stride
):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  _try_all(monkeypatch, workdir, _opened, 1, stride)


@contextlib.contextmanager
def _as_nobody():
  """Drops root's rights in all threads."""
  os.seteuid(65534)
  try:
    yield
  finally:
    os.seteuid(0)


@pytest.fixture
def open_folder():
  """A folder that every user may read; those of pytest are their owner's."""
  if os.geteuid():
    pytest.skip('taking rights away needs root')
  folder = pathlib.Path(tempfile.mkdtemp())
  folder.chmod(0o777)
  yield folder
  shutil.rmtree(folder)


@pytest.mark.parametrize(
  'pattern',
  ['*', '3', '3/metadata', '3/metadata/metadata', '3/state', '3/state/d',
   '3/state/d/*', '3/state/manifest.ocdbt', '3/state/_METADATA',
   '1/state/d/*', '.'],
)  # fmt: skip
def test_unreadable_files_are_not_moved(saved, open_folder, pattern):
  workdir = shutil.copytree(saved, open_folder / 'run')
  _restored(workdir)  # Imports what root alone may read.
  folder = workdir / 'checkpoints'
  paths = [folder] if pattern == '.' else list(folder.glob(pattern))
  assert paths
  for path in [workdir, *workdir.rglob('*')]:
    path.chmod(0o777 if path.is_dir() else 0o666)
  for path in paths:
    path.chmod(0o000)
  before = _files(workdir)
  with _as_nobody(), pytest.raises(OSError, match='Permission denied') as info:
    _restored(workdir)
  assert str(paths[0]) in str(info.value)  # The file, and no folder of it.
  assert '\n' not in str(info.value) and str(workdir) in str(info.value)
  assert _files(workdir) == before
  for path in paths:
    path.chmod(0o777)
  assert _restored(workdir) == 3


def test_checkpoints_that_cannot_be_written_stop_a_run_before_it_trains(
  saved, open_folder, capfd
):
  workdir = shutil.copytree(saved, open_folder / 'run')
  _restored(workdir)  # Imports what root alone may read.
  for mode in (0o555, 0o000):
    (workdir / 'checkpoints').chmod(mode)
    with _as_nobody(), pytest.raises(OSError) as info:
      checkpoints.Checkpoints(workdir)
    assert str(info.value) == (
      f'workdir={workdir}: cannot save in {workdir}/checkpoints: '
      'Permission denied; the last good checkpoint stays'
    )
  (workdir / 'checkpoints').chmod(0o777)
  assert 'Traceback' not in ''.join(capfd.readouterr())
  assert _restored(workdir) == 3


def test_checkpoints_of_another_dtype_or_shape_are_not_corrupt(saved, tmp_path):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  before = _files(workdir)
  state = _state(0)
  for change in (
    lambda x: np.zeros(x.shape, np.float64),
    lambda x: np.zeros((*x.shape[:-1], 5), x.dtype),
  ):
    params = jax.tree.map(change, jax.device_get(state.params))
    other = state.replace(params=_on_one_device(params))
    reader = checkpoints.Checkpoints(workdir)
    with pytest.raises(ValueError, match='another train state.*params/'):
      reader.restore(other)
    reader.close()
    with pytest.raises(ValueError, match='another train state.*params/'):
      best_params.restore(workdir, other.params)
  assert _files(workdir) == before


def _on_one_device(params):
  sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), params
  )


def test_a_missing_best_checkpoint_stops_the_run(saved, tmp_path):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  os.rename(workdir / 'checkpoints' / '1', tmp_path / 'elsewhere')
  before = _files(workdir)
  with pytest.raises(OSError, match='checkpoints/1, the best .* is missing'):
    _restored(workdir)
  assert _files(workdir) == before
  os.rename(tmp_path / 'elsewhere', workdir / 'checkpoints' / '1')
  assert _restored(workdir) == 3


def test_running_out_of_memory_is_not_corruption(saved, tmp_path, monkeypatch):
  workdir = shutil.copytree(saved, tmp_path / 'run')
  before = _files(workdir)

  def fail(*args):
    raise MemoryError

  with monkeypatch.context() as patch:
    patch.setattr(restoring, '_read_arrays', fail)
    with pytest.raises(MemoryError):
      _restored(workdir)
  assert _files(workdir) == before


@pytest.mark.slow
def test_a_run_with_unreadable_checkpoints_resumes_later(open_folder):
  """Another user resumes, as after chown -R and chmod 600."""
  texts = [f'a {x} film {i}' for i in range(40) for x in ('good', 'bad')]
  corpus = {'train': (texts, ['pos', 'neg'] * 40)}
  sizes = {
    'hidden_size': 4,
    'embedding_size': 4,
    'batch_size': 16,
    'schedule': 'constant',
    'warmup': 0.0,
  }
  workdir, undisturbed = open_folder / 'run', open_folder / 'other'
  train(Config(epochs=2, **sizes), undisturbed, corpus)
  train(Config(epochs=1, **sizes), workdir, corpus)
  for path in [workdir, *workdir.rglob('*')]:
    path.chmod(0o777 if path.is_dir() else 0o666)
  for path in (workdir / 'checkpoints').rglob('*'):
    if path.is_file():
      path.chmod(0o600)
  before = _files(workdir)
  with _as_nobody():
    with pytest.raises(OSError, match='Permission denied'):
      train(Config(epochs=2, **sizes), workdir, corpus)
    with pytest.raises(OSError, match='Permission denied'):
      load(workdir)
  assert _files(workdir) == before
  train(Config(epochs=2, **sizes), workdir, corpus)
  results = [
    json.loads((x / 'result.json').read_text()) for x in (workdir, undisturbed)
  ]
  assert results[0]['test'] == results[1]['test']
