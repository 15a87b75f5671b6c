"""Learns word vectors from film reviews that have no labels.

  pip install gensim
  python experiments/film_vectors.py --data_dir=data/imdb

The recipes of sentences join them to GloVe's. They are the vectors of a
skip-gram model with negative sampling (Mikolov et al., 2013,
https://arxiv.org/abs/1310.4546), trained on the reviews of IMDB in
train.parquet and unlabelled.parquet; the labels and the test set are not read.
Words are lower-cased, and those that occur fewer than five times have no
vector. It takes four minutes on two cores. Several threads learn at once, so
the file differs a little each time.
"""

from collections.abc import Iterator, Sequence
import logging
import pathlib

import pyarrow.parquet

from bigru_jax.cli.command_flags import Flags
from bigru_jax.data.open_files import check_file
from bigru_jax.data.text import TOKENIZERS, Memo
from bigru_jax.runtime import cores

NAME = 'film_reviews.100d.txt'
FILES = 'train.parquet', 'unlabelled.parquet'
_log = logging.getLogger('bigru_jax.film_vectors')

VERBOSE = True
FLAGS = Flags()
_DATA_DIR = FLAGS.path(
  'data_dir', f'The folder that contains {" and ".join(FILES)}.', 'data/imdb'
)
_OUTPUT = FLAGS.path('output', 'The file of vectors.', f'data/glove/{NAME}')


def _tokens_of_reviews(paths: Sequence[pathlib.Path]) -> Iterator[list[str]]:
  """Yields the tokens of each review; equal tokens are one object."""
  words = TOKENIZERS['words']
  tokens = Memo(words.tokens)
  for path in paths:
    table = pyarrow.parquet.read_table(path, columns=['text'])
    for text in table['text'].to_pylist():
      yield [x for piece in words.pieces(text) for x in tokens[piece]]


def main() -> None:
  """Writes the vectors in the text format of word2vec."""
  try:
    from gensim.models import Word2Vec
  except ImportError as error:
    raise ValueError('gensim is missing: pip install gensim') from error
  folder = pathlib.Path(_DATA_DIR.value)
  for name in FILES:
    check_file(folder / name, 'data_dir')
  model = Word2Vec(
    list(_tokens_of_reviews([folder / name for name in FILES])),
    sg=1,
    vector_size=100,
    window=5,
    negative=8,
    min_count=5,
    sample=1e-4,
    epochs=5,
    workers=cores.cores(),
  )
  output = pathlib.Path(_OUTPUT.value)
  output.parent.mkdir(parents=True, exist_ok=True)
  model.wv.save_word2vec_format(str(output))
  _log.info('%d vectors: %s', len(model.wv), output)
