"""Compares bigru_jax with PyTorch, Keras, Flax, Haiku and ONNX Runtime.

  python experiments/benchmark/main.py
  python experiments/benchmark/main.py --level=grid --baselines=torch,flax

Each program does the same work in its own process, with its best ordinary
settings: all cores, compiled if it can be, float32. (The baselines' encoders
run *without masks*, which none has for free; ours masks.) They take turns, one
timed call each while the others wait; a time is the median over the rounds.
Compilation and the calls in the first 0.3 s of a turn are not timed. Freed
memory is kept in every process, as `runtime.host` does for ours. The peak is
that of a matmul, which takes turns with the programs. `N ×` is a baseline's
time divided by ours. With `--dtype=bfloat16` all compute in that type, and
`float32`, which is ours in float32, is one of the programs.

It needs the extra `bench`; a baseline that is not installed is skipped.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import importlib.util
import itertools
from multiprocessing.connection import Connection
import os
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

from cases import DTYPES, Case
from processes import Server, Worker
import serving
import summaries
import turns

import bigru_jax
from bigru_jax.cli import command
from bigru_jax.cli.command_flags import Flags
from bigru_jax.runtime import host

BASELINES = ['torch', 'keras', 'flax', 'haiku', 'onnxruntime']
ENCODER = 'forward', 'backward'
AXES = 'batch', 'length', 'embedding', 'hidden'
# The sizes of these axes; a length of 0 means the default of run.py.
SIZES = (64, 22, 100, 128), (64, 64, 300, 256), (32, 200, 100, 100)
GRID = itertools.product((16, 64, 256), (20, 200), (100,), (64, 256, 512))
LEVELS = {
  'encoder': [Case(work, *size) for size in SIZES for work in ENCODER],
  'step': [Case('step', *size) for size in SIZES],
  'pretraining': [Case('pretraining', 64, 200, 256, 256)],
  'memory': [Case('step', 64, 500, 300, 256)],
  'epoch': [Case('epoch', 64, 0, 100, hidden) for hidden in (128, 256)],
  'inference': [Case('inference', batch, 0, 100, 128) for batch in (64, 256)],
  'serving': [Case('serving', batch, 0, 100, 128) for batch in (1, 64, 256)],
  'latency': [Case('latency', 1, 0, 100, 128)],
  'start': [],
  'grid': [Case(work, *size) for size in GRID for work in ENCODER],
}
LONG_LEVELS = 'epoch', 'inference', 'serving', 'latency', 'start'
THREADS = 1, 4  # That predict one text at a time.

FLAGS = Flags()
_LEVEL = FLAGS.list(
  'level', f'The levels: {", ".join(LEVELS)}.', list(LEVELS)[:-1]
)
_BASELINES = FLAGS.list(
  'baselines', f'The baselines: {", ".join(BASELINES)}.', BASELINES
)
_DTYPE = FLAGS.enum('dtype', 'The type of the computation.', DTYPES, 'float32')
_CELL = FLAGS.list('cell', "B,T,E,H, which replace a level's sizes.", [])
_ROUNDS = FLAGS.integer(
  'rounds', f'The timed calls; a third for {", ".join(LONG_LEVELS)}.', 15, 1
)
_OPTIMIZER = FLAGS.enum(
  'optimizer', 'Our optimizer.', ('adam', 'lazy_adamw'), 'adam'
)
_VOCABULARY = FLAGS.integer(
  'vocabulary', 'Its size for random tokens.', 20_000, 2
)
_SENTENCES = FLAGS.integer(
  'sentences', 'The number of texts to label.', 10_000, 1
)
_DATASET = FLAGS.string(
  'dataset',
  'The texts: a data set of run.py that needs no data_dir, or a file (except '
  'for start).',
  'rotten_tomatoes',
)
_OUTPUT = FLAGS.path('output', 'The output folder.', 'runs/benchmark')


def first_step(
  workdir: str, dataset: str, dtype: str, pipe: Connection
) -> None:
  """Trains a run, and sends a message after its first step."""
  config = bigru_jax.Config(dataset=dataset, dtype=dtype)
  host.configure_cpu(config.cpu_devices)
  host.cache_compilations()
  calls = itertools.count()

  def stop() -> bool:
    if next(calls) == 1:  # It is 0 before the first epoch.
      pipe.send('trained')
    return False

  bigru_jax.train(config, workdir, stop=stop)


def measure(case: Case, names: list[str], rounds: int) -> dict[str, Any]:
  """Runs each program in turn, in a process of its own; see `turns.measure`.

  Raises:
    ValueError: our program failed. Others that failed are left out.
  """
  with contextlib.ExitStack() as stack:
    servers = {name: stack.enter_context(Server()) for name in names}
    programs = turns.measure(case, servers, rounds, memory=not rounds)
  for name, result in programs.items():
    if 'error' in result:
      if name == 'ours':
        raise ValueError(f'ours failed: {result["error"]}')
      print(f'{name} failed and is skipped', file=sys.stderr)
  return {x: programs[x] for x in names if 'error' not in programs[x]}


def measure_latency(
  case: Case, names: list[str], rounds: int
) -> dict[str, Any]:
  """Returns the seconds of single texts, by program and number of threads."""
  seconds: dict[str, dict[int, list[float]]] = {
    name: {threads: [] for threads in THREADS} for name in names
  }
  with contextlib.ExitStack() as stack:
    servers = {name: stack.enter_context(Server()) for name in names}
    for _, threads in itertools.product(range(rounds), THREADS):
      for name, server in servers.items():
        seconds[name][threads] += server.ask(
          serving.latencies, name, case, threads
        )
  return {
    name: {
      str(threads): {
        'p50': statistics.median(values),
        'p99': statistics.quantiles(values, n=100, method='inclusive')[-1],
        'max': max(values),
      }
      for threads, values in by_threads.items()
    }
    for name, by_threads in seconds.items()
  }


def measure_start(rounds: int) -> dict[str, Any]:
  """Seconds from the start of a process to its first training step."""
  seconds = []
  for _ in range(1 + rounds):  # The first one fills the caches.
    with tempfile.TemporaryDirectory() as workdir:
      start = time.perf_counter()
      with Worker(first_step, workdir, _DATASET.value, _DTYPE.value) as worker:
        worker.receive()
        seconds.append(time.perf_counter() - start)
  ours = {'seconds': seconds[1:], 'median': statistics.median(seconds[1:])}
  return {'level': 'start', 'programs': {'ours': ours}}


def run_level(level: str, names: list[str]) -> Iterator[dict[str, Any]]:
  """Measures one level, and yields the lines of the JSON file."""
  rounds = max(_ROUNDS.value // (3 if level in LONG_LEVELS else 1), 1)
  if level == 'start':
    yield measure_start(rounds)
  changes: dict[str, Any] = {
    'dataset': _DATASET.value,
    'vocabulary': _VOCABULARY.value,
    'sentences': _SENTENCES.value,
    'dtype': _DTYPE.value,
    'optimizer': _OPTIMIZER.value,
    **dict(zip(AXES, map(int, _CELL.value))),
  }
  cases = (dataclasses.replace(case, **changes) for case in LEVELS[level])
  for case in dict.fromkeys(cases):
    serves = case.work in ('serving', 'latency')
    programs = [x for x in names[1:] if (x == 'onnxruntime') == serves]
    if case.work == 'pretraining':
      programs = [x for x in programs if x == 'torch']
    if case.dtype != 'float32':
      programs.insert(0, 'float32')
    programs = ['ours', *programs, *(['peak'] if case.flops else [])]
    if level == 'latency':
      results = measure_latency(case, programs, rounds)
    else:
      results = measure(case, programs, 0 if level == 'memory' else rounds)
    line = {'level': level, **dataclasses.asdict(case), 'flops': case.flops}
    if 'peak' in results:
      line['peak'] = turns.PEAK_FLOPS / results.pop('peak')['median']
    yield {**line, 'programs': results}


def main() -> None:
  FLAGS.check_choices('level', LEVELS)
  FLAGS.check_choices('baselines', BASELINES)
  if len(_CELL.value) not in (0, 4) or not all(map(str.isdigit, _CELL.value)):
    raise ValueError(f'cell={",".join(_CELL.value)}: give four whole numbers')
  names = ['ours']
  for name in _BASELINES.value:
    if importlib.util.find_spec(name):
      names.append(name)
    else:
      print(f'{name} is not installed and is skipped', file=sys.stderr)
  os.environ.update(turns.ENVIRONMENT)
  path = pathlib.Path(_OUTPUT.value, 'benchmark')
  levels = (run_level(level, names) for level in _LEVEL.value)
  measured = itertools.chain.from_iterable(levels)
  lines = summaries.write(path, measured, summaries.tables)
  if any('peak' in line for line in lines):
    summaries.draw(path.with_suffix('.png'), lines)


if __name__ == '__main__':
  command.start(sys.modules[__name__], sys.argv)
