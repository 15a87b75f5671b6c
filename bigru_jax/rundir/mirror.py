"""Training in a bucket: a copy on the local disk, mirrored after each save.

Process 0 holds the lock of the run, and copies its directory to the bucket on a
thread: training never waits for the network. Each process starts with a copy of
the newest manifest, so the processes need to share nothing but the bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import functools
import itertools
import os
import pathlib
import shutil
import threading

import jax

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.buckets.lock import Lock, locked
from bigru_jax.buckets.retries import run_all
from bigru_jax.rundir import lock as local_lock, manifest
from bigru_jax.runtime import distributed
from bigru_jax.runtime.preemption import Preempted

LOCK_TIMEOUT = 60.0  # Seconds.
_MOST_SNAPSHOTS = 9  # That are begun until one is complete.


@contextlib.contextmanager
def mirrored(
  name: str, lock_timeout: float
) -> Iterator[tuple[pathlib.Path, Mirror | None]]:
  """Locks a run in a bucket, and makes a copy of it on the local disk.

  At the end, what the copy holds is in the bucket, also after an error.

  Args:
    name: the name of the run, such as `gs://bucket/runs/mine`.
    lock_timeout: see `buckets.lock.locked`.

  Yields:
    The copy, a run directory; and on process 0 its mirror.

  Raises:
    ValueError: another process has locked the run, or it is corrupt; or see
      `Bucket`.
    OSError: the bucket cannot be read or written.
  """
  root = manifest.local_folder(name) / f'process-{jax.process_index()}'
  folder = root / 'run'
  mirror: Mirror | None = None
  files: manifest.Files = {}
  with contextlib.ExitStack() as stack:
    with distributed.agreed():
      if name.startswith('az:'):
        raise ValueError(f'workdir={name}: a run in az:// is only read')
      if not name.partition('://')[2].strip('/').count('/'):
        raise ValueError(f'workdir={name}: name a folder in the bucket')
      bucket = Bucket(name, 'workdir')
      with _named(root, name):
        stack.enter_context(local_lock.locked(root))
      for snapshot in root.glob('snapshot-*'):  # Of a killed process.
        shutil.rmtree(snapshot)
      if distributed.is_main():
        lock = stack.enter_context(locked(bucket, lock_timeout))
        files = manifest.restore_newest(bucket, folder)
        mirror = Mirror(bucket, lock, folder, files)
    files = distributed.gather(files)[0]
    with distributed.agreed():
      if not mirror:
        manifest.restore(bucket, files, folder)
    try:
      with _named(folder, name):
        yield folder, mirror
    except BaseException as error:
      # After any other error, the other processes may be gone.
      is_common = isinstance(error, Preempted)
      with distributed.agreed() if is_common else contextlib.nullcontext():
        if mirror:
          mirror.close()
      raise
    with distributed.agreed():  # The other processes wait for process 0.
      if mirror:
        mirror.close()


@contextlib.contextmanager
def _named(folder: pathlib.Path, name: str) -> Iterator[None]:
  """Names the run, instead of its local copy, in the messages of errors."""
  try:
    yield
  except (ValueError, OSError) as error:
    message = str(error)
    if f'workdir={folder}' not in message:
      raise
    raise type(error)(
      message.replace(f'workdir={folder}', f'workdir={name}')
    ) from error


class Mirror:
  """Copies a run directory to a bucket, on a thread.

  One copy is under way at a time. Of those that are asked for meanwhile, the
  last one follows.
  """

  def __init__(
    self,
    bucket: Bucket,
    lock: Lock,
    folder: pathlib.Path,
    files: manifest.Files,
  ) -> None:
    self._bucket, self._lock, self._folder = bucket, lock, folder
    self._files = files  # What the bucket holds.
    self._digests: dict[tuple[int, int, int], str] = {}
    self._numbers = itertools.count(1)
    self._changed = threading.Condition()
    self._waiting: pathlib.Path | None = None
    self._is_closing = False
    self._failure: Exception | None = None
    if files:
      # Whatever an earlier owner still writes now comes before the newest
      # manifest, so nobody reads it.
      self._write_manifest(files)
    self._thread = threading.Thread(target=self._copy_all, daemon=True)
    self._thread.start()

  def check(self) -> None:
    """Raises the error of a copy, or OSError where the lock was lost."""
    self._lock.check()
    if self._failure:
      raise self._failure

  def has_failed(self) -> bool:
    """Returns whether `check` raises an error."""
    return bool(self._failure) or self._lock.is_lost()

  def update(self) -> None:
    """Asks for a copy of the directory as it is now; returns at once."""
    snapshot = self._take_snapshot()
    with self._changed:
      replaced, self._waiting = self._waiting, snapshot
      self._changed.notify()
    if replaced:
      shutil.rmtree(replaced)

  def close(self) -> None:
    """Copies the directory a last time, and waits until it is in the bucket.

    Raises:
      OSError: it could not be copied; the last manifest stays.
    """
    has_begun = (self._folder / 'config.json').exists()
    if has_begun and not self.has_failed():
      self.update()
    with self._changed:
      self._is_closing = True
      self._changed.notify()
    self._thread.join()
    self.check()

  def _take_snapshot(self) -> pathlib.Path:
    """Returns a copy of the directory, in which large files are hard links.

    The files of a complete checkpoint do not change, but may be removed while
    they are copied; the copy is then begun anew.
    """
    snapshot = self._folder.with_name(f'snapshot-{next(self._numbers)}')
    for _ in range(_MOST_SNAPSHOTS):
      shutil.rmtree(snapshot, ignore_errors=True)
      try:
        for path in _files_of(self._folder):
          target = snapshot / path.relative_to(self._folder)
          target.parent.mkdir(parents=True, exist_ok=True)
          is_fixed = self._folder / 'checkpoints' in path.parents
          (os.link if is_fixed else shutil.copy2)(path, target)
        return snapshot
      except FileNotFoundError as error:
        missing = error.filename
    raise OSError(f'workdir={self._bucket.name}: {missing} was removed')

  def _copy_all(self) -> None:
    while True:
      with self._changed:
        self._changed.wait_for(lambda: self._waiting or self._is_closing)
        snapshot, self._waiting = self._waiting, None
      if not snapshot:
        return
      try:
        self._copy(snapshot)
      except Exception as error:  # The next `check` raises it.
        self._failure = error
        return
      finally:
        shutil.rmtree(snapshot, ignore_errors=True)

  def _copy(self, snapshot: pathlib.Path) -> None:
    """Copies a snapshot to the bucket, and its manifest last."""
    objects = {x['sha256']: x['object'] for x in self._files.values()}
    files: manifest.Files = {}
    new: dict[str, pathlib.Path] = {}
    for path in _files_of(snapshot):
      sha256 = self._digest(path)
      key = objects.setdefault(
        sha256, f'objects/{self._lock.number:09}/{sha256}'
      )
      files[path.relative_to(snapshot).as_posix()] = {
        'object': key,
        'size': path.stat().st_size,
        'sha256': sha256,
      }
      new[key] = path
    if files == self._files:
      return
    known = {entry['object'] for entry in self._files.values()}
    run_all(
      functools.partial(self._bucket.upload, path, key)
      for key, path in new.items()
      if key not in known
    )
    self._lock.check_now()
    self._write_manifest(files)
    self._files = files
    self._remove_unused()

  def _write_manifest(self, files: manifest.Files) -> None:
    """Makes these files the run.

    A process that has lost the lock without knowing it cannot replace what the
    next owner writes: the number of the lock comes first.
    """
    name = f'{self._lock.number:09}-{next(self._numbers):09}'
    self._bucket.write(f'manifests/{name}.json', manifest.encode(files))

  def _digest(self, path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file, computed once for each."""
    status = path.stat()
    key = status.st_ino, status.st_size, status.st_mtime_ns
    if key not in self._digests:
      self._digests[key] = manifest.file_sha256(path)
    return self._digests[key]

  def _remove_unused(self) -> None:
    """Removes what the last two intact manifests do not name.

    It leaves the objects of later owners of the lock, which this process does
    not know if it has just lost it.
    """
    old = manifest.keys(self._bucket)
    used: set[str] = set()
    num_intact = 0
    while old and num_intact < 2:
      with contextlib.suppress(manifest.CorruptError):
        files = manifest.read(self._bucket, old.pop(0))
        used.update(entry['object'] for entry in files.values())
        num_intact += 1
    last = f'objects/{self._lock.number:09}0'
    self._bucket.remove(old)
    self._bucket.remove(
      key
      for key in self._bucket.keys('objects')
      if key not in used and key < last
    )


def _files_of(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the files of a run directory that are complete."""
  for parent, folders, names in os.walk(folder):
    folders[:] = [x for x in folders if 'orbax-checkpoint-tmp' not in x]
    for name in names:
      if name != 'lock' and not name.endswith('.partial'):
        yield pathlib.Path(parent, name)
