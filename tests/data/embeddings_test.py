"""Word vectors in every form, and what is wrong with a file."""

import bz2
import gzip
import logging
import lzma
import re
import zipfile

import numpy as np
import pytest

from bigru_jax.data import embeddings

GLOVE = b'the 1 2\nfilm 3 4.5\n. . . 5 6\n'


def _load(path, size=2):
  return embeddings.load_vectors(path, {'film', '. . .', 'absent'}, size)


@pytest.mark.parametrize('header', [b'', b'3 2\n'])
@pytest.mark.parametrize('zipped', [False, True])
def test_text_forms(tmp_path, header, zipped):
  path = tmp_path / ('v.txt.gz' if zipped else 'v.txt')
  content = header + GLOVE
  path.write_bytes(gzip.compress(content) if zipped else content)
  vectors = _load(path)
  assert set(vectors) == {'film', '. . .'}
  np.testing.assert_array_equal(vectors['film'], [3, 4.5])


def test_of_a_word_with_two_vectors_the_first_is_kept(tmp_path):
  path = tmp_path / 'v.txt'
  path.write_bytes(b'film 1 2\nfilm 3 4\n')
  np.testing.assert_array_equal(_load(path)['film'], [1, 2])


def test_word2vec_binary(tmp_path):
  path = tmp_path / 'v.bin'
  rows = [b'the ' + np.float32([1, 2]).tobytes(),
          b'film ' + np.float32([3, 4]).tobytes()]  # fmt: skip
  path.write_bytes(b'2 2\n' + b'\n'.join(rows))
  np.testing.assert_array_equal(_load(path)['film'], [3, 4])
  path.write_bytes(b'3 2\n' + b'\n'.join(rows))
  with pytest.raises(ValueError, match='ends in vector 3 of 3'):
    _load(path)


@pytest.mark.parametrize(
  'content, message',
  [
    (b'the 1 2\nfilm 3\n', 'row 2: 1 numbers'),
    (b'the 1.0 2.0\nfilm 3.0 4.0 5.0\n', 'row 2: 3 numbers'),
    (b'the 1 2\nfilm 3 x\n', 'row 2'),
    (b'the 1 2\nfilm 3 nan\n', 'row 2: the vector of .film. is not finite'),
    (b'the 1 2 3\n', 'vectors of 3 numbers, but embedding_size=2'),
    (b'', 'is empty'),
  ],
)
def test_bad_files(tmp_path, content, message):
  path = tmp_path / 'v.txt'
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message):
    _load(path)


def test_a_gzip_file_truncated(tmp_path):
  path = tmp_path / 'v.txt.gz'
  path.write_bytes(gzip.compress(GLOVE * 99)[:-20])
  with pytest.raises(ValueError, match='is corrupt'):
    _load(path)


def test_the_table_takes_the_vectors():
  table, known = embeddings.embedding_table(
    np.zeros((4, 2)), ['<pad>', '<unk>', 'a', 'b'], {'b': np.ones(2)}
  )
  np.testing.assert_array_equal(table, [[0, 0], [0, 0], [0, 0], [1, 1]])
  assert known == 0.5


@pytest.mark.parametrize('form', ['zip', 'gz', 'xz', 'bz2', 'tabs'])
def test_containers_and_tabs(tmp_path, form):
  path = tmp_path / f'v.{form}'
  if form == 'zip':
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('glove/', b'')
      archive.writestr('glove/v.txt', GLOVE)
  else:
    compress = {'gz': gzip.compress, 'xz': lzma.compress, 'bz2': bz2.compress,
                'tabs': lambda data: data.replace(b' ', b'\t')}  # fmt: skip
    content = GLOVE.replace(b'. . .', b'...')
    path.write_bytes(compress[form](content))
  np.testing.assert_array_equal(_load(path)['film'], [3, 4.5])


def test_an_archive_of_several_files_names_them(tmp_path):
  path = tmp_path / 'v.zip'
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('a.50d.txt', GLOVE)
    archive.writestr('a.100d.txt', GLOVE)
  with pytest.raises(ValueError, match='v.zip: it holds a.50d.txt, a.100d.txt'):
    _load(path)


def test_fasttexts_own_format_asks_for_the_vec_file(tmp_path):
  path = tmp_path / 'model.bin'
  path.write_bytes(b'\xba\x16\x4f\x2f' + bytes(60))
  with pytest.raises(ValueError, match="fastText's own format; give its .vec"):
    _load(path)


def test_a_vector_that_is_not_finite_names_its_word(tmp_path):
  path = tmp_path / 'v.bin'
  path.write_bytes(b'1 2\nfilm ' + np.float32([np.nan, 4]).tobytes())
  with pytest.raises(ValueError, match="vector of 'film' is not finite"):
    _load(path)


@pytest.mark.parametrize(
  'content, message',
  [
    (b'9 2\nfilm 1 2\n', 'has 1 vectors, its header says 9'),
    (b'Film 1 2\n', '0.0 % of the vocabulary .* match in lower case'),
    (b'cat 1 2\n', '0.0 % of the vocabulary have a vector$'),
  ],
)
def test_what_is_odd_is_a_warning(tmp_path, caplog, content, message):
  path = tmp_path / 'v.vec'
  path.write_bytes(content)
  with caplog.at_level(logging.WARNING, 'bigru_jax'):
    _load(path)
  (record,) = caplog.records
  assert re.search(message, record.getMessage())
