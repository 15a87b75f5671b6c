"""Real processes on this machine that train one run together."""

import contextlib
import os
import pathlib
import socket
import subprocess

from scripts import command


def free_port():
  """A port that nobody listens at."""
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    return listener.getsockname()[1]


def start(workdir, *flags_of_each, devices=1, name=None):
  """Starts run.py as several processes, whose logs are files beside `workdir`.

  Args:
    workdir: the run directory.
    *flags_of_each: the flags of each process.
    devices: XLA host devices of each process.
    name: of a run in a bucket. The processes then share no folder: the working
      directory of each, and its cache, is one beside `workdir`.
  """
  address = f'127.0.0.1:{free_port()}'
  processes = []
  for i, flags in enumerate(flags_of_each):
    own = own_folder(workdir, i) if name else None
    with _log(workdir, i).open('w') as log:
      process = subprocess.Popen(
        command(
          'run.py', f'--workdir={name or workdir}', f'--coordinator={address}',
          f'--num_processes={len(flags_of_each)}', f'--process_id={i}',
          f'--cpu_devices={devices}', *flags,
        ),
        stdout=log,
        stderr=log,
        cwd=own,
        env=os.environ | ({'XDG_CACHE_HOME': str(own)} if name else {}),
      )  # fmt: skip
    processes.append(process)
  return processes


def wait(processes, workdir, timeout=540):
  """The exit statuses and the logs; no process is left."""
  with contextlib.ExitStack() as stack:
    for process in processes:
      stack.callback(process.kill)
    statuses = [process.wait(timeout) for process in processes]
  return statuses, [_log(workdir, i).read_text() for i in range(len(processes))]


def own_folder(workdir, i):
  """The folder of one process of a run in a bucket; created if missing."""
  folder = pathlib.Path(f'{workdir}.{i}')
  folder.mkdir(exist_ok=True)
  return folder


def _log(workdir, i):
  return pathlib.Path(f'{workdir}.{i}.log')
