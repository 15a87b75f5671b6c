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
time divided by ours.

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
import timeit
from typing import Any

from cases import Call, Case
import numpy as np
from processes import Worker, peak_mib
import summaries

import bigru_jax
from bigru_jax.cli import command
from bigru_jax.cli.command_flags import Flags
from bigru_jax.runtime import host
from bigru_jax.runtime.cache import cache_dir

MODULES = {'ours': 'ours', 'torch': 'on_torch', 'keras': 'on_jax',
           'flax': 'on_jax', 'haiku': 'on_jax', 'onnxruntime': 'serving',
           'peak': ''}  # fmt: skip
BASELINES = [x for x in MODULES if x not in ('ours', 'peak')]
PEAK_FLOPS = 2 * 4096 * 300 * 1536
WARM_SECONDS = 0.3
ENCODER = 'forward', 'backward'
AXES = 'batch', 'length', 'embedding', 'hidden'
# The sizes of these axes; a length of 0 means the default of run.py.
SIZES = (64, 22, 100, 128), (64, 64, 300, 256), (32, 200, 100, 100)
GRID = itertools.product((16, 64, 256), (20, 200), (100,), (64, 256, 512))
LEVELS = {
  'encoder': [Case(work, *size) for size in SIZES for work in ENCODER],
  'step': [Case('step', *size) for size in SIZES],
  'memory': [Case('step', 64, 500, 300, 256)],
  'epoch': [Case('epoch', 64, 0, 100, hidden) for hidden in (128, 256)],
  'inference': [Case('inference', batch, 0, 100, 128) for batch in (64, 256)],
  'serving': [Case('serving', batch, 0, 100, 128) for batch in (1, 64)],
  'start': [],
  'grid': [Case(work, *size) for size in GRID for work in ENCODER],
}
LONG_LEVELS = 'epoch', 'inference', 'serving', 'start'
ENVIRONMENT = {
  'KERAS_BACKEND': 'jax',
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '2147483647',
  'MALLOC_ARENA_MAX': '1',
  'JAX_COMPILATION_CACHE_DIR': str(cache_dir() / 'compiled'),
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3',
}

FLAGS = Flags()
_LEVEL = FLAGS.list(
  'level', f'The levels: {", ".join(LEVELS)}.', list(LEVELS)[:-1]
)
_BASELINES = FLAGS.list(
  'baselines', f'The baselines: {", ".join(BASELINES)}.', BASELINES
)
_CELL = FLAGS.list('cell', "B,T,E,H, which replace a level's sizes.", [])
_ROUNDS = FLAGS.integer(
  'rounds', f'The timed calls; a third for {", ".join(LONG_LEVELS)}.', 15, 1
)
_VOCABULARY = FLAGS.integer('vocabulary', 'Its size for a step.', 20_000, 2)
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


def serve(name: str, case: Case, memory: bool, pipe: Connection) -> None:
  """Sends a first answer, then the seconds of one call for each message.

  The first answer is the amount of work (tokens trained on or texts labelled)
  and, if `memory` is true, the peak of the resident set in MiB above what stays
  resident between calls: libraries, programs, data, parameters and moments, of
  which the last three are equally large for every program.
  """
  module = MODULES['onnxruntime' if case.work == 'serving' else name]
  build = importlib.import_module(module).build if module else peak
  call = build(name, case)
  result = np.asarray(call())
  if not np.isfinite(result).all():
    raise ValueError('the result is not finite')
  if result.ndim == 3 and result.shape[:2] != (case.batch, case.length):
    raise ValueError(f'the result has the shape {result.shape}')
  amount = result.size if result.shape else int(result)
  del result
  mib = peak_mib(call) if memory else 0.0
  pipe.send({'amount': amount, 'mib': mib, 'seconds': []})
  while pipe.recv():
    pipe.send(_seconds(call, case.work))


def peak(name: str, case: Case) -> Call:
  """Returns a call of a float32 matmul, NumPy's or PyTorch's if faster."""
  del name, case
  a, b = np.ones((4096, 300), np.float32), np.ones((300, 1536), np.float32)
  calls: list[Call] = [lambda: (a @ b)[0, 0]]
  with contextlib.suppress(ImportError):
    import torch

    a_torch, b_torch = torch.from_numpy(a), torch.from_numpy(b)
    calls.append(lambda: (a_torch @ b_torch)[0, 0])
  return min(calls, key=lambda call: min(timeit.repeat(call, number=1)))


def first_step(workdir: str, dataset: str, pipe: Connection) -> None:
  """Trains a run, and sends a message after its first step."""
  config = bigru_jax.Config(dataset=dataset)
  host.configure_cpu(config.cpu_devices)
  host.cache_compilations()
  calls = itertools.count()

  def stop() -> bool:
    if next(calls) == 1:  # It is 0 before the first epoch.
      pipe.send('trained')
    return False

  bigru_jax.train(config, workdir, stop=stop)


def _seconds(call: Call, work: str) -> float:
  """Returns the seconds of one call, which untimed calls precede.

  A process that has waited for its turn is up to twice as slow at first: the
  cores were idle, and the caches contain the data of other programs. Training
  does not wait between its steps.
  """
  if work not in ('epoch', 'inference', 'serving'):
    end = time.perf_counter() + WARM_SECONDS
    while time.perf_counter() < end:
      call()
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def measure(case: Case, names: list[str], rounds: int) -> dict[str, Any]:
  """Runs each program in turn.

  Returns:
    By name, the program's first answer, its seconds by round, and the median.
  """
  programs: dict[str, Any] = {}
  with contextlib.ExitStack() as stack:
    workers = {}
    for name in names:
      worker = stack.enter_context(Worker(serve, name, case, not rounds))
      try:
        programs[name], workers[name] = worker.receive(), worker
      except ValueError:
        if name == 'ours':
          raise
        print(f'{name} failed and is skipped', file=sys.stderr)
    for _, (name, worker) in itertools.product(range(rounds), workers.items()):
      worker.pipe.send(True)
      programs[name]['seconds'].append(worker.receive())
  for result in programs.values():
    result['median'] = statistics.median(result['seconds'] or [0.0])
  return programs


def measure_start(rounds: int) -> dict[str, Any]:
  """Seconds from the start of a process to its first training step."""
  seconds = []
  for _ in range(1 + rounds):  # The first one fills the caches.
    with tempfile.TemporaryDirectory() as workdir:
      start = time.perf_counter()
      with Worker(first_step, workdir, _DATASET.value) as worker:
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
    **dict(zip(AXES, map(int, _CELL.value))),
  }
  cases = (dataclasses.replace(case, **changes) for case in LEVELS[level])
  for case in dict.fromkeys(cases):
    serves = case.work == 'serving'
    programs = [x for x in names[1:] if (x == 'onnxruntime') == serves]
    programs = ['ours', *programs, *(['peak'] if case.flops else [])]
    results = measure(case, programs, 0 if level == 'memory' else rounds)
    line = {'level': level, **dataclasses.asdict(case), 'flops': case.flops}
    if 'peak' in results:
      line['peak'] = PEAK_FLOPS / results.pop('peak')['median']
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
  os.environ.update(ENVIRONMENT)
  path = pathlib.Path(_OUTPUT.value, 'benchmark')
  levels = (run_level(level, names) for level in _LEVEL.value)
  measured = itertools.chain.from_iterable(levels)
  lines = summaries.write(path, measured, summaries.tables)
  if any('peak' in line for line in lines):
    summaries.draw(path.with_suffix('.png'), lines)


if __name__ == '__main__':
  command.start(sys.modules[__name__], sys.argv)
