"""Signals that ask a run to save and exit."""

from collections.abc import Callable, Iterator
import contextlib
import os
import signal

EXIT_STATUS = 75  # EX_TEMPFAIL: a scheduler may start the run again.


class Preempted(Exception):
  """The run was asked to stop, and has saved its progress."""


class Unavailable(OSError):
  """A service does not answer for now; the same command resumes."""


@contextlib.contextmanager
def stop_on_signals(at_once: bool = True) -> Iterator[Callable[[], bool]]:
  """Catches SIGTERM, SIGINT and SIGUSR1 while the context lasts.

  Windows has no SIGUSR1.
  A second SIGINT exits at once. The previous handlers are restored at the end.

  Args:
    at_once: whether a signal ends the process at once while there is nothing to
      save. In a distributed run it must not: the processes end together when
      training would start.

  Yields:
    A function that returns whether the run is asked to stop. It is called for
    the first time when training starts; until then there is nothing to save,
    and a signal ends the process with `EXIT_STATUS`.
  """
  received: list[int] = []
  asked = False

  def handle(number, frame):
    del frame
    if number == signal.SIGINT and number in received:
      os._exit(128 + number)
    received.append(number)
    # An exception could be raised, and swallowed, anywhere.
    if at_once and not asked:
      os.write(2, b'stopped before training started; nothing is lost\n')
      os._exit(EXIT_STATUS)

  def stop():
    nonlocal asked
    asked = True
    return bool(received)

  names = 'SIGTERM', 'SIGINT', 'SIGUSR1'
  numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
  before = {number: signal.signal(number, handle) for number in numbers}
  try:
    yield stop
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
