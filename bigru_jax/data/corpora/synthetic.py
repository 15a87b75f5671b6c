"""Generated sentences whose label is decided by known words."""

from collections.abc import Sequence

import numpy as np

from bigru_jax.data.splits import Split

POSITIVE = ('good', 'great', 'lovely', 'superb')
NEGATIVE = ('bad', 'awful', 'dull', 'dreadful')
NEGATION = 'not'
FILLERS = (
  'the a film plot scene actor music was is seems with and of this that it '
  'very quite story ending camera role script long short new old'
).split()


SIZES = {'train': 2000, 'validation': 400, 'test': 400}


def read(seed: int) -> dict[str, Split]:
  """Three splits of sentences."""
  splits = {}
  for i, (name, count) in enumerate(SIZES.items()):
    texts, labels, _ = sentences(count, seed=[seed, i])
    rows = list(range(1, count + 1))
    splits[name] = Split(texts, labels, rows, f'synthetic/{name}')
  return splits


def sentences(
  count: int, seed: int | Sequence[int] = 0
) -> tuple[list[str], list[str], list[set[int]]]:
  """Sentences with one opinion word, negated half of the time.

  Returns:
    texts, labels (`positive` or `negative`), and for each text the set of the
    positions of its tokens that decide the label.
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
    at = int(rng.integers(0, len(tokens) + 1))
    tokens[at:at] = opinion
    texts.append(' '.join(map(str, tokens)))
    labels.append('positive' if positive != negated else 'negative')
    deciding.append(set(range(at, at + len(opinion))))
  return texts, labels, deciding
