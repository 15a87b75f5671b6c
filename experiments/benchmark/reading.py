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
import subprocess
import sys
import tempfile
import time

from absl import app, flags
import documents
from memory import resident_mib

_GIGABYTES = flags.DEFINE_float('gigabytes', 1.0, 'Size of each file.')
_PROGRAM = flags.DEFINE_string('program', None, 'Run this one alone.')
_PATH = flags.DEFINE_string('path', None, 'The file that it reads.')


def write_reviews(size: float, *paths: pathlib.Path) -> None:
  """Writes generated reviews, as CSV and as JSON lines."""
  files = [path.open('w', encoding='utf-8') for path in paths]
  files[0].write('text,label\n')
  written = 0
  for text, label in documents.reviews(median=148):
    files[0].write(f'"{text}",{label}\n')
    files[1].write(json.dumps({'text': text, 'label': label}) + '\n')
    written += len(text) + 5
    if written >= size:
      break
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
