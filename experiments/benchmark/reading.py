"""Reading a large file: ours beside pandas and datasets.

  python experiments/benchmark/reading.py --gigabytes=1

It writes generated reviews as CSV and as JSON lines, and then, each in a
process of its own: reads them as a run does, up to the encoded splits; reads
their two columns by pandas, and runs our tokenizer on the texts; reads them by
datasets, into its cache. It prints rows and megabytes per second, and the peak
of resident memory, of the tokenizing processes too.
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from absl import app, flags
import numpy as np

_GIGABYTES = flags.DEFINE_float('gigabytes', 1.0, 'Size of each file.')
_PROGRAM = flags.DEFINE_string('program', None, 'Run this one alone.')
_PATH = flags.DEFINE_string('path', None, 'The file that it reads.')


def write_reviews(size: float, *paths: pathlib.Path) -> None:
  """Writes reviews of generated words, whose frequencies follow Zipf's law."""
  rng = np.random.default_rng(0)
  letters = np.array(list('etaoinshrdlucmfwypvbgk'))
  lengths = rng.poisson(4, 200_000) + 1
  flat = rng.choice(letters, lengths.sum())
  words = [''.join(x) for x in np.split(flat, np.cumsum(lengths)[:-1])]
  probabilities = 1 / (np.arange(len(words)) + 2.7)
  probabilities = np.cumsum(probabilities / probabilities.sum())
  ends = ['', '', '', '', '', '', '', ',', '.', '!']
  files = [path.open('w', encoding='utf-8') for path in paths]
  files[0].write('text,label\n')
  written = 0
  while written < size:
    ids = np.searchsorted(probabilities[:-1], rng.random(100_000))
    tokens = [words[i] + ends[i % 10] for i in ids]
    at = 0
    while at < len(tokens):
      length = int(np.clip(rng.lognormal(5, 0.6), 5, 2000))
      text, label = ' '.join(tokens[at : at + length]), int(rng.integers(2))
      files[0].write(f'"{text}",{label}\n')
      files[1].write(json.dumps({'text': text, 'label': label}) + '\n')
      written += len(text) + 5
      at += length
  for file in files:
    file.close()


def read_by_us(path: str) -> int:
  from bigru_jax.config import Config
  from bigru_jax.data.prepare import prepare

  data = prepare(Config(train=path))
  return sum(len(split) for split in data.splits.values())


def read_by_pandas(path: str) -> list[str]:
  import pandas

  if path.endswith('.csv'):
    frame = pandas.read_csv(path, usecols=['text', 'label'])
  else:
    frame = pandas.read_json(path, lines=True)
  return frame['text'].tolist()


def tokenize_by_pandas(path: str) -> int:
  from bigru_jax.data.text import words

  return sum(1 for text in read_by_pandas(path) if words(text))


def read_by_datasets(path: str) -> int:
  import datasets

  kind = 'csv' if path.endswith('.csv') else 'json'
  with tempfile.TemporaryDirectory() as cache:
    read = datasets.load_dataset(kind, data_files=path, cache_dir=cache)
    return len(read['train'])


PROGRAMS = {
  'ours, to encoded splits': read_by_us,
  'pandas, the columns': lambda path: len(read_by_pandas(path)),
  'pandas, and our tokenizer': tokenize_by_pandas,
  'datasets, into its cache': read_by_datasets,
}


def resident_mib(pid: int) -> float:
  """The resident memory of a Linux process and of those it has started."""
  folder = pathlib.Path('/proc', str(pid))
  try:
    pages = int((folder / 'statm').read_text().split()[1])
    children = (folder / 'task' / str(pid) / 'children').read_text().split()
  except FileNotFoundError:  # It has just ended.
    return 0.0
  own = pages * resource.getpagesize() / 2**20
  return own + sum(resident_mib(int(child)) for child in children)


def main(argv: list[str]) -> None:
  if _PROGRAM.value:
    start = time.perf_counter()
    rows = PROGRAMS[_PROGRAM.value](_PATH.value)
    seconds = time.perf_counter() - start
    print(json.dumps([rows, seconds]))
    return
  print('| file | program | rows/s | MB/s | peak MiB |')
  print('| --- | --- | --- | --- | --- |')
  with tempfile.TemporaryDirectory() as folder:
    paths = [pathlib.Path(folder) / name for name in ('a.csv', 'a.jsonl')]
    write_reviews(_GIGABYTES.value * 1e9, *paths)
    for path in paths:
      for name in PROGRAMS:
        process = subprocess.Popen(
          [sys.executable, argv[0], f'--program={name}', f'--path={path}'],
          stdout=subprocess.PIPE,
        )
        peak = 0.0
        while process.poll() is None:
          peak = max(peak, resident_mib(process.pid))
          time.sleep(0.05)
        assert process.stdout
        rows, seconds = json.loads(process.stdout.read().splitlines()[-1])
        speed = path.stat().st_size / seconds / 1e6
        print(
          f'| {path.suffix} | {name} | {rows / seconds:,.0f} | {speed:.0f} | '
          f'{peak:,.0f} |',
          flush=True,
        )


if __name__ == '__main__':
  app.run(main)
