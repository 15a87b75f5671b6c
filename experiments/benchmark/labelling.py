"""Labels a CSV file from the shell: `bigru predict`, and a PyTorch program.

  python experiments/benchmark/labelling.py --texts=100000

It trains a run for an epoch. Then the two programs take turns: each reads the
texts from a CSV file and writes them to another one, with the label and the
probabilities. A time is the median of the rounds, and includes the start of the
process; our compiled programs are in JAX's cache on disk.
"""

from collections.abc import Iterator, Sequence
import csv
import itertools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

import bigru_jax
from bigru_jax.data import sources
from bigru_jax.interop.torch import classifier_to_torch, write_state_dict

_TEXTS = flags.DEFINE_integer('texts', 100_000, 'The number of texts.')
_ROUNDS = flags.DEFINE_integer('rounds', 3, 'The runs of each program.')
_DATASET = flags.DEFINE_string(
  'dataset', 'rotten_tomatoes', 'The data set whose texts are labelled.'
)


def prepare(folder: pathlib.Path) -> dict[str, list[str]]:
  """Writes the texts and the models, and returns the programs' commands."""
  config = bigru_jax.Config(dataset=_DATASET.value, epochs=1, explain=False)
  run = bigru_jax.train(config, folder / 'run')
  write_state_dict(classifier_to_torch(run.params), folder / 'model.pt')
  train_texts = [example.text for example in sources.read(config)['train']]
  texts = itertools.islice(itertools.cycle(train_texts), _TEXTS.value)
  source, workdir = str(folder / 'in.csv'), str(folder / 'run')
  with open(source, 'w', encoding='utf-8', newline='') as file:
    csv.writer(file).writerows([('id', 'text'), *enumerate(texts)])
  ours = [sys.executable, '-m', 'bigru_jax.cli', 'predict']
  theirs = pathlib.Path(__file__).with_name('torch_predict.py')
  return {
    'ours': [
      *ours, f'--workdir={workdir}', f'--input={source}',
      f'--output={folder / "ours.csv"}',
    ],
    'torch': [
      sys.executable, str(theirs), str(folder / 'model.pt'), workdir, source,
      str(folder / 'torch.csv'),
    ],
  }  # fmt: skip


def seconds_of(command: Sequence[str]) -> float:
  """Returns the seconds that a program takes, from its start to its end."""
  start = time.perf_counter()
  subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
  return time.perf_counter() - start


def labels_of(path: pathlib.Path) -> Iterator[str]:
  """Yields the label of each row."""
  with path.open(encoding='utf-8', newline='') as file:
    yield from (row['prediction'] for row in csv.DictReader(file))


def main(_: list[str]) -> None:
  path = [str(pathlib.Path(bigru_jax.__file__).parents[1]), *sys.path]
  os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, path))
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    commands = prepare(folder)
    seconds_of(commands['ours'])  # Fills the cache of compiled programs.
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for program in [*commands] * _ROUNDS.value:
      seconds[program].append(seconds_of(commands[program]))
    pairs = list(zip(*(labels_of(folder / f'{x}.csv') for x in commands)))
  equal = sum(label == other for label, other in pairs) / len(pairs)
  medians = {name: statistics.median(x) for name, x in seconds.items()}
  for program, median in medians.items():
    ratio = median / medians['ours']
    print(f'{program}: {median:.1f} s for {len(pairs)} texts ({ratio:.2f} x)')
  print(f'{equal:.2%} of the labels are equal')


if __name__ == '__main__':
  app.run(main)
