"""Compares the reading of a large file with pandas and datasets.

  python experiments/benchmark/reading.py --gigabytes=1

It writes generated reviews as CSV and as JSON lines. Each program then reads
them in its own process: ours as a run does, up to the encoded splits; pandas
reads two columns, with and without our tokenizer; datasets fills its cache. A
table has rows and megabytes per second, and the peak of resident memory,
including the tokenizing processes.
"""

from multiprocessing.connection import Connection
import pathlib
import tempfile
import time

from absl import app, flags
import documents
from processes import Worker, receive_with_peaks

_ROWS_OF_GIGABYTE = 900_000
_GIGABYTES = flags.DEFINE_float(
  'gigabytes', 1.0, 'The approximate size of a file.'
)


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


def serve(name: str, path: str, pipe: Connection) -> None:
  """Sends the number of rows that a program has read, and its seconds."""
  start = time.perf_counter()
  rows = PROGRAMS[name](path)
  pipe.send((rows, time.perf_counter() - start))


def main(_: list[str]) -> None:
  print('| file | program | rows/s | MB/s | peak MiB |')
  print('| --- | --- | --- | --- | --- |')
  with tempfile.TemporaryDirectory() as folder:
    for path in map(pathlib.Path(folder).joinpath, ('a.csv', 'a.jsonl')):
      count = int(_GIGABYTES.value * _ROWS_OF_GIGABYTE)
      documents.write(path, count, median=148)
      for name in PROGRAMS:
        with Worker(serve, name, str(path)) as worker:
          (((rows, seconds), peak),) = receive_with_peaks([worker])
        speed = path.stat().st_size / seconds / 1e6
        print(
          f'| {path.suffix} | {name} | {rows / seconds:,.0f} | {speed:.0f} | '
          f'{peak:,.0f} |',
          flush=True,
        )


if __name__ == '__main__':
  app.run(main)
