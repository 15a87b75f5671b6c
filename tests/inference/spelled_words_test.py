"""Words unseen in training have the vectors of their character n-grams."""

import base64
import json

import jax
import numpy as np
import pytest

import bigru_jax
from bigru_jax import Config
from bigru_jax.data.prepare import prepare
from bigru_jax.data.text import UNK_ID
from bigru_jax.data.vector_sets import UnseenWords, VectorSets
from bigru_jax.inference.unseen import SpelledWords
from bigru_jax.interop.safetensors import save
from bigru_jax.models.embedding import mean_of_ngrams, ngram_ids
from bigru_jax.reports.page.page import data_of
from bigru_jax.rundir import files as run_files

TRAIN = [f'a {x} film {i}' for i in range(10) for x in ('good', 'bad')]
TEST = ['a goodish film', 'a baddish flick', 'goodness 3', 'bad 7']
LABELS = ['positive', 'negative'] * 10


# It trains, so what needs it is slow.
@pytest.fixture(
  scope='module',
  params=[pytest.param(x, marks=pytest.mark.slow) for x in (0, 1, 2)],
)
def run(request, tmp_path_factory):
  """A run with as many files of vectors, of which two are joined by meta."""
  folder = tmp_path_factory.mktemp('run')
  rows = ['good 1 2 3 4', 'goodish 4 3 2 1', 'elsewhere 0 1 0 1']
  (folder / 'one.txt').write_text('\n'.join(rows))
  (folder / 'two.txt').write_text('good 1 2\nfilm 2 1\nbad 3 3')
  names = [str(folder / name) for name in ('one.txt', 'two.txt')]
  fields = {'embeddings_join': 'meta'} if request.param == 2 else {}
  if request.param < 2:
    fields['embedding_size'] = 4
  config = Config(
    char_embeddings=True, embeddings=','.join(names[: request.param]),
    hidden_size=3, batch_size=4, epochs=2, learning_rate=0.1, max_length=8,
    **fields,
  )  # fmt: skip
  corpus = {
    'train': (TRAIN, LABELS),
    'validation': (TEST, LABELS[:4]),
    'test': (TEST, LABELS[:4]),
  }
  return bigru_jax.train(config, folder / 'run', corpus)


def test_new_texts_are_predicted_as_the_same_texts_of_test(run):
  lines = run_files.read_predictions(run.workdir, 'test')
  loaded = bigru_jax.load(run.workdir)
  for answers in (run.predict(TEST), loaded.predict(TEST)):
    for answer, line in zip(answers, lines, strict=True):
      assert answer['probabilities'] == pytest.approx(
        line['probabilities'], abs=2e-6
      )
  # So it is where the words are not in the vocabulary at all.
  loaded.tokenizer.token_ids.pop('goodish')
  loaded.tokenizer.token_ids.pop('flick')
  for answer, line in zip(loaded.predict(TEST), lines, strict=True):
    assert answer['probabilities'] == pytest.approx(
      line['probabilities'], abs=2e-6
    )


def test_the_vector_is_the_mean_of_the_trained_ngrams(run):
  words, first = ['goodish', 'flick', 'strange'], run.tokenizer.size
  encoder = run.predictor().encoder
  params, texts = encoder.encode(run.params, [' '.join(words)], str)
  ids = texts.ids.tokens
  rows = np.asarray(run.trained_params['ngram_embedding'])
  means = mean_of_ngrams(rows, ngram_ids(words))
  assert ids[2] == first and np.abs(means).max() > 0
  if run.config.embeddings:
    means[0, :4] += [4, 3, 2, 1]
  table = np.asarray(params['embedding'])
  np.testing.assert_allclose(table[ids], means, atol=1e-6)


def test_the_test_is_also_scored_without_them(run):
  result = json.loads((run.workdir / 'result.json').read_text())
  without = result['test_without_vectors_of_unseen_words']
  assert without['loss'] != pytest.approx(result['test']['loss'])


def test_a_shared_model_has_them(run, tmp_path):
  pytest.importorskip('safetensors')
  save(run, tmp_path / 'shared')
  embeddings = run.config.embeddings  # Their folder is left out.
  loaded = bigru_jax.load(tmp_path / 'shared', embeddings)
  jax.tree.map(
    np.testing.assert_array_equal, loaded.trained_params, run.trained_params
  )
  texts = ['an incomparable flick', *TEST[1:]]
  assert loaded.predict(texts) == run.predict(texts)
  if embeddings:
    lost = bigru_jax.load(tmp_path / 'shared')
    params, encoded = lost.predictor().encoder.encode(lost.params, texts, str)
    assert params is lost.params
    assert encoded.ids.tokens[:2].tolist() == [UNK_ID, UNK_ID]
    assert lost.predict(TEST[2:]) == run.predict(TEST[2:])


def test_predictions_and_the_page_show_the_weights_of_sets(run):
  page = data_of(run.workdir / 'report.html')
  answers = run.predict(TEST)
  if len(run.config.vector_sizes) < 2:
    assert page['sets'] == [] and list(answers[0]['attention']) == ['words']
    return
  assert page['sets'] == ['weight of one.txt', 'weight of two.txt']
  for i, answer in enumerate(answers):
    weights = np.array(answer['attention']['embeddings'])
    assert weights.shape == (2, len(answer['tokens']))
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-6)
    for name, of_set in zip(page['sets'], weights, strict=True):
      packed = page['texts']['attributions'][name]
      content = np.frombuffer(base64.b64decode(packed['weights'][i]), np.int8)
      np.testing.assert_array_equal(
        content, np.rint(127 * of_set / of_set.max()).astype(int)
      )


def test_gradients_explain_the_vectors_that_the_encoder_reads(run):
  for answer in run.explain(TEST, 'integrated_gradients'):
    assert len(answer['attribution']) == len(answer['tokens'])
    assert answer['completeness_error'] < 1e-3


def test_a_vector_of_the_file_is_added_to_the_mean():
  class File:
    def lookup(self, words):
      return {word: np.ones(2, np.float32) for word in words if word == 'b'}

  rows = np.random.default_rng(0).normal(size=(9000, 2)).astype(np.float32)
  means = mean_of_ngrams(rows, ngram_ids(['a', 'b']))
  alone, both = SpelledWords(rows, None), SpelledWords(rows, File())
  assert [x.tolist() for x in alone.lookup(['a', 'b']).values()] == (
    means.tolist()
  )
  np.testing.assert_array_equal(both.lookup(['a', 'b'])['a'], means[0])
  np.testing.assert_array_equal(both.lookup(['a', 'b'])['b'], means[1] + 1)


def test_without_the_files_words_become_unk(tmp_path, caplog):
  sets = VectorSets(
    names=(str(tmp_path / 'lost.txt'),), sizes=(2,), join='concat',
    word_forms=True,
  )  # fmt: skip
  rows = np.ones((9000, 2), np.float32)
  words = SpelledWords(rows, UnseenWords(lambda: sets.open('digest')))
  assert words.lookup(['a']) == words.lookup(['b']) == {}
  assert 'words unseen in training become <unk>' in caplog.text


def test_tokens_without_words_are_refused():
  config = Config(char_embeddings=True, tokenizer='mine.json')
  texts = {'train': (TRAIN, LABELS)}
  with pytest.raises(
    ValueError, match='char_embeddings=True needs a tokenizer'
  ):
    prepare(config, texts)
