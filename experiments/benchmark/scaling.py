"""Measures how training scales from one device to two.

  python experiments/benchmark/scaling.py

`steps` is weak scaling, from one to two devices of one core each, with a
constant batch per device: as two XLA host devices of a process, and as two
processes whose collectives are Gloo's. Each process is pinned to its cores. The
runs take turns, a few steps each, and a time is the median of the turns; of
several processes it is the slower one's. Efficiency is a step's time on one
device over that on two. Two other things are timed alike: the collectives of a
step alone, whose time over the step's is the share of communication; and two
runs at the same time, which communicate nothing, but share memory and caches.

`memory` opens generated documents as a run does, from a file and then from the
cache, by one and by two processes, each of which then trains for a few steps.
`plan` makes plans of an epoch.
"""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import json
import multiprocessing
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

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from absl import flags  # noqa: E402
import documents  # noqa: E402
from memory import resident_mib  # noqa: E402
import scaling_work  # noqa: E402
from scaling_work import Member, Model  # noqa: E402

from bigru_jax.cli import command  # noqa: E402
from bigru_jax.reports.tables import markdown  # noqa: E402
from bigru_jax.runtime.cores import cores  # noqa: E402

LEVELS = 'steps', 'memory', 'plan'
MODELS = {
  'default': Model(20_000, 100, 128, steps=10),
  'large': Model(50_000, 300, 600, steps=3),
  'tiny': Model(50, 8, 4, steps=3),
}

FLAGS = flags.FLAGS
_LEVEL = flags.DEFINE_list('level', list(LEVELS), f'Of {", ".join(LEVELS)}.')
_MODELS = flags.DEFINE_list(
  'models', ['default', 'large'], f'Of {", ".join(MODELS)}.'
)
_BATCH = flags.DEFINE_integer('batch', 64, 'Examples per device.', 8)
_LENGTH = flags.DEFINE_integer('length', 64, 'Tokens of each of them.', 1)
_ROUNDS = flags.DEFINE_integer('rounds', 9, 'Turns of each run.', 1)
_DOCUMENTS = flags.DEFINE_integer('documents', 1_000_000, 'Of `memory`.', 100)
_ROWS = flags.DEFINE_list('rows', ['1e6', '4e6', '16e6'], 'Of `plan`.')
_OUTPUT = flags.DEFINE_string('output', 'runs/benchmark', 'A folder.')

Started = list[tuple[Any, Connection]]


def start(work: Callable[..., None], *arguments: Any) -> tuple[Any, Connection]:
  """Starts a process that runs a function, `work`."""
  spawn = multiprocessing.get_context('spawn')
  pipe, other = spawn.Pipe()
  process = spawn.Process(target=work, args=(*arguments, other), daemon=True)
  process.start()
  other.close()
  return process, pipe


def receive(pipe: Connection) -> Any:
  """What a process sends.

  Raises:
    ValueError: it has ended; its error stands above.
  """
  try:
    return pipe.recv()
  except EOFError:
    raise ValueError('a process of the benchmark failed') from None


@contextlib.contextmanager
def ended(processes: Started) -> Iterator[None]:
  """Ends the processes after the context, by force after an error."""
  try:
    yield
    for _, pipe in processes:
      pipe.send('')
    for process, _ in processes:
      process.join(60)
  finally:
    for process, _ in processes:
      process.kill()


def members(cores_of_each: list[tuple[int, ...]]) -> list[Member]:
  """The processes of a run, each with its cores and one device."""
  with socket.create_server(('127.0.0.1', 0)) as listener:
    port = listener.getsockname()[1]
  return [
    Member(places, index=i, processes=len(cores_of_each), port=port)
    for i, places in enumerate(cores_of_each)
  ]


def measure_steps(name: str) -> dict[str, Any]:
  """The line of one model."""
  model, batch = MODELS[name], _BATCH.value
  first, second = sorted(os.sched_getaffinity(0))[:2]
  one = Member((first,))
  runs: dict[str, tuple[list[Member], int, list[str]]] = {
    'one device': ([one], batch, ['step']),
    'two runs': ([one, Member((second,))], batch, ['step']),
    'two devices': (
      [Member((first, second), devices=2)], batch, ['step', 'collectives'],
    ),
    'two processes': (
      members([(first,), (second,)]), batch, ['step', 'collectives'],
    ),
  }  # fmt: skip
  line: dict[str, Any] = {
    'level': 'steps', 'model': name, 'length': _LENGTH.value,
    'vocabulary': model.vocabulary, 'embedding': model.embedding,
    'hidden': model.hidden, 'groups': {},
  }  # fmt: skip
  with contextlib.ExitStack() as stack:
    started = {}
    for run, (of_run, examples, works) in runs.items():
      group = [
        start(scaling_work.steps, model, examples, _LENGTH.value, member)
        for member in of_run
      ]
      stack.enter_context(ended(group))
      line |= [receive(pipe) for _, pipe in group][0]
      started[run] = group
      line['groups'][run] = {
        'batch': examples,
        'seconds': {work: list[float]() for work in works},
      }
    for _, (run, group) in itertools.product(
      range(_ROUNDS.value), started.items()
    ):
      for work, seconds in line['groups'][run]['seconds'].items():
        for _, pipe in group:
          pipe.send(work)
        seconds.append(max(receive(pipe) for _, pipe in group))
  for measured in line['groups'].values():
    for work, seconds in measured['seconds'].items():
      measured[work] = statistics.median(seconds)
  return line


def write_documents(path: pathlib.Path) -> None:
  """Writes documents of 30 to 100 tokens, most of them, as JSON lines."""
  texts = documents.reviews(median=55)
  with path.open('w', encoding='utf-8') as file:
    for text, label in itertools.islice(texts, _DOCUMENTS.value):
      file.write(json.dumps({'text': text, 'label': label}) + '\n')


def measure_memory(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
  """A line for each number of processes, without and with the cache."""
  path, cache = folder / 'documents.jsonl', folder / 'cache'
  write_documents(path)
  os.environ['XDG_CACHE_HOME'] = str(cache)
  # Every process has all cores, as those of launch/local.sh.
  places = tuple(os.sched_getaffinity(0))
  for count, state in itertools.product((1, 2), ('cold', 'warm')):
    if state == 'cold':
      shutil.rmtree(cache, ignore_errors=True)
    group = [
      start(scaling_work.memory, str(path), 10, member)
      for member in members([places] * count)
    ]
    with ended(group):
      trees = [0.0] * count
      while not all(pipe.poll() for _, pipe in group):
        for i, (process, _) in enumerate(group):
          trees[i] = max(trees[i], resident_mib(process.pid))
        time.sleep(0.05)
      found = [receive(pipe) for _, pipe in group]
    yield {
      'level': 'memory', 'documents': _DOCUMENTS.value, 'processes': count,
      'state': state, 'file_mib': path.stat().st_size / 2**20,
      'each': [x | {'tree': tree} for x, tree in zip(found, trees)],
    }  # fmt: skip


def measure_plan(rows: int) -> dict[str, Any]:
  """The line of a plan of so many rows."""
  _, pipe = start(scaling_work.plan, rows)
  return {'level': 'plan', 'rows': rows, **receive(pipe)}


def measure() -> Iterator[dict[str, Any]]:
  """All lines of the levels that are asked for."""
  if 'steps' in _LEVEL.value:
    yield from map(measure_steps, _MODELS.value)
  if 'memory' in _LEVEL.value:
    with tempfile.TemporaryDirectory() as folder:
      yield from measure_memory(pathlib.Path(folder))
  if 'plan' in _LEVEL.value:
    yield from (measure_plan(int(float(rows))) for rows in _ROWS.value)


def tables(lines: list[dict[str, Any]]) -> str:
  """What was measured, in Markdown."""
  steps = [['model', 'run', 'step, ms', 'efficiency', 'collectives, ms',
            'share of communication']]  # fmt: skip
  memory = [['processes', 'cache', 'until open, s', 'peak, MiB',
             'with those that tokenize', 'private at the end',
             'mapped']]  # fmt: skip
  plans = [['rows', 'seconds', 'peak, MiB', 'kept, MiB']]
  for line in lines:
    if line['level'] == 'steps':
      one = line['groups']['one device']['step']
      for run, x in line['groups'].items():
        collectives = x.get('collectives')
        steps.append([
          f'{line["model"]}, {line["parameters"] / 1e6:.1f} M',
          f'{run} ({x["batch"]} each)', f'{1e3 * x["step"]:.1f}',
          f'{one / x["step"]:.2f}',
          f'{1e3 * collectives:.2f}' if collectives else '–',
          f'{collectives / x["step"]:.1%}' if collectives else '–',
        ])  # fmt: skip
    elif line['level'] == 'memory':
      parts = 'peak', 'tree', 'private', 'mapped'
      memory.append([
        str(line['processes']), line['state'],
        ' and '.join(f'{x["seconds"]:.1f}' for x in line['each']),
        *(' and '.join(f'{x[part]:,.0f}' for x in line['each'])
          for part in parts),
      ])  # fmt: skip
    else:
      plans.append([
        f'{line["rows"]:,}', f'{line["seconds"]:.2f}', f'{line["peak"]:,.0f}',
        f'{line["kept"]:,.0f}',
      ])  # fmt: skip
  return '\n\n'.join(
    markdown(rows) for rows in (steps, memory, plans) if len(rows) > 1
  )


def main() -> None:
  for flag, known in ((_LEVEL, LEVELS), (_MODELS, MODELS)):
    for value in flag.value:
      if value not in known:
        raise ValueError(f'{flag.name}={value}: choose {", ".join(known)}')
  if cores() < 2:
    raise ValueError('two cores are needed')
  output = pathlib.Path(_OUTPUT.value)
  output.mkdir(parents=True, exist_ok=True)
  lines = []
  for line in measure():
    lines.append(line)
    print(tables([line]), file=sys.stderr)
    path = output / 'scaling.json'
    path.write_text(json.dumps(lines, indent=2) + '\n')
  print(tables(lines))
  (output / 'scaling.md').write_text(tables(lines) + '\n')


if __name__ == '__main__':
  command.start(sys.modules[__name__], sys.argv)
