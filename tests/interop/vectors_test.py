"""The files of a run's word vectors are read by this and by other programs."""

import dataclasses

import numpy as np
import pytest
import tokenizers

from bigru_jax.data.embeddings import load_vectors
from bigru_jax.interop import vectors
from bigru_jax.models.embedding import with_joined_table
from bigru_jax.rundir import files as run_files

pytest.importorskip('safetensors')


@pytest.fixture(params=['.vec', '.bin'])
def path(request, tmp_path):
  return tmp_path / f'words{request.param}'


@pytest.mark.parametrize(
  'fields',
  [
    {},
    {'char_embeddings': True},
    {
      'embeddings': 'a,b',
      'embedding_sizes': '2,3',
      'embeddings_join': 'meta',
      'char_embeddings': True,
    },
  ],
  ids=['words', 'n-grams', 'sets'],
)
def test_vectors_are_read_again_bit_for_bit(make_run, path, fields):
  """Those of n-grams and of joined sets are part of them."""
  run = make_run(fields, ['no', 'yes'])
  words = run.tokenizer.vocabulary[1:]
  assert vectors.save(run.workdir, path) == len(words)
  table = with_joined_table(run.params)[0]['embedding']
  loaded = load_vectors(path, words, table.shape[1])
  np.testing.assert_array_equal([loaded[x] for x in words], table[1:])


def test_a_token_with_white_space_is_refused(make_run, path):
  run = make_run({}, ['no', 'yes'])
  tokens = {'[UNK]': 0, 'new york': 1}
  model = tokenizers.models.WordLevel(tokens, '[UNK]')
  tokenizers.Tokenizer(model).save(str(run.workdir / 'tokenizer.json'))
  config = dataclasses.replace(run.config, tokenizer='mine.json')
  run_files.write_config(run.workdir, config)
  with pytest.raises(ValueError, match="^output=.*the token 'new york', which"):
    vectors.save(run.workdir, path)
  assert not path.exists()


@pytest.mark.compare('gensim')
def test_gensim_reads_them(make_run, path):
  from gensim.models import KeyedVectors

  run = make_run({}, ['no', 'yes'])
  vectors.save(run.workdir, path)
  loaded = KeyedVectors.load_word2vec_format(path, binary=path.suffix == '.bin')
  assert loaded.index_to_key == run.tokenizer.vocabulary[1:]
  np.testing.assert_array_equal(loaded.vectors, run.params['embedding'][1:])
