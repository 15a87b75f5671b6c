"""Kills training runs at random moments and compares how they end.

  python tests/system/chaos.py --kills=100

A run on `synthetic` is left alone. Others like it are killed, by SIGKILL or
SIGTERM, and resumed until they end; then their last checkpoint must hold the
same bits, and metrics.jsonl the same metrics, each line once. Exit status 1
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

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = [
  '--dataset=synthetic', '--embedding_size=16', '--hidden_size=16',
  '--epochs=6', '--batch_size=32', '--learning_rate=0.01', '--dropout=0.2',
  '--embedding_dropout=0.2', '--checkpoint_every=20',
]  # fmt: skip


def start(workdir, *flags):
  """A run's process, with its log in its standard error."""
  script = str(ROOT / 'experiments' / 'run.py')
  return subprocess.Popen(
    [sys.executable, script, f'--workdir={workdir}', *FLAGS, *flags],
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_for_training(process, workdir, since):
  """Waits until a run has opened its metrics.jsonl, which it does to train."""
  path = workdir / 'metrics.jsonl'
  while process.poll() is None:
    if path.exists() and path.stat().st_mtime > since:
      return
    time.sleep(0.02)


def metrics(workdir):
  """The lines of metrics.jsonl without what depends on the clock."""
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  return [
    {k: v for k, v in json.loads(line).items() if 'second' not in k}
    for line in lines
  ]


def ending(workdir):
  """The checksums of the last checkpoint's arrays, and the metrics."""
  folder = workdir / 'checkpoints'
  step = max(int(p.name) for p in folder.iterdir() if p.name.isdigit())
  path = folder / str(step) / 'metadata' / 'metadata'
  return json.loads(path.read_text())['content']['checksums'], metrics(workdir)


def survive(workdir, kills, rng=None, longest=3, begin=start, folder=None):
  """Runs to the end, killed at most `kills` times; returns how often it was.

  Args:
    workdir: the run directory.
    kills: how often it is killed.
    rng: of the moments.
    longest: the most seconds of training before a kill.
    begin: starts the process of a run, as `start` does.
    folder: the files of the run, if `workdir` is not their folder.
  """
  killed = 0
  while True:
    since = time.time()
    process = begin(workdir)
    if killed < kills:
      wait_for_training(process, folder or workdir, since)
      time.sleep(rng.uniform(0, longest))
      number = rng.choice([signal.SIGKILL, signal.SIGTERM])
      process.send_signal(number)
    log = process.communicate()[1]
    if process.returncode == 0:
      return killed
    # SIGTERM itself ends a process that has trained and is on its way out.
    if process.returncode not in (-signal.SIGKILL, -signal.SIGTERM, 75):
      raise RuntimeError(f'status {process.returncode}:\n{log}')
    killed += 1


def compare(kills, seed=0):
  """Kills runs until `kills` are reached; raises where one ends differently."""
  rng = random.Random(seed)
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    survive(folder / 'undisturbed', kills=0)
    expected = ending(folder / 'undisturbed')
    killed = runs = 0
    while killed < kills:
      workdir = folder / str(runs)
      killed += survive(workdir, kills - killed, rng)
      runs += 1
      if ending(workdir) != expected:
        raise RuntimeError(f'after {killed} kills run {runs} differs')
      print(f'{killed} kills, {runs} runs, every one the same', flush=True)


if __name__ == '__main__':
  _KILLS = flags.DEFINE_integer('kills', 100, 'How many.', lower_bound=1)
  _SEED = flags.DEFINE_integer('seed', 0, 'Of the moments.')
  app.run(lambda argv: compare(_KILLS.value, _SEED.value))
