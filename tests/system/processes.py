"""Real processes on this machine that train one run together."""

import os
import pathlib
import socket
import subprocess
import sys

from scripts import command


def free_port():
  """A port that nobody listens at."""
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


def start(count, workdir, *flags, devices=1):
  """Starts `run.py` as so many processes; their logs are files beside it.

  Args:
    count: how many.
    workdir: the run directory.
    *flags: of run.py.
    devices: XLA host devices of each.
  """
  address = f'127.0.0.1:{free_port()}'
  processes = []
  for i in range(count):
    log = pathlib.Path(f'{workdir}.{i}.log').open('w')
    processes.append(
      subprocess.Popen(
        command(
          'run.py', f'--workdir={workdir}', f'--coordinator={address}',
          f'--num_processes={count}', f'--process_id={i}',
          f'--cpu_devices={devices}', *flags,
        ),
        stdout=log,
        stderr=log,
        env=os.environ,
      )
    )  # fmt: skip
  return processes


def wait(processes, workdir, timeout=240):
  """The exit statuses and the logs; none is left running."""
  try:
    statuses = [process.wait(timeout) for process in processes]
  finally:
    for process in processes:
      process.kill()
  return statuses, [
    pathlib.Path(f'{workdir}.{i}.log').read_text()
    for i in range(len(processes))
  ]
