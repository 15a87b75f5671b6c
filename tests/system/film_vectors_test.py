"""The word vectors of film reviews."""

import pandas
import pytest
from scripts import call

from bigru_jax.data.embeddings import load_vectors

pytestmark = pytest.mark.compare('gensim')


def test_vectors_of_reviews_without_labels_are_read_by_a_run(tmp_path):
  texts = [f'The {x} film is {x}, really.' for x in ('good', 'bad')] * 5
  for name, prefix in (('train', ''), ('unlabelled', 'Quite ')):
    pandas.DataFrame({'text': [prefix + text for text in texts]}).to_parquet(
      tmp_path / f'{name}.parquet'
    )
  output = tmp_path / 'vectors' / 'film_reviews.100d.txt'
  done = call('film_vectors.py', f'--data_dir={tmp_path}', f'--output={output}')
  assert done.returncode == 0, done.stderr
  words = ['good', 'bad', 'quite', 'The', 'absent']
  vectors = load_vectors(str(output), words, 100)
  assert sorted(vectors) == ['bad', 'good', 'quite']
  assert {vector.shape for vector in vectors.values()} == {(100,)}


def test_a_missing_file_of_reviews_is_named(tmp_path):
  done = call('film_vectors.py', f'--data_dir={tmp_path}')
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith('film_vectors.py: data_dir=')
  assert 'train.parquet' in done.stderr
