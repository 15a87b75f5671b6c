"""Signals, in a process of their own."""

import signal
import subprocess
import sys

SCRIPT = """
import os, signal
from bigru_jax.runtime import preemption
before = signal.getsignal(signal.SIGINT)
with preemption.stop_on_signals() as stop:
  print(stop(), flush=True)
  os.kill(os.getpid(), signal.SIGTERM)
  print(stop(), flush=True)
print(signal.getsignal(signal.SIGINT) is before, flush=True)
try:
  with preemption.stop_on_signals() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
except preemption.Preempted as reason:
  print(reason, flush=True)
with preemption.stop_on_signals() as stop:
  stop()
  os.kill(os.getpid(), signal.SIGINT)
  print(stop(), flush=True)
  os.kill(os.getpid(), signal.SIGINT)
  print('still here', flush=True)
"""


def test_signals_are_caught_and_handlers_restored_and_a_second_sigint_exits():
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT], capture_output=True, text=True
  )
  assert done.stdout.splitlines() == [
    'False', 'True', 'True', 'stopped before training started', 'True',
  ]  # fmt: skip
  assert done.returncode == 128 + signal.SIGINT
