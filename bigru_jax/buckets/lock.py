"""The lock of a folder in a bucket, for machines that share no disk.

A lock is an object `locks/<number>.json`, which its owner rewrites again and
again: its heartbeat. A process takes over from a dead owner by creating the
object of the next number, unless it exists, so of several contenders one
succeeds. No clock is compared with that of another machine: a contender watches
whether the heartbeat changes.
"""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import json
import logging
import os
import re
import socket
import threading
import time
from typing import Any
import uuid

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.runtime.preemption import Unavailable

_log = logging.getLogger(__name__)

_BEATS_PER_TIMEOUT = 4
_LOCK = re.compile(r'locks/(\d+)\.json')


class Lock:
  """A lock that this process holds, or has lost.

  Attributes:
    number: it is larger than those of all earlier owners.
  """

  def __init__(
    self, bucket: Bucket, number: int, content: dict[str, Any], timeout: float
  ) -> None:
    self._bucket, self.number, self._content = bucket, number, content
    self._timeout = timeout
    self._ended = threading.Event()
    self._failure: OSError | None = None
    self._thread = threading.Thread(target=self._beat, daemon=True)
    self._thread.start()

  def is_lost(self) -> bool:
    """Returns whether another process has, or may have, the lock."""
    return bool(self._failure)

  def check(self) -> None:
    """Raises OSError where another process has, or may have, the lock.

    It is `Unavailable` if the bucket did not answer for so long that another
    process may take over.
    """
    if self._failure:
      raise self._failure

  def check_now(self) -> None:
    """Asks the bucket, and raises OSError where the lock is another's."""
    self.check()
    number, key = latest(self._bucket)
    if number != self.number or not self._is_ours(key):
      self._failure = OSError(
        f'workdir={self._bucket.name}: another process has taken over, since '
        'this one gave no sign of life'
      )
      self.check()

  def _is_ours(self, key: str) -> bool:
    """Returns whether this process wrote a lock.

    It always did, unless a server ignores that an object was to be created only
    if there was none.
    """
    return _read(self._bucket, key)[1]['id'] == self._content['id']

  def _beat(self) -> None:
    last = time.monotonic()
    while not self._ended.wait(self._timeout / _BEATS_PER_TIMEOUT):
      try:
        self.check_now()
        self._content['beat'] += 1
        write(self._bucket, self.number, self._content)
        last = time.monotonic()
      except OSError as error:
        if self._failure:
          return
        if time.monotonic() - last > self._timeout:
          self._failure = Unavailable(str(error))
          return

  def release(self) -> None:
    """Lets the next process have the lock at once."""
    self._ended.set()
    self._thread.join()
    if not self._failure:
      self._content['is_held'] = False
      write(self._bucket, self.number, self._content)


@contextlib.contextmanager
def locked(bucket: Bucket, timeout: float) -> Iterator[Lock]:
  """Locks a folder in a bucket.

  Args:
    bucket: the folder.
    timeout: the seconds without a heartbeat after which its owner counts as
      dead; or those of the owner, if these are more.

  Raises:
    ValueError: another process has locked it; the message names the process.
    OSError: the bucket cannot be read or written.
  """
  lock = _acquire(bucket, timeout)
  try:
    yield lock
  finally:
    # The lock of a process that cannot release it becomes free by itself, and
    # the error that ends this one is worth more.
    with contextlib.suppress(OSError):
      lock.release()


def latest(bucket: Bucket) -> tuple[int, str]:
  """Returns the number and the key of the newest lock; 0 if there is none."""
  matches = map(_LOCK.fullmatch, bucket.keys('locks'))
  numbered = [(int(match[1]), match[0]) for match in matches if match]
  return max(numbered, default=(0, ''))


def write(bucket: Bucket, number: int, content: dict[str, Any]) -> None:
  """Rewrites a lock, which only its owner does."""
  bucket.write(f'locks/{number:09}.json', json.dumps(content).encode())


def _acquire(bucket: Bucket, timeout: float) -> Lock:
  content = {
    'host': socket.gethostname(),
    'process': os.getpid(),
    'id': uuid.uuid4().hex,
    'beat': 0,
    'timeout': timeout,
    'is_held': True,
  }
  encoded = json.dumps(content).encode()
  seen, since = b'', 0.0
  while True:
    # A heartbeat is known to be the same from the end of the first reading to
    # the beginning of this one, however long this process is paused.
    now = time.monotonic()
    number, key = latest(bucket)
    try:
      current, holder = _read(bucket, key) if key else (b'', {'is_held': False})
    except FileNotFoundError:  # Its owner is gone, and the next one removed it.
      continue
    if not holder['is_held'] or (
      current == seen and now - since > max(timeout, holder['timeout'])
    ):
      number += 1
      is_created = bucket.create(f'locks/{number:09}.json', encoded)
      # One may succeed in creating an old lock that was removed meanwhile.
      newest, key = latest(bucket)
      if is_created and newest == number:
        _remove_old(bucket, number)
        return Lock(bucket, number, content, timeout)
      raise _in_use(bucket, _read(bucket, key)[1])
    if seen and current != seen:
      raise _in_use(bucket, holder)
    if not seen:
      seen, since = current, time.monotonic()
      _log.warning(
        'workdir=%s is locked by process %s on %s; without a sign of life for '
        '%d s, this command takes over',
        bucket.name,
        holder['process'],
        holder['host'],
        max(timeout, holder['timeout']),
      )
    time.sleep(timeout / (2 * _BEATS_PER_TIMEOUT))


def _read(bucket: Bucket, key: str) -> tuple[bytes, dict[str, Any]]:
  """Returns a lock as it is stored, and its content."""
  encoded = bucket.read(key)
  try:
    content = json.loads(encoded)
  except ValueError:
    content = None
  # An error of another type would end the heartbeat without a word.
  if not isinstance(content, dict) or 'id' not in content:
    raise OSError(f'workdir={bucket.name}/{key} is corrupt')
  return encoded, content


def _remove_old(bucket: Bucket, number: int) -> None:
  """Removes the locks before that of the last owner."""
  first = f'locks/{number - 1:09}.json'
  bucket.remove(key for key in bucket.keys('locks') if key < first)


def _in_use(bucket: Bucket, holder: dict[str, Any]) -> ValueError:
  return ValueError(
    f'workdir={bucket.name} is in use by process {holder["process"]} on '
    f'{holder["host"]}'
  )
