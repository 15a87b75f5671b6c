"""Measures bigru_jax beside PyTorch, Keras, Flax, Haiku and ONNX Runtime.

  python experiments/benchmark/main.py
  python experiments/benchmark/main.py --level=encoder,step --grid
  python experiments/benchmark/main.py --sweep=length

Each program does the same work in a process of its own, under its best ordinary
settings: all cores, compiled where it compiles, float32. (The baselines'
encoders run *without masks*, which none has for free; ours masks.) They take
turns, one timed call each while the others wait; a time is the median of its
rounds. What compiles, and the calls of a turn's first 0.3 s, are not timed.
Freed memory is kept in every process, as `runtime.host` does for ours. The peak
is a matmul, which takes turns with the others. `N ×` is a baseline's time over
ours.

Needs the extra `bench`; a baseline that is not installed is left out.
"""

from collections.abc import Iterator
import dataclasses
import importlib.util
import itertools
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from absl import flags  # noqa: E402
from cases import Case  # noqa: E402
import summaries  # noqa: E402
import worker  # noqa: E402

from bigru_jax.cli import command  # noqa: E402
from bigru_jax.runtime.cache import cache_dir  # noqa: E402

BASELINES = [name for name in worker.MODULES if name not in ('ours', 'peak')]
Cell = tuple[int, int, int, int]  # Batch, length, embedding, hidden.
SHORT: list[Cell] = [
  (64, 22, 100, 128),
  (64, 64, 300, 256),
  (32, 200, 100, 100),
]
GRID: list[Cell] = [
  (batch, length, 100, hidden)
  for batch in (16, 64, 256)
  for length in (20, 200)
  for hidden in (64, 256, 512)
]
# Of each level its works and its cells.
LEVELS: dict[str, tuple[tuple[str, ...], list[Cell]]] = {
  'encoder': (('forward', 'backward'), SHORT),
  'step': (('step',), SHORT),
  'memory': (('step',), [(64, 500, 300, 256)]),
  'epoch': (('epoch',), [(64, 0, 100, 128), (64, 0, 100, 256)]),
  'inference': (('inference',), [(64, 0, 100, 128), (256, 0, 100, 128)]),
  'serving': (('serving',), [(1, 0, 100, 128), (64, 0, 100, 128)]),
  'start': ((), []),
}
SWEPT = Case('backward', batch=64, length=64, embedding=100, hidden=128)
SWEEPS = {
  'length': (10, 20, 50, 100, 200, 500),
  'batch': (16, 32, 64, 128, 256, 512),
  'hidden': (32, 64, 128, 256, 512),
  'vocabulary': (1000, 5000, 20_000, 50_000, 100_000, 200_000),
  'devices': tuple(range(1, len(os.sched_getaffinity(0)) + 1)),
}
ENVIRONMENT = {
  'KERAS_BACKEND': 'jax',
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '2147483647',
  'MALLOC_ARENA_MAX': '1',
  'JAX_COMPILATION_CACHE_DIR': str(cache_dir() / 'compiled'),
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3',
}

FLAGS = flags.FLAGS
_LEVEL = flags.DEFINE_list('level', list(LEVELS), f'Of {", ".join(LEVELS)}.')
_SWEEP = flags.DEFINE_list(
  'sweep', [], f'Cost against an axis instead; of {", ".join(SWEEPS)}.'
)
_BASELINES = flags.DEFINE_list(
  'baselines',
  [name for name in BASELINES if name != 'torch_compile'],
  f'Of {", ".join(BASELINES)}.',
)
_GRID = flags.DEFINE_bool('grid', False, 'Encoder and step on the full grid.')
_CELL = flags.DEFINE_list('cell', [], 'Of a level instead of its own: B,T,E,H.')
_ROUNDS = flags.DEFINE_integer('rounds', 15, 'Timed calls of each program.')
_LONG_ROUNDS = flags.DEFINE_integer(
  'long_rounds',
  5,
  'The same for epoch, inference, serving and start, which are long.',
)
_VOCABULARY = flags.DEFINE_integer('vocabulary', 20_000, 'Of a step.')
_SENTENCES = flags.DEFINE_integer(
  'sentences', 10_000, 'Of inference and serving.'
)
_DATASET = flags.DEFINE_string(
  'dataset',
  'rotten_tomatoes',
  'The texts of epoch, inference, serving and start; not of start a file, too.',
)
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'As of run.py.')
_OUTPUT = flags.DEFINE_string('output', 'runs/benchmark', 'A folder.')


def measure(case: Case, names: list[str], rounds: int) -> dict[str, Any]:
  """Each program's first answer and its seconds by round."""
  spawn = multiprocessing.get_context('spawn')
  found: dict[str, Any] = {}
  pipes = {}
  for name in names:
    pipe, other = spawn.Pipe()
    process = spawn.Process(
      target=worker.serve, args=(name, case, other, not rounds), daemon=True
    )
    process.start()
    other.close()
    try:
      first = pipe.recv()
    except EOFError:
      first = {'error': 'its process ended'}
    if 'error' not in first and first['shape'] != case.shape and name != 'peak':
      first = {'error': f'shape {first["shape"]}, expected {case.shape}'}
    if 'error' not in first:
      pipes[name], found[name] = pipe, {**first, 'seconds': []}
    elif name == 'ours':
      raise ValueError(f'ours: {first["error"]}')
    else:
      print(f'{name}: {first["error"]}; it is left out', file=sys.stderr)
  for _, (name, pipe) in itertools.product(range(rounds), pipes.items()):
    pipe.send(True)
    found[name]['seconds'].append(pipe.recv())
  for pipe in pipes.values():
    pipe.send(False)
  for measured in found.values():
    measured['median'] = statistics.median(measured['seconds'] or [0.0])
  return found


def takes_part(name: str, work: str) -> bool:
  """Whether a program is measured: ONNX Runtime serves our own export."""
  if work == 'serving':
    return name in ('ours', 'onnxruntime')
  return name != 'onnxruntime' or work == 'inference'


def line_of(
  level: str, case: Case, names: list[str], rounds: int
) -> dict[str, Any]:
  """One line of the JSON file: a case with what was measured of it."""
  names = [name for name in names if takes_part(name, case.work)]
  found = measure(case, [*names, 'peak'] if case.flops else names, rounds)
  line = {'level': level, **dataclasses.asdict(case), 'flops': case.flops}
  if 'peak' in found:
    line['peak'] = worker.PEAK_FLOPS / found.pop('peak')['median']
  line['programs'] = found
  print(summaries.summary(line), file=sys.stderr)
  return line


def first_step(rounds: int) -> dict[str, Any]:
  """Seconds from the start of a process to its first training step."""
  seconds = []
  for _ in range(1 + rounds):  # The first one fills the caches.
    with tempfile.TemporaryDirectory() as workdir:
      start = time.perf_counter()
      done = subprocess.run(
        [sys.executable, str(HERE / 'first_step.py'), workdir, _DATASET.value,
         _DATA_DIR.value],
      )  # fmt: skip
      if done.returncode:
        raise ValueError('start: the run failed before its first step')
      seconds.append(time.perf_counter() - start)
  ours = {'seconds': seconds[1:], 'median': statistics.median(seconds[1:])}
  return {'level': 'start', 'programs': {'ours': ours}}


def run_level(level: str, names: list[str]) -> Iterator[dict[str, Any]]:
  """Measures one level, line by line."""
  works, cells = LEVELS[level]
  long = level in ('epoch', 'inference', 'serving', 'start')
  rounds = _LONG_ROUNDS.value if long else _ROUNDS.value
  if level == 'start':
    yield first_step(rounds)
  if _CELL.value:
    batch, length, embedding, hidden = map(int, _CELL.value)
    cells = [(batch, length, embedding, hidden)]
  elif _GRID.value and level in ('encoder', 'step'):
    cells = GRID
  for cell, work in itertools.product(cells, works):
    case = Case(work, *cell, _VOCABULARY.value, _DATASET.value, _DATA_DIR.value,
                _SENTENCES.value)  # fmt: skip
    yield line_of(level, case, names, 0 if level == 'memory' else rounds)


def run_sweep(axis: str, names: list[str]) -> Iterator[dict[str, Any]]:
  """Measures ours and PyTorch along an axis, line by line."""
  work = 'step' if axis == 'vocabulary' else 'backward'
  names = [
    n for n in names if n == 'ours' or (n == 'torch' and axis != 'devices')
  ]
  for value in SWEEPS[axis]:
    change: dict[str, Any] = {'work': work, axis: value}
    yield line_of(
      axis, dataclasses.replace(SWEPT, **change), names, _ROUNDS.value
    )


def main() -> None:
  choices = (_LEVEL, LEVELS), (_SWEEP, SWEEPS), (_BASELINES, BASELINES)
  for flag, known in choices:
    for value in flag.value:
      if value not in known:
        raise ValueError(f'{flag.name}={value}: choose {", ".join(known)}')
  if _CELL.value and not (
    len(_CELL.value) == 4 and all(x.isdigit() for x in _CELL.value)
  ):
    raise ValueError(f'cell={",".join(_CELL.value)}: give four whole numbers')
  names = ['ours']
  for name in _BASELINES.value:
    if importlib.util.find_spec(name.removesuffix('_compile')):
      names.append(name)
    else:
      print(f'{name} is not installed: it is left out', file=sys.stderr)
  os.environ.update(ENVIRONMENT)
  output = pathlib.Path(_OUTPUT.value)
  for axis in _SWEEP.value:
    summaries.write(output / f'sweep_{axis}', run_sweep(axis, names), axis)
  if not _SWEEP.value:
    levels = (run_level(level, names) for level in _LEVEL.value)
    summaries.write(output / 'benchmark', itertools.chain.from_iterable(levels))


if __name__ == '__main__':
  command.start(sys.modules[__name__], sys.argv)
