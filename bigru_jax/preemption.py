"""Stopping in time: signals that ask a run to save and go."""

import os
import signal

EXIT_STATUS = 75  # EX_TEMPFAIL: a scheduler may start the run again.


class Preempted(Exception):
  """The run was asked to stop, and has saved what it did."""


class StopSignals:
  """Notes SIGTERM, SIGINT and SIGUSR1; a second SIGINT leaves at once."""

  def __init__(self):
    self.received = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
      signal.signal(number, self._note)

  def _note(self, number, frame):
    del frame
    if number == signal.SIGINT and number in self.received:
      os._exit(128 + number)
    self.received.append(number)

  def __call__(self):
    """Whether the run shall stop."""
    return bool(self.received)
