"""Repeats operations on buckets that fail, and runs several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
import concurrent.futures
import logging
import random
import time
from typing import Any, TypeVar

from bigru_jax.runtime.preemption import Unavailable

_log = logging.getLogger(__name__)

LONGEST_SECONDS = 60.0  # After this time an operation is not tried again.
_LONGEST_PAUSE_SECONDS = 5.0
_NUM_THREADS = 8

_T = TypeVar('_T')


def retry(where: str, action: Callable[[], _T]) -> _T:
  """Returns the result of an action, which is repeated if it fails.

  The pauses are random and grow. An action that cannot succeed, such as without
  a permission, is not repeated.

  Args:
    where: the field and the name of the object, for messages.
    action: it may be called several times.

  Raises:
    FileNotFoundError: there is no such object.
    OSError: it fails, and would fail again.
    Unavailable: it still fails after a minute.
  """
  give_up = time.monotonic() + LONGEST_SECONDS
  pause, is_reported = 0.2, False
  while True:
    try:
      return action()
    except FileNotFoundError as error:
      raise FileNotFoundError(f'{where}: no such object') from error
    except (TypeError, AttributeError):  # A fault of a program.
      raise
    except Exception as error:  # The packages have their own types.
      if _is_final(error):
        raise OSError(f'{where}: {_reason(error)}') from error
      if time.monotonic() + pause > give_up:
        raise Unavailable(f'{where}: {_reason(error)}') from error
      if not is_reported:
        _log.warning('%s: %s; it is tried again', where, _reason(error))
        is_reported = True
    time.sleep(random.uniform(0, pause))
    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _is_final(error: Exception) -> bool:
  """Returns whether an operation would fail again."""
  if isinstance(error, PermissionError | NotImplementedError):
    return True
  # Of gcsfs, which has no type of its own for either.
  if str(error).startswith('Forbidden') or getattr(error, 'code', 0) == 401:
    return True
  names = [kind.__name__ for kind in type(error).__mro__]
  return any('Credential' in name for name in names)


def _reason(error: Exception) -> str:
  return ' '.join(str(error).split())[:300] or type(error).__name__


def run_all(actions: Iterable[Callable[[], _T]]) -> list[_T]:
  """Runs actions on several threads, and returns their results in order.

  If one fails, those that have not begun are left out.
  """
  with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as threads:
    tasks: list[concurrent.futures.Future[Any]] = [
      threads.submit(action) for action in actions
    ]
    try:
      return [task.result() for task in tasks]
    except BaseException:
      threads.shutdown(wait=False, cancel_futures=True)
      raise
