"""Generated sentences whose label is decided by known words."""

import numpy as np

POSITIVE = ('good', 'great', 'lovely', 'superb')
NEGATIVE = ('bad', 'awful', 'dull', 'dreadful')
NEGATION = 'not'
FILLERS = (
  'the a film plot scene actor music was is seems with and of this that it '
  'very quite story ending camera role script long short new old'
).split()


def sentences(count, seed=0):
  """Sentences with one opinion word, negated half of the time.

  Returns:
    texts, labels (`positive` or `negative`), and for each text the set of the
    positions of its tokens that decide the label.
  """
  rng = np.random.default_rng(seed)
  texts, labels, deciding = [], [], []
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
