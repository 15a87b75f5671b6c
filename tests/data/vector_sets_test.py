"""Several files of vectors are joined as by a plain reading with NumPy."""

import gzip
import logging

import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data.prepare import prepare
from bigru_jax.data.vector_sets import UnseenWords, VectorSets, embedding_table

# Different words, sizes and formats.
TEXT = {
  'film': [1, 2, 3], 'good': [4, 5, 6], 'Paris': [7, 8, 9], 'do': [1, 1, 1],
  "n't": [3, 3, 3],
}  # fmt: skip
BINARY = {'film': [0.5, 1.5], 'story': [2.5, 3.5], 'paris': [4.5, 5.5]}
CORPUS = {
  'train': (['good film', 'odd film', 'stories of paris', "good don't"] * 20,
            ['a', 'b', 'a', 'b'] * 20),
  'test': (['a film of Paris', 'odd story'] * 2, ['a', 'b'] * 2),
}  # fmt: skip


@pytest.fixture
def paths(tmp_path):
  text, binary = tmp_path / 'a.txt.gz', tmp_path / 'b.bin'
  lines = [f'{x} {" ".join(map(str, vector))}\n' for x, vector in TEXT.items()]
  text.write_bytes(gzip.compress(''.join(lines).encode()))
  rows = [
    word.encode() + b' ' + np.float32(vector).tobytes()
    for word, vector in BINARY.items()
  ]
  binary.write_bytes(b'3 2\n' + b''.join(rows))
  return str(text), str(binary)


def _sets(paths, join='concat', forms=False):
  return VectorSets(names=paths, sizes=(3, 2), join=join, word_forms=forms)


def test_vectors_are_concatenated(paths):
  vectors, notes = _sets(paths).load({'film', 'good', 'story', 'absent'})
  nan = np.nan
  expected = {
    'film': [1, 2, 3, 0.5, 1.5],
    'good': [4, 5, 6, nan, nan],
    'story': [nan, nan, nan, 2.5, 3.5],
  }
  assert vectors.keys() == expected.keys()
  for word, vector in expected.items():
    np.testing.assert_array_equal(vectors[word], np.float32(vector))
  assert notes == [
    f'embeddings={path}: 50.0 % of the words have a vector' for path in paths
  ]


def test_the_mean_is_over_the_files_that_have_the_word(paths):
  vectors, _ = _sets(paths, 'mean').load({'film', 'good', 'story'})
  assert {x: vector.tolist() for x, vector in vectors.items()} == {
    'film': [0.75, 1.75, 1.5],
    'good': [4, 5, 6],
    'story': [2.5, 3.5, 0],
  }


def test_each_file_is_asked_for_the_forms_that_it_lacks(paths):
  words = {'paris', 'stories', "don't", 'film'}
  vectors, notes = _sets(paths, 'mean', forms=True).load(words)
  assert {x: vector.tolist() for x, vector in vectors.items()} == {
    'film': [0.75, 1.75, 1.5],
    'paris': [5.75, 6.75, 4.5],  # Paris and paris.
    'stories': [2.5, 3.5, 0],
    "don't": [2, 2, 2],  # Do and n't.
  }
  assert notes[0].endswith(
    '75.0 % of the words have a vector, of which 1 capitalised, '
    '1 as a contraction'
  )
  assert notes[1].endswith(
    '75.0 % of the words have a vector, of which 1 without a plural ending'
  )


@pytest.mark.parametrize('join', ['concat', 'mean', 'meta'])
@pytest.mark.parametrize('forms', [False, True])
@pytest.mark.parametrize('count', [1, 2])
def test_unseen_words_have_what_training_would_give_them(
  paths, join, forms, count
):
  sets = VectorSets(
    names=paths[:count], sizes=(3, 2)[:count], join=join, word_forms=forms
  )
  words = {'film', 'good', 'story', 'stories', 'PARIS', "don't", 'absent'}
  of_training, _ = sets.load(words)
  unseen = UnseenWords(lambda: sets.open(sets.sha256())).lookup(sorted(words))
  assert unseen.keys() == of_training.keys()
  for word, vector in unseen.items():
    expected = np.nan_to_num(of_training[word])
    np.testing.assert_array_equal(vector, expected)
    assert vector.dtype == expected.dtype == np.float32


def test_files_are_those_of_the_run_in_their_order(paths, caplog):
  sets = _sets(paths)
  sha256 = sets.sha256()
  other = sets._replace(names=paths[::-1])
  with pytest.raises(ValueError, match='b.bin is not the file that the run'):
    other.check_sha256(sha256)
  with pytest.raises(ValueError, match='was trained with 2 of such files'):
    sets._replace(names=paths[:1]).check_sha256(sha256)
  with caplog.at_level(logging.WARNING, 'bigru_jax'):
    assert UnseenWords(lambda: other.open(sha256)).lookup(['film']) is None
  assert 'words unseen in training become <unk>' in caplog.text


def test_data_are_prepared_with_several_files(paths):
  config = Config(embeddings=','.join(paths))
  data = prepare(config, CORPUS)
  vocabulary = data.tokenizer.vocabulary
  # In test only; it has a vector in one file.
  assert vocabulary[data.seen :] == ['story']
  assert data.vectors['story'].tolist() == [0, 0, 0, 2.5, 3.5]
  assert np.isnan(data.vectors['good']).tolist() == [False] * 3 + [True] * 2
  initial = np.full((len(vocabulary), 5), 9.0)
  table, _ = embedding_table(initial, vocabulary, data.vectors)
  rows = dict(zip(vocabulary, table.tolist()))
  assert rows['good'] == [4, 5, 6, 9, 9]  # What is missing is random.
  assert rows['<unk>'] == [9] * 5
  assert rows['paris'] == [7, 8, 9, 4.5, 5.5]
  assert [x.count(',') for x in data.identity.values()].count(1) == 1
  assert sum('of the words have a vector' in x for x in data.notes) == 2


def test_the_sizes_are_those_of_the_files(paths):
  config = Config(embeddings=', '.join(paths))
  assert (config.vector_sizes, config.embedding_size) == ((3, 2), 5)
  config = Config(embeddings=f'{paths[1]},glove.6B.50d', embeddings_join='mean')
  assert (config.vector_sizes, config.embedding_size) == ((2, 50), 50)
  assert Config(embeddings=paths[0]).vector_sizes == ()
  # A recorded configuration needs no files.
  recorded = Config(embeddings='x.txt,y.txt', embedding_sizes='4,2')
  assert recorded.embedding_size == 6


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'embedding_size': 100}, r'=100: .* of 3, 2 numbers, which are 5 joined$'),
    ({'embedding_sizes': '3'}, '=3: give 2 numbers, one for each file'),
    ({'embedding_sizes': '3,x'}, '=3,x: give 2 numbers, one for each file'),
    ({'embeddings': 'x', 'embedding_sizes': '3'}, '=3 needs several files'),
    ({'freeze_embeddings': 'c.txt'}, "'c.txt' is none of the files of embedd"),
    ({'freeze_embeddings': ''}, "'' is none of the files of embeddings"),
    (
      {
        'embeddings': 'x/v.txt,y/v.txt',
        'embedding_sizes': '3,2',
        'freeze_embeddings': 'v.txt',
      },
      "'v.txt' is the name of 2 of the files of embeddings=x/v.txt,y/v.txt",
    ),
    (
      {'freeze_embeddings': 'b.bin', 'embeddings_join': 'mean'},
      'names some of several files, joined by concat or meta',
    ),
    ({'embeddings': 'x.txt,y.txt'}, 'embeddings=x.txt: no such file'),
    ({'embeddings': 'x.txt,'}, 'embeddings=x.txt,: a name is empty'),
    ({'freeze_embeddings': 'b.bin,'}, 'freeze_embeddings=b.bin,: a name is'),
  ],
)
def test_wrong_sizes_and_names_are_named(paths, fields, message):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    Config(**{'embeddings': ','.join(paths), **fields})


def test_a_bad_file_among_several_is_named(paths, tmp_path):
  bad = tmp_path / 'bad.txt'
  bad.write_text('the 0.1 0.2 0.3\nfilm 0.1 0.2 x\n')
  names = paths[0], str(bad)
  config = Config(embeddings=','.join(names))
  assert config.vector_sizes == (3, 3)
  with pytest.raises(ValueError, match="bad.txt, row 2: 'x' is not a number$"):
    prepare(config, CORPUS)
  config = Config(embeddings=','.join(paths), embedding_sizes='3,4')
  with pytest.raises(
    ValueError, match=r'^embedding_sizes=3,4: .*b.bin has vectors of 2 numbers$'
  ):
    prepare(config, CORPUS)


def test_a_file_is_not_joined_with_itself(paths, tmp_path):
  copy = tmp_path / 'copy.txt.gz'
  copy.write_bytes((tmp_path / 'a.txt.gz').read_bytes())
  for name in (paths[0], str(copy)):
    config = Config(embeddings=f'{paths[0]},{name}')
    with pytest.raises(ValueError, match='^embeddings=.*: two of the files'):
      prepare(config, CORPUS)


def test_files_are_frozen_by_name(paths):
  config = Config(embeddings=','.join(paths), freeze_embeddings='b.bin')
  assert config.frozen_columns == ((3, 5),)
  config = Config(embeddings=','.join(paths), freeze_embeddings=','.join(paths))
  assert config.frozen_columns == ((0, 3), (3, 5))
  config = Config(embeddings=','.join(paths), freeze_embeddings=True)
  assert config.frozen_columns == ()


@pytest.mark.parametrize(
  'forms, content, message',
  [
    (False, 'Film 1 2\n10 3 4', 'vector; its words would match in lower case'),
    (True, 'cat 1 2\n10 3 4', 'the vocabulary has a vector'),
  ],
)
def test_a_file_without_any_of_the_words_is_a_warning(
  tmp_path, caplog, forms, content, message
):
  path = tmp_path / 'v.txt'
  path.write_text(content)
  sets = VectorSets(
    names=(str(path),), sizes=(2,), join='concat', word_forms=forms
  )
  with caplog.at_level(logging.WARNING, 'bigru_jax'):
    vectors, _ = sets.load({'film', 'absent'})
  (record,) = caplog.records
  assert not vectors and record.getMessage().endswith(message)
  assert '0.0 % of the vocabulary' in record.getMessage()
