"""Generates documents, to measure at sizes that no data set here has."""

from collections.abc import Iterator
import itertools
import json
import math
import pathlib

import numpy as np


def write(path: pathlib.Path, count: int, median: float) -> None:
  """Writes reviews as CSV or as JSON lines, by the suffix of the path."""
  is_csv = path.suffix == '.csv'
  with path.open('w', encoding='utf-8') as file:
    if is_csv:
      file.write('text,label\n')
    for text, label in itertools.islice(reviews(median), count):
      line = json.dumps({'text': text, 'label': label})
      file.write(f'"{text}",{label}\n' if is_csv else f'{line}\n')


def reviews(median: float) -> Iterator[tuple[str, int]]:
  """Endless reviews of generated words, whose frequencies follow Zipf's law.

  Args:
    median: the median number of words; it is log-normal, from 5 to 2000.

  Yields:
    A text and its label, 0 or 1.
  """
  rng = np.random.default_rng(0)
  letters = np.array(list('etaoinshrdlucmfwypvbgk'))
  lengths = rng.poisson(4, 200_000) + 1
  flat = rng.choice(letters, lengths.sum())
  words = [''.join(x) for x in np.split(flat, np.cumsum(lengths)[:-1])]
  probabilities = 1 / (np.arange(len(words)) + 2.7)
  probabilities = np.cumsum(probabilities / probabilities.sum())
  ends = ['', '', '', '', '', '', '', ',', '.', '!']
  while True:
    ids = np.searchsorted(probabilities[:-1], rng.random(100_000))
    tokens = [words[i] + ends[i % 10] for i in ids]
    start = 0
    while start < len(tokens):
      length = int(np.clip(rng.lognormal(math.log(median), 0.6), 5, 2000))
      yield ' '.join(tokens[start : start + length]), int(rng.integers(2))
      start += length
