"""Missing files stop a run, and no file is changed."""

import dataclasses
import json
import os
import shutil

import jax
import pytest

from bigru_jax import Config, load, parallel, train
from bigru_jax.evaluation.calibration import read_calibration
from bigru_jax.rundir import (
  best_params,
  checkpoints,
  files as run_files,
  missing,
)
from bigru_jax.runtime.preemption import Preempted

TEXTS = [f'a {x} film {i}' for i in range(20) for x in ('good', 'bad')]
CORPUS = {'train': (TEXTS, ['pos', 'neg'] * 20)}
CONFIG = Config(
  epochs=2, hidden_size=4, embedding_size=4, batch_size=16,
  schedule='constant', warmup=0.0,
)  # fmt: skip
LONGER = dataclasses.replace(CONFIG, epochs=3)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('finished') / 'run'
  train(CONFIG, workdir, CORPUS)
  return workdir


@pytest.fixture
def workdir(finished, tmp_path):
  return shutil.copytree(finished, tmp_path / 'run')


def _content(workdir):
  """Every path of a run directory, with its bytes or its link's target."""
  return {
    path: os.readlink(path)
    if path.is_symlink()
    else path.is_file() and path.read_bytes()
    for path in workdir.rglob('*')
    if path.name != 'lock'
  }


def _newest(workdir):
  return max((workdir / 'checkpoints').iterdir(), key=lambda x: int(x.name))


def _stops(workdir, message, config=LONGER):
  """Asserts that training stops with one line and changes no file."""
  before = _content(workdir)
  with pytest.raises((OSError, ValueError), match=message) as info:
    train(config, workdir, CORPUS)
  assert '\n' not in str(info.value) and str(workdir) in str(info.value)
  assert _content(workdir) == before


def _corrupt(folder):
  for path in (folder / 'state' / 'd').iterdir():
    path.write_bytes(path.read_bytes()[:-1])


def _empty(workdir):
  shutil.rmtree(workdir / 'checkpoints')
  (workdir / 'checkpoints').mkdir()


def _remove(workdir):
  shutil.rmtree(workdir / 'checkpoints')


def _unmount(workdir):
  """Makes checkpoints/ look like a link to an unmounted disk."""
  shutil.rmtree(workdir / 'checkpoints')
  (workdir / 'checkpoints').symlink_to('/not/mounted')


@pytest.mark.parametrize(
  'take_away, message',
  [
    (_empty, r'checkpoints/ is empty, but .* checkpoint \d+ was saved'),
    (_remove, r'checkpoints/ is missing, but .* checkpoint \d+ was saved'),
    (_unmount, 'checkpoints is a link to /not/mounted, which is missing'),
  ],
)
def test_a_run_without_its_checkpoints_stops(workdir, take_away, message):
  take_away(workdir)
  _stops(workdir, message)
  _stops(workdir, message, CONFIG)
  with pytest.raises(OSError, match=message):
    load(workdir)
  # Neither a run that was stopped has a result, nor an old one the record.
  (workdir / 'result.json').unlink()
  _stops(workdir, message)


def test_a_run_without_checkpoints_and_without_their_record_stops(workdir):
  (workdir / missing.SAVED).unlink()
  train(CONFIG, workdir, CORPUS)
  _empty(workdir)
  _stops(workdir, 'checkpoints/ is empty, but result.json says')


def test_a_record_that_cannot_be_read_is_named(workdir):
  _empty(workdir)
  for content in ('', '[]', '{"step": 1}', '{"step": "1", "time_ns": 2}'):
    (workdir / missing.SAVED).write_text(content)
    _stops(workdir, f'{missing.SAVED}')


def test_a_run_that_stopped_in_its_first_epoch_is_not_restarted(
  tmp_path,
):
  """It has saved a checkpoint, but metrics.jsonl has no line."""
  workdir = tmp_path / 'run'
  asked = iter([False, True])
  with pytest.raises(Preempted, match='stopped at epoch 1, batch 1'):
    train(CONFIG, workdir, CORPUS, stop=lambda: next(asked))
  assert not (workdir / 'metrics.jsonl').read_text()
  _empty(workdir)
  _stops(workdir, 'checkpoints/ is empty, but .* checkpoint 1 was saved')


def test_a_run_that_was_killed_before_its_first_checkpoint_restarts(
  finished, tmp_path, monkeypatch
):
  workdir = tmp_path / 'run'

  def kill(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(checkpoints.Checkpoints, 'save', kill)
    with pytest.raises(KeyboardInterrupt):
      train(CONFIG, workdir, CORPUS)
  assert (workdir / 'metrics.jsonl').read_text()  # The first epoch.
  (workdir / 'checkpoints' / '3.orbax-checkpoint-tmp').mkdir()
  train(CONFIG, workdir, CORPUS)
  assert _test(workdir) == _test(finished)


def test_a_run_whose_checkpoints_are_all_corrupt_restarts(
  workdir, finished, monkeypatch
):
  for folder in (workdir / 'checkpoints').iterdir():
    _corrupt(folder)
  # It is stopped when they are in quarantine.
  with pytest.raises(Preempted, match='stopped at epoch 1, batch 0'):
    train(CONFIG, workdir, CORPUS, stop=lambda: True)
  assert not list((workdir / 'checkpoints').iterdir())
  train(CONFIG, workdir, CORPUS)
  assert _test(workdir) == _test(finished)
  assert list((workdir / 'quarantine').iterdir())
  # Quarantined checkpoints do not explain the missing new ones.
  _empty(workdir)
  _stops(workdir, 'checkpoints/ is empty')


def _test(workdir):
  return json.loads((workdir / 'result.json').read_text())['test']


@pytest.mark.parametrize('leave_links', [False, True])
@pytest.mark.parametrize(
  'part',
  ['*', 'state', 'state/*', 'state/_METADATA', 'state/manifest.ocdbt',
   'state/d', 'state/d/*', 'metadata', 'metadata/*', 'metadata/metadata'],
)  # fmt: skip
def test_a_checkpoint_that_lacks_a_file_is_not_corrupt(
  tmp_path, part, leave_links
):
  workdir, state = tmp_path / 'run', _state(2)
  writer = checkpoints.Checkpoints(workdir)
  for step in (1, 2):
    writer.save(_state(step), {'best': {'step': step}})
  writer.close()
  for path in list((workdir / 'checkpoints' / '2').glob(part)):
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if leave_links:
      path.symlink_to('/not/mounted')
  before = _content(workdir)
  message = f'checkpoint 2 is incomplete: {workdir}/checkpoints/2/'
  reader = checkpoints.Checkpoints(workdir)
  reads = [
    lambda: reader.restore(state),
    lambda: best_params.restore(workdir, state.params),
  ]
  # The parameters are read, and fit their checksums, without that file.
  for read in reads[: 1 if part == 'state/_METADATA' else 2]:
    with pytest.raises(OSError, match=message) as info:
      read()
    assert '\n' not in str(info.value)
  reader.close()
  assert _content(workdir) == before


def _state(step):
  state = _Saved(
    step=jax.numpy.int32(step), params={'kernel': jax.numpy.ones((3, 4))}
  )
  return parallel.place(
    state,
    jax.tree.map(lambda _: parallel.replicated(parallel.make_mesh(8)), state),
  )


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class _Saved:
  """The part of a train state that checkpoints need."""

  step: jax.Array
  params: dict[str, jax.Array]
  evaluated = 'params'


def test_a_truncated_file_is_corrupt(workdir, finished):
  """A file is truncated, as after a power failure during a save."""
  (_newest(workdir) / 'state' / 'manifest.ocdbt').write_bytes(b'')
  train(CONFIG, workdir, CORPUS)
  assert len(list((workdir / 'quarantine').iterdir())) >= 1
  assert _test(workdir) == _test(finished)


def test_an_unfinished_save_is_ignored(workdir, finished):
  newest = _newest(workdir)
  unfinished = newest.with_name('999.orbax-checkpoint-tmp')
  shutil.copytree(newest, unfinished)
  (unfinished / 'state' / 'manifest.ocdbt').unlink()
  train(CONFIG, workdir, CORPUS)
  assert not unfinished.exists()
  assert _test(workdir) == _test(finished)
  assert not (workdir / 'quarantine').exists()


def test_a_checkpoint_that_is_not_a_folder_stops_training_and_loading(workdir):
  newest = _newest(workdir)
  shutil.rmtree(newest)
  for make, message in (
    (lambda: newest.symlink_to('/not/mounted'), 'a link to /not/mounted'),
    (newest.touch, 'a file, not a checkpoint'),
  ):
    make()
    _stops(workdir, f'{newest} is {message}')
    with pytest.raises(OSError, match=message):
      load(workdir)
    newest.unlink()


@pytest.mark.parametrize('name', ['config.json', 'data.json', 'labels.json'])
def test_a_run_without_a_file_that_describes_it_stops(workdir, name):
  (workdir / name).unlink()
  _stops(workdir, f'no {name}')
  (workdir / name).symlink_to('/not/mounted')
  _stops(workdir, f'{name} is a link to /not/mounted, which is missing')
  with pytest.raises(FileNotFoundError, match=f'{name} is a link to'):
    load(workdir)


@pytest.mark.parametrize('name', ['result.json', 'calibration.json'])
def test_a_broken_link_is_not_taken_for_a_missing_file(workdir, name):
  (workdir / name).unlink()
  (workdir / name).symlink_to('/not/mounted')
  with pytest.raises(OSError, match=f'{name} is a link to /not/mounted'):
    if name == 'result.json':
      run_files.read_result(workdir)
    else:
      read_calibration(workdir, ['a', 'b'], 'single_label')


def test_a_failed_save_raises_one_error_without_tracebacks(tmp_path, caplog):
  writer = checkpoints.Checkpoints(tmp_path / 'run')
  folder = tmp_path / 'run' / 'checkpoints'
  os.rename(folder, tmp_path / 'elsewhere')
  folder.touch()
  with pytest.raises(OSError, match='cannot save in') as info:
    writer.save(_state(1), {'best': None})
    writer.wait()
  writer.close()
  assert '\n' not in str(info.value)
  assert not [x for x in caplog.records if x.exc_info]
