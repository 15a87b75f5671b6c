"""Signals, in a process of their own."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal
from bigru_jax.runtime import preemption
before = signal.getsignal(signal.SIGINT)
with preemption.stop_on_signals() as stop:
  print(stop(), flush=True)
  os.kill(os.getpid(), signal.SIGTERM)
  print(stop(), flush=True)
print(signal.getsignal(signal.SIGINT) is before, flush=True)
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
  assert done.stdout.split() == ['False', 'True', 'True', 'True']
  assert done.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize('number', ['SIGTERM', 'SIGINT', 'SIGUSR1'])
def test_before_training_a_signal_ends_the_process_at_once(number):
  code = f"""
import os, signal
from bigru_jax.runtime import preemption
with preemption.stop_on_signals():
  os.kill(os.getpid(), signal.{number})
  print('still here', flush=True)
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True
  )
  assert done.returncode == 75
  assert not done.stdout
  assert done.stderr == 'stopped before training started; nothing is lost\n'


def test_a_process_of_a_distributed_run_only_records_the_signal():
  code = """
import os, signal
from bigru_jax.runtime import preemption
with preemption.stop_on_signals(at_once=False) as stop:
  os.kill(os.getpid(), signal.SIGTERM)
  print(stop())
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True
  )
  assert done.returncode == 0
  assert done.stdout == 'True\n'
