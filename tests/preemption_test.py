"""Signals, in a process of their own."""

import signal
import subprocess
import sys

SCRIPT = """
import os, signal
from bigru_jax import preemption
stop = preemption.StopSignals()
print(stop(), flush=True)
os.kill(os.getpid(), signal.SIGINT)
print(stop(), flush=True)
os.kill(os.getpid(), signal.SIGINT)
print('still here', flush=True)
"""


def test_a_second_sigint_leaves_at_once():
  done = subprocess.run(
    [sys.executable, '-c', SCRIPT], capture_output=True, text=True
  )
  assert done.stdout.split() == ['False', 'True']
  assert done.returncode == 128 + signal.SIGINT
