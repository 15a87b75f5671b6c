"""Sweeps whose runs are in a bucket: the plan, and copies of what finished."""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import dataclasses
import json
import pathlib

from bigru_jax.buckets.bucket import Bucket
from bigru_jax.cli import planned_runs
from bigru_jax.cli.planned_runs import Planned
from bigru_jax.rundir.manifest import copy_to_read, local_folder

_PLAN = 'runs.jsonl'


def collect(name: str) -> pathlib.Path:
  """Returns a folder of the cache that has the runs of a sweep.

  Args:
    name: the sweep, such as `gs://bucket/sweep`.

  Raises:
    FileNotFoundError: no sweep was planned there.
    ValueError, OSError: the bucket cannot be read.
  """
  folder = local_folder(name) / 'sweep'
  folder.mkdir(parents=True, exist_ok=True)
  plan = Bucket(name, 'output').read(_PLAN)
  (folder / _PLAN).write_bytes(plan)
  for line in plan.decode().splitlines():
    run = json.loads(line)['name']
    (folder / run).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # It has not begun.
      copy = copy_to_read(f'{name}/{run}')
      (folder / run).symlink_to(copy, target_is_directory=True)
  return folder


def print_commands(name: str, planned: Sequence[Planned]) -> None:
  """Writes the plan of a sweep to a bucket, and prints its commands.

  Those of finished runs are left out.

  Raises:
    ValueError, OSError: the bucket cannot be read or written.
  """
  plan = ''.join(json.dumps(dataclasses.asdict(x)) + '\n' for x in planned)
  Bucket(name, 'output').write(_PLAN, plan.encode())
  planned_runs.print_commands(collect(name), planned, name)
