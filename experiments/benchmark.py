"""Measures bigru_jax beside its peers, on the same work, in one run.

  python experiments/benchmark.py
  python experiments/benchmark.py --level=encoder,step --grid=full
  python experiments/benchmark.py --sweep=length

Every peer works in a process of its own (see `peers`), under its best ordinary
settings, and they take turns: ours, a peer, the next, ours again, one timed
call each while the others wait. A figure is the median of its rounds; what
compiles, and the calls of a turn's first 0.3 s, are not timed. Freed memory
stays in every process, as `sharding.use_cpu_devices` has it for ours. The roof
is a matmul, which takes its turns with the others. `N ×` is a peer's time over
ours.

Needs the extra `bench`; a peer that is not installed is left out.
"""

import dataclasses
import importlib.util
import itertools
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags
from peers import roof, task
import report

from bigru_jax.data import corpora

HERE = pathlib.Path(__file__).resolve().parent
PEERS = ('torch', 'torch_compile', 'keras', 'flax', 'haiku', 'onnxruntime')
WORKS = {
  'encoder': ('forward', 'backward'),
  'step': ('step',),
  'memory': ('memory',),
  'epoch': ('epoch',),
  'inference': ('inference',),
}
LEVELS = (*WORKS, 'start')
# Batch, length, embedding and hidden size; texts have lengths of their own (0).
CELLS = [(64, 22, 100, 128), (64, 64, 300, 256), (32, 200, 100, 100)]
DEFAULT_CELLS = {
  'encoder': CELLS,
  'step': CELLS,
  'memory': [(64, 500, 300, 256)],
  'epoch': [(64, 0, 100, 128), (64, 0, 100, 256)],
  'inference': [(64, 0, 100, 128), (256, 0, 100, 128)],
}
GRID = {
  'batch': (16, 64, 256),
  'length': (20, 60, 200, 500),
  'embedding': (100, 300),
  'hidden': (64, 128, 256, 512),
}
SWEPT = task.Case('backward', batch=64, length=64, embedding=100, hidden=128)
SWEEPS = {
  'length': (10, 20, 50, 100, 200, 500),
  'batch': (16, 32, 64, 128, 256, 512),
  'hidden': (32, 64, 128, 256, 512),
  'vocabulary': (1000, 5000, 20_000, 50_000, 100_000, 200_000),
  'devices': tuple(range(1, len(os.sched_getaffinity(0)) + 1)),
}
_ENVIRONMENT = {
  'KERAS_BACKEND': 'jax',
  'PYTHONPATH': os.pathsep.join([str(HERE), *sys.path]),
  'JAX_COMPILATION_CACHE_DIR': str(corpora.cache_dir() / 'compiled'),
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.3',
}
_KEEP_MEMORY = {
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '2147483647',
  'MALLOC_ARENA_MAX': '1',
}

_LEVEL = flags.DEFINE_list(
  'level', None, f'All by default; of {", ".join(LEVELS)}.'
)
_SWEEP = flags.DEFINE_list(
  'sweep', [], f'Cost against an axis instead; of {", ".join(SWEEPS)}.'
)
_PEERS = flags.DEFINE_list(
  'peers',
  [peer for peer in PEERS if peer != 'torch_compile'],
  f'Of {", ".join(PEERS)}.',
)
_GRID = flags.DEFINE_string('grid', 'short', 'short or full.')
_AXES = {
  axis: flags.DEFINE_list(axis, None, f'Values of the {axis}.') for axis in GRID
}
_ROUNDS = flags.DEFINE_integer('rounds', 15, 'Timed calls of each peer.')
_LONG_ROUNDS = flags.DEFINE_integer(
  'long_rounds', 5, 'The same for epoch, inference and start, which are long.'
)
_VOCABULARY = flags.DEFINE_integer('vocabulary', 20_000, 'Of a step.')
_SENTENCES = flags.DEFINE_integer('sentences', 10_000, 'Of inference.')
_DATASET = flags.DEFINE_string(
  'dataset', 'rotten_tomatoes', 'The texts of epoch, inference and start.'
)
_DATA_DIR = flags.DEFINE_string('data_dir', '', 'As in run.py.')
_OUTPUT = flags.DEFINE_string('output', 'runs/benchmark', 'A folder.')


class Worker:
  """A peer in its process, see `peers.__main__`; `first` is its first answer.

  Args:
    peer: a module of `peers`.
    case: what it prepares.
  """

  def __init__(self, peer, case):
    environment = {**os.environ, **_ENVIRONMENT}
    if peer != 'ours':  # It sees to that itself.
      environment |= _KEEP_MEMORY
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'peers', peer],
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )
    self._write(dataclasses.asdict(case))

  def _write(self, value):
    print(json.dumps(value), file=self._process.stdin, flush=True)

  def read(self):
    line = self._process.stdout.readline()
    return json.loads(line) if line else {'error': 'its process ended'}

  def seconds(self):
    self._write('go on')
    return self.read()['seconds']

  def close(self):
    self._process.stdin.close()
    self._process.wait()


def measure(case, peers, rounds):
  """Runs one case on all peers.

  Returns:
    Of each peer a dict of its seconds by round, and of its first answer.
  """
  workers, found = {}, {}
  try:
    for peer in peers:
      workers[peer] = Worker(peer, case)
      found[peer] = workers[peer].read()
      problem = _problem(peer, case, found[peer])
      if problem and peer == 'ours':
        raise ValueError(problem)
      if problem:
        print(f'{problem}; left out', file=sys.stderr)
        workers.pop(peer).close()
        del found[peer]
    for _ in range(rounds):
      for peer, worker in workers.items():
        found[peer].setdefault('seconds', []).append(worker.seconds())
  finally:
    for worker in workers.values():
      worker.close()
  return found


def _problem(peer, case, first):
  """What is wrong with a peer's first answer, or None."""
  if 'error' in first:
    return f'{peer}: {first["error"]}'
  if peer != 'roof' and first['shape'] != case.shape:
    return f'{peer}: {case.work} has shape {first["shape"]}, not {case.shape}'
  if not math.isfinite(first.get('value', 0)):
    return f'{peer}: {case.work} gives {first["value"]}'
  return None


def record(level, case, peers, rounds):
  """One line of benchmark.json: a case with what was measured of it."""
  if case.work in ('forward', 'backward'):
    peers = [*peers, 'roof']
  if case.work != 'inference':
    peers = [peer for peer in peers if peer != 'onnxruntime']
  found = measure(case, peers, rounds)
  for measured in found.values():
    if 'seconds' in measured:
      measured['median'] = statistics.median(measured['seconds'])
  line = {'level': level, **dataclasses.asdict(case), 'peers': found}
  if 'roof' in found:
    line['flops'] = case.flops
    line['roof'] = roof.FLOPS / found.pop('roof')['median']
  print(report.summary(line), file=sys.stderr)
  return line


def first_step(rounds):
  """Seconds from the start of a process to the end of its first step."""
  seconds = []
  for _ in range(1 + rounds):  # The first fills the compilation cache.
    with tempfile.TemporaryDirectory() as workdir:
      start = time.perf_counter()
      done = subprocess.run(
        [
          sys.executable, '-m', 'peers.first_step', f'--workdir={workdir}',
          f'--dataset={_DATASET.value}', f'--data_dir={_DATA_DIR.value}',
        ],
        env={**os.environ, 'PYTHONPATH': _ENVIRONMENT['PYTHONPATH']},
        capture_output=True,
        text=True,
      )  # fmt: skip
      seconds.append(time.perf_counter() - start)
    if done.returncode:
      raise ValueError((done.stderr.strip().splitlines() or ['failed'])[-1])
  return {
    'level': 'start',
    'work': 'start',
    'first': seconds[0],
    'peers': {
      'ours': {'seconds': seconds[1:], 'median': statistics.median(seconds[1:])}
    },
  }


def cells(level):
  """The cells that the flags choose for a level."""
  chosen = {
    axis: _numbers(axis, flag.value)
    for axis, flag in _AXES.items()
    if flag.value
  }
  if _GRID.value == 'full':
    chosen = {**GRID, **chosen}
  if not chosen:
    return DEFAULT_CELLS[level]
  first = dict(zip(GRID, DEFAULT_CELLS[level][0]))
  values = {axis: chosen.get(axis, [first[axis]]) for axis in GRID}
  if level in ('epoch', 'inference'):
    values['length'] = [0]
  return list(itertools.product(*values.values()))


def run_level(level, peers):
  """Yields the lines of one level."""
  if level == 'start':
    yield first_step(_LONG_ROUNDS.value)
    return
  for cell, work in itertools.product(cells(level), WORKS[level]):
    case = task.Case(
      'step' if work == 'memory' else work,
      *cell,
      vocabulary=_VOCABULARY.value,
      dataset=_DATASET.value,
      data_dir=_DATA_DIR.value,
      sentences=_SENTENCES.value,
    )
    rounds = _ROUNDS.value
    if level in ('epoch', 'inference'):
      rounds = _LONG_ROUNDS.value
    yield record(level, case, peers, 0 if work == 'memory' else rounds)


def run_sweep(axis, peers):
  """Yields the lines of a sweep: ours and, where it makes sense, PyTorch."""
  work = 'step' if axis == 'vocabulary' else 'backward'
  if axis == 'devices':
    peers = []
  peers = ['ours', *(peer for peer in peers if peer == 'torch')]
  for value in SWEEPS[axis]:
    case = dataclasses.replace(SWEPT, work=work, **{axis: value})
    yield record(f'sweep_{axis}', case, peers, _ROUNDS.value)


def _numbers(flag, values):
  try:
    numbers = [int(value) for value in values]
  except ValueError:
    numbers = [0]
  if min(numbers) < 1:
    raise ValueError(f'--{flag}={",".join(values)}: whole numbers above 0')
  return numbers


def _check(flag, values, known):
  for value in values:
    if value not in known:
      raise ValueError(f'--{flag}={value}: choose of {", ".join(known)}')


def installed(peers):
  """Those peers that are; the others are named."""
  kept = []
  for peer in peers:
    package = peer.removesuffix('_compile')
    if importlib.util.find_spec(package):
      kept.append(peer)
    else:
      print(
        f'{peer}: left out, not installed: pip install "bigru_jax[bench]"',
        file=sys.stderr,
      )
  return kept


def run():
  """What the flags ask for."""
  levels = _LEVEL.value or ([] if _SWEEP.value else LEVELS)
  _check('level', levels, LEVELS)
  _check('sweep', _SWEEP.value, SWEEPS)
  _check('peers', _PEERS.value, PEERS)
  _check('grid', [_GRID.value], ('short', 'full'))
  peers = ['ours', *installed(_PEERS.value)]
  output = pathlib.Path(_OUTPUT.value)
  output.mkdir(parents=True, exist_ok=True)
  for axis in _SWEEP.value:
    report.write(output / f'sweep_{axis}', run_sweep(axis, peers), axis)
  if levels:
    lines = itertools.chain.from_iterable(
      run_level(level, peers) for level in levels
    )
    report.write(output / 'benchmark', lines)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f'not a flag: {argv[1]}')
  try:
    run()
  except (ValueError, OSError) as error:
    print(f'benchmark.py: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(main)
