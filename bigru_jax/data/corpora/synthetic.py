"""Generates sentences whose labels are decided by known words."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bigru_jax.data.splits import Split

POSITIVE = ('good', 'great', 'lovely', 'superb')
NEGATIVE = ('bad', 'awful', 'dull', 'dreadful')
NEGATION = 'not'
FILLERS = (
  'the a film plot scene actor music was is seems with and of this that it '
  'very quite story ending camera role script long short new old'
).split()

TOPICS = {
  'acting': ('cast', 'performance', 'performances'),
  'humour': ('comedy', 'funny', 'laughs'),
  'music': ('score', 'songs', 'soundtrack'),
  'pace': ('fast', 'slow', 'tedious'),
  'scenery': ('landscape', 'photography', 'scenery'),
  'violence': ('blood', 'murder', 'war'),
}

SIZES = {'train': 2000, 'validation': 400, 'test': 400}


def read(seed: int) -> dict[str, Split]:
  """Generates three splits of sentences."""
  return _splits('synthetic', sentences, seed)


def deciding_positions(seed: int, name: str) -> list[set[int]]:
  """Returns the positions of the deciding tokens of a split's sentences.

  Args:
    seed: the seed of `read`.
    name: the name of the split.
  """
  return sentences(SIZES[name], seed=[seed, list(SIZES).index(name)])[2]


def read_multi_label(seed: int) -> dict[str, Split]:
  """Generates three splits of sentences on up to three topics."""
  return _splits('synthetic_multi_label', topics, seed)


def _splits(
  source: str, generate: Callable[..., Any], seed: int
) -> dict[str, Split]:
  splits = {}
  for i, (name, count) in enumerate(SIZES.items()):
    texts, labels, _ = generate(count, seed=[seed, i])
    numbers = list(range(1, count + 1))
    splits[name] = Split(texts, labels, numbers, f'{source}/{name}')
  return splits


def sentences(
  count: int, seed: int | Sequence[int] = 0
) -> tuple[list[str], list[str], list[set[int]]]:
  """Generates sentences with one opinion word, negated half of the time.

  Returns:
    The texts, the labels (`positive` or `negative`), and for each text the set
    of the positions of the tokens that decide its label.
  """
  rng = np.random.default_rng(seed)
  texts: list[str] = []
  labels: list[str] = []
  deciding: list[set[int]] = []
  for _ in range(count):
    tokens = list(rng.choice(FILLERS, rng.integers(4, 24)))
    positive, negated = rng.integers(0, 2, 2)
    opinion = [str(rng.choice(POSITIVE if positive else NEGATIVE))]
    if negated:
      opinion.insert(0, NEGATION)
    start = int(rng.integers(0, len(tokens) + 1))
    tokens[start:start] = opinion
    texts.append(' '.join(map(str, tokens)))
    labels.append('positive' if positive != negated else 'negative')
    deciding.append(set(range(start, start + len(opinion))))
  return texts, labels, deciding


def topics(
  count: int, seed: int | Sequence[int] = 0
) -> tuple[list[str], list[tuple[str, ...]], list[dict[str, set[int]]]]:
  """Generates sentences with one word for each of zero to three topics.

  Returns:
    The texts, the labels (names of `TOPICS`), and for each text the positions
    of the tokens that decide each of its labels.
  """
  rng = np.random.default_rng(seed)
  texts: list[str] = []
  labels: list[tuple[str, ...]] = []
  deciding: list[dict[str, set[int]]] = []
  for _ in range(count):
    tokens = [str(word) for word in rng.choice(FILLERS, rng.integers(6, 24))]
    chosen = sorted(rng.choice(list(TOPICS), rng.integers(0, 4), replace=False))
    positions = rng.choice(len(tokens), len(chosen), replace=False)
    for topic, position in zip(chosen, positions):
      tokens[position] = str(rng.choice(TOPICS[topic]))
    texts.append(' '.join(tokens))
    labels.append(tuple(map(str, chosen)))
    deciding.append({str(t): {int(p)} for t, p in zip(chosen, positions)})
  return texts, labels, deciding
