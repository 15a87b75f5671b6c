"""Generated documents, for measurements at sizes that no data set here has."""

from collections.abc import Iterator
import math

import numpy as np


def reviews(median: float) -> Iterator[tuple[str, int]]:
  """Endless reviews of generated words, whose frequencies follow Zipf's law.

  Args:
    median: words of a review; their numbers are log-normal, from 5 to 2000.

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
    at = 0
    while at < len(tokens):
      length = int(np.clip(rng.lognormal(math.log(median), 0.6), 5, 2000))
      yield ' '.join(tokens[at : at + length]), int(rng.integers(2))
      at += length
