"""Measures how training scales from one device to two.

  python experiments/benchmark/scaling.py

`steps` is weak scaling, from one to two devices of one core each, with a
constant batch per device: two XLA host devices of one process, or two processes
whose collectives are Gloo's. Each process is pinned to its cores. The runs take
turns of a few steps, and a time is the median of the turns, of the slower
process if there are two. Efficiency is the time of a step on one device divided
by that on two. Two independent concurrent runs are measured as well: they share
memory and caches, so any further loss with two devices is communication.

`memory` opens generated documents as a run does, from a file and then from the
cache, with one and with two processes, which then train for a few steps.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import itertools
from multiprocessing.connection import Connection
import os
import pathlib
import shutil
import socket
import statistics
import sys
import tempfile
import time
from typing import Any

from cases import Case
import documents
import jax
import ours
from processes import Worker, receive_with_peaks, status_mib
import summaries

from bigru_jax import parallel
from bigru_jax.cli import command
from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config
from bigru_jax.data.cache import prepare_shared
from bigru_jax.reports.tables import markdown
from bigru_jax.runtime import distributed, host
from bigru_jax.training.program import build_program
from bigru_jax.training.trainer import Trainer

# A step with the batch of one device, and the number of steps per turn.
MODELS = {
  'default': (Case('step', 64, 64, 100, 128, vocabulary=20_000), 10),
  'large': (Case('step', 64, 64, 300, 600, vocabulary=50_000), 3),
  'tiny': (Case('step', 8, 6, 8, 4, vocabulary=50), 3),
}
_WARM_STEPS = 2  # They are not timed, since the cores were idle before.

FLAGS = Flags()
_MODELS = FLAGS.list(
  'models',
  f'The models of `steps`: {", ".join(MODELS)}; empty to skip `steps`.',
  ['default', 'large'],
)
_ROUNDS = FLAGS.integer('rounds', 'The number of turns of each run.', 9, 1)
_DOCUMENTS = FLAGS.integer(
  'documents', 'The number for `memory`; 0 to skip it.', 1_000_000, 0
)
_OUTPUT = FLAGS.path('output', 'The output folder.', 'runs/benchmark')


@dataclasses.dataclass(frozen=True)
class Member:
  """One process of a run: its cores and devices, and its place in the run."""

  cores: tuple[int, ...]
  devices: int = 1
  index: int = 0
  processes: int = 1
  port: int = 0  # The coordinator's, on this machine.

  def start(self) -> None:
    """Sets this process up."""
    os.sched_setaffinity(0, self.cores)
    if self.processes > 1:
      address = f'127.0.0.1:{self.port}'
      distributed.initialize(address, self.processes, self.index)
    host.configure_cpu(self.devices)


def train_steps(
  case: Case, count: int, member: Member, pipe: Connection
) -> None:
  """Runs a process of `steps`; `case` has the batch of one device.

  Sends the mean seconds of `count` steps on each message.
  """
  member.start()
  host.cache_compilations()
  case = dataclasses.replace(case, batch=case.batch * jax.device_count())
  step = ours.classifier(case, parallel.make_mesh(case.batch))
  step()  # It compiles.
  pipe.send('ready')
  while pipe.recv():
    for _ in range(_WARM_STEPS):
      step()
    start = time.perf_counter()
    for _ in range(count):
      step()
    pipe.send((time.perf_counter() - start) / count)


def open_documents(path: str, member: Member, pipe: Connection) -> None:
  """Runs a process of `memory`: opens a file and trains ten steps.

  Sends the seconds until the data are open and the process's memory in MiB:
  `peak`, `private` and `mapped` at the end.
  """
  member.start()
  config = Config(train=path)
  start = time.perf_counter()
  data = prepare_shared(config)
  seconds = time.perf_counter() - start
  mesh = parallel.make_mesh(config.batch_size)
  trainer = Trainer(config, build_program(config, data), data.splits, mesh)
  first = max(trainer.steps_per_epoch - 10, 0)
  for _ in trainer.train_epoch(1, first):
    pass
  trainer.close()
  names = {'peak': 'VmHWM', 'private': 'RssAnon', 'mapped': 'RssFile'}
  memory = {name: status_mib(line) for name, line in names.items()}
  pipe.send({'seconds': seconds, **memory})
  pipe.recv()  # The other processes still train.


def members(cores_of_each: list[tuple[int, ...]]) -> list[Member]:
  """Returns the processes of a run, each with its cores and one device."""
  with socket.create_server(('127.0.0.1', 0)) as listener:
    port = listener.getsockname()[1]
  return [
    Member(cores, index=i, processes=len(cores_of_each), port=port)
    for i, cores in enumerate(cores_of_each)
  ]


def measure_steps(name: str) -> dict[str, Any]:
  """Measures the steps of one model, in seconds by run and round."""
  first, second = sorted(os.sched_getaffinity(0))[:2]
  runs = {
    'one device': [Member((first,))],
    'two runs': [Member((first,)), Member((second,))],
    'two devices': [Member((first, second), devices=2)],
    'two processes': members([(first,), (second,)]),
  }
  case, count = MODELS[name]
  seconds: dict[str, list[float]] = {run: [] for run in runs}
  with contextlib.ExitStack() as stack:
    workers = {}
    for run, run_members in runs.items():
      workers[run] = [
        stack.enter_context(Worker(train_steps, case, count, member))
        for member in run_members
      ]
      for worker in workers[run]:
        worker.receive()  # It is ready.
    for _, run in itertools.product(range(_ROUNDS.value), runs):
      for worker in workers[run]:
        worker.pipe.send(True)
      seconds[run].append(max([x.receive() for x in workers[run]]))
  sizes = dataclasses.asdict(case)
  return {'level': 'steps', 'model': name, **sizes, 'seconds': seconds}


def measure_memory(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
  """Yields a line per number of processes, without and with the cache."""
  path, cache = folder / 'documents.jsonl', folder / 'cache'
  documents.write(path, _DOCUMENTS.value, median=55)
  os.environ['XDG_CACHE_HOME'] = str(cache)
  # Every process has all cores, as in launch/local.sh.
  all_cores = tuple(os.sched_getaffinity(0))
  for count, state in itertools.product((1, 2), ('cold', 'warm')):
    if state == 'cold':
      shutil.rmtree(cache, ignore_errors=True)
    with contextlib.ExitStack() as stack:
      workers = [
        stack.enter_context(Worker(open_documents, str(path), member))
        for member in members([all_cores] * count)
      ]
      answers = receive_with_peaks(workers)
    yield {
      'level': 'memory', 'documents': _DOCUMENTS.value, 'processes': count,
      'state': state, 'file_mib': path.stat().st_size / 2**20,
      'each': [answer | {'tree': peak} for answer, peak in answers],
    }  # fmt: skip


def tables(lines: list[dict[str, Any]]) -> str:
  """Formats the measurements as Markdown."""
  steps = [['model', 'run', 'step, ms', 'efficiency']]
  memory = [['processes', 'cache', 'until open, s', 'peak, MiB',
             'with those that tokenize', 'private at the end',
             'mapped']]  # fmt: skip
  for line in lines:
    if line['level'] == 'steps':
      one = statistics.median(line['seconds']['one device'])
      for run, seconds in line['seconds'].items():
        step = statistics.median(seconds)
        steps.append([
          line['model'], f'{run} ({line["batch"]} each)', f'{1e3 * step:.1f}',
          f'{one / step:.2f}',
        ])  # fmt: skip
    else:
      memory.append([
        str(line['processes']), line['state'],
        ' and '.join(f'{x["seconds"]:.1f}' for x in line['each']),
        *(' and '.join(f'{x[part]:,.0f}' for x in line['each'])
          for part in ('peak', 'tree', 'private', 'mapped')),
      ])  # fmt: skip
  return '\n\n'.join(markdown(x) for x in (steps, memory) if len(x) > 1)


def main() -> None:
  FLAGS.check_choices('models', MODELS)
  if len(os.sched_getaffinity(0)) < 2:
    raise ValueError('two cores are needed')
  with tempfile.TemporaryDirectory() as folder:
    memory = measure_memory(pathlib.Path(folder)) if _DOCUMENTS.value else ()
    measured = itertools.chain(map(measure_steps, _MODELS.value), memory)
    summaries.write(pathlib.Path(_OUTPUT.value, 'scaling'), measured, tables)


if __name__ == '__main__':
  command.start(sys.modules[__name__], sys.argv)
