"""Kills training runs at random moments and compares what comes of them.

  python tests/chaos.py --kills=100

A run on `synthetic` is left alone. Others like it are killed, by SIGKILL or
SIGTERM, and started again until they end; then their last checkpoint must hold
the same bits, and metrics.jsonl the same figures, each line once. Exit status 1
where they do not.
"""

import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from absl import app, flags, logging
import jax
import numpy as np
import orbax.checkpoint as ocp

from bigru_jax import sharding

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAGS = [
  '--dataset=synthetic', '--embedding_size=16', '--hidden_size=16',
  '--epochs=6', '--batch_size=32', '--learning_rate=0.01', '--dropout=0.2',
  '--embedding_dropout=0.2', '--checkpoint_every=20',
]  # fmt: skip

_KILLS = flags.DEFINE_integer('kills', 100, 'How many.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of the moments.')


def start(workdir):
  """A run's process, with its log in its standard error."""
  script = str(ROOT / 'experiments' / 'run.py')
  return subprocess.Popen(
    [sys.executable, script, f'--workdir={workdir}', *FLAGS],
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_for_training(process):
  """Reads a run's log until it trains; what it read."""
  lines = []
  for line in process.stderr:
    lines.append(line)
    if 'compiled at its first use' in line:
      break
  return ''.join(lines)


def last_state(workdir):
  """The last checkpoint's arrays, and metrics.jsonl without the clock's."""
  folder = workdir / 'checkpoints'
  step = max(int(p.name) for p in folder.iterdir() if p.name.isdigit())
  with ocp.StandardCheckpointer() as checkpointer:
    arrays = [
      jax.device_get(checkpointer.restore(folder / str(step) / name))
      for name in ('params', 'rest')
    ]
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  figures = [
    {k: v for k, v in json.loads(line).items() if 'second' not in k}
    for line in lines
  ]
  return arrays, figures


def same(state, other):
  """Whether two of `last_state` are equal, bit for bit."""
  arrays, figures = zip(state, other)
  one, two = map(jax.tree.leaves, arrays)
  equal = all(
    np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(one, two)
  )
  return len(one) == len(two) and equal and figures[0] == figures[1]


def survive(workdir, kills, rng=None, longest=4):
  """Runs to the end, killed at most `kills` times; how often it was."""
  killed = 0
  while True:
    process = start(workdir)
    log = wait_for_training(process)
    if killed < kills:
      time.sleep(rng.uniform(0, longest))
      number = rng.choice([signal.SIGKILL, signal.SIGTERM])
      process.send_signal(number)
    log += process.communicate()[1]
    if process.returncode == 0:
      return killed
    if process.returncode not in (-signal.SIGKILL, 75):
      raise RuntimeError(f'status {process.returncode}:\n{log}')
    killed += 1


def main(argv):
  del argv
  logging.set_verbosity(logging.WARNING)
  # As many as the runs have, to read what they saved.
  sharding.use_cpu_devices(0, batch_size=32)
  rng = random.Random(_SEED.value)
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    survive(folder / 'undisturbed', kills=0)
    expected = last_state(folder / 'undisturbed')
    killed = runs = 0
    while killed < _KILLS.value:
      workdir = folder / str(runs)
      killed += survive(workdir, _KILLS.value - killed, rng)
      runs += 1
      if not same(last_state(workdir), expected):
        sys.exit(f'after {killed} kills run {runs} differs')
      print(f'{killed} kills, {runs} runs, every one the same', flush=True)


if __name__ == '__main__':
  app.run(main)
