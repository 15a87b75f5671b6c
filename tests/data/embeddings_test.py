"""Word vectors in every format, and the errors for bad files."""

import bz2
import codecs
import gzip
import logging
import lzma
import re
import zipfile

import numpy as np
import pytest

from bigru_jax.data import embeddings, vector_sets

GLOVE = b'the 1 2\nfilm 3 4.5\n. . . 5 6\n'


def _load(path, size=2):
  return embeddings.load_vectors(path, {'film', '. . .', 'absent'}, size)


@pytest.mark.parametrize('header', [b'', b'3 2\n'])
@pytest.mark.parametrize('zipped', [False, True])
def test_vectors_are_read_from_every_text_format(tmp_path, header, zipped):
  path = tmp_path / ('v.txt.gz' if zipped else 'v.txt')
  content = header + GLOVE
  path.write_bytes(gzip.compress(content) if zipped else content)
  vectors = _load(path)
  assert set(vectors) == {'film', '. . .'}
  np.testing.assert_array_equal(vectors['film'], [3, 4.5])


def test_the_first_vector_of_a_word_is_kept(tmp_path):
  path = tmp_path / 'v.txt'
  path.write_bytes(b'film 1 2\nfilm 3 4\n')
  np.testing.assert_array_equal(_load(path)['film'], [1, 2])


def test_vectors_are_read_from_word2vecs_binary_format(tmp_path):
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
    (b'{"film": [3, 4.5]}\n', 'has no numbers in its first rows; a row is'),
    (b'9 2\nA gentle film.\nA dull one.\n', 'has no numbers in its first rows'),
    ('the 1 2\n'.encode('utf-16-le'), 'has no numbers in its first rows'),
    (b'the 1.0 2.0\nfilm 3.0 4.0 5.0\n', 'row 2: 3 numbers'),
    (b'the 1 2\nfilm 3 x\n', "v.txt, row 2: 'x' is not a number$"),
    (b'the 1 2\nfilm 3 nan\n', 'row 2: the vector of .film. is not finite'),
    (b'the 1 2 3\n', 'vectors of 3 numbers, but embedding_size=2'),
    (b'', 'is empty'),
    (b'\xef\xbb\xbf\n', 'is empty'),
    (b'2 2\n\n', 'is empty'),
    ('the 1 2\n'.encode('utf-16'), 'is in UTF-16; save it as UTF-8'),
    # One number too many, however it is written, in whichever row.
    (GLOVE + b'cat 1e-05 2 3\n', 'row 4: 3 numbers instead of 2'),
    (GLOVE + b'cat 1 2 3\n', 'row 4: 3 numbers instead of 2'),
    (GLOVE + b'cat -.5E+3 2 3\n', 'row 4: 3 numbers'),
    (GLOVE + b'cat nan 2 3\n', 'row 4: 3 numbers'),
    (b'cat\t1\t2\t3\n' + GLOVE, 'row 1: 3 numbers instead of 2'),
    (b'cat 1 2 3\nthe 1 2\n', 'row 1: 3 numbers instead of 2'),
    (b'2 2\nthe 1 2\ncat 1 2 3 \n', 'row 3: 3 numbers'),
    (b'the 1 2\n3 4\n', 'row 2: 1 numbers'),
    # A file of another size, whatever its first word.
    (b'. . . 1 2 3\nthe 1 2 3\n', 'vectors of 3 numbers, but embedding_size=2'),
    (b'. . . 1\n5 1\n', 'vectors of 1 numbers, but embedding_size=2'),
    (b'9 3\n. . . 1 2 3\n', 'vectors of 3 numbers, but embedding_size=2'),
  ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
  path = tmp_path / 'v.txt'
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message):
    _load(path)


def test_a_truncated_gzip_file_is_named(tmp_path):
  path = tmp_path / 'v.txt.gz'
  path.write_bytes(gzip.compress(GLOVE * 99)[:-20])
  with pytest.raises(ValueError, match='is corrupt'):
    _load(path)


def test_the_embedding_table_takes_the_vectors():
  table, known = vector_sets.embedding_table(
    np.zeros((4, 2)), ['<pad>', '<unk>', 'a', 'b'], {'b': np.ones(2)}
  )
  np.testing.assert_array_equal(table, [[0, 0], [0, 0], [0, 0], [1, 1]])
  assert known == 0.5


@pytest.mark.parametrize('form', ['zip', 'gz', 'xz', 'bz2', 'tabs'])
def test_compressed_files_and_tabs_are_read(tmp_path, form):
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
    (b'9 2\nfilm 1 2\n', 'has 1 vectors of 2 numbers, but its header says 9'),
    (b'1 2\nfilm 1 2\ncat 3 4\n\n', 'has 2 vectors of 2 .* its header says 1'),
    (b'1 5\nfilm 1 2\n', 'has 1 vectors of 2 .*, but its header says 1 of 5'),
  ],
)
def test_oddities_are_warnings(tmp_path, caplog, content, message):
  path = tmp_path / 'v.vec'
  path.write_bytes(content)
  with caplog.at_level(logging.WARNING, 'bigru_jax'):
    _load(path)
  (record,) = caplog.records
  assert re.search(message, record.getMessage())


@pytest.mark.parametrize('compress', [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize('header', [b'', b'3 2\n'])
def test_a_byte_order_mark_is_skipped(tmp_path, header, compress):
  path = tmp_path / 'v.txt'
  path.write_bytes(compress(codecs.BOM_UTF8 + header + GLOVE))
  np.testing.assert_array_equal(
    embeddings.load_vectors(path, {'the'}, 2)['the'], [1, 2]
  )
  for word, vector in embeddings.VectorIndex(path, 2).lookup(WORDS).items():
    np.testing.assert_array_equal(vector, WORDS[word])


WORDS = {'the': [1, 2], 'film': [3, 4.5], '. . .': [5, 6]}


@pytest.mark.parametrize(
  'row, word',
  [
    ('. . . 1 2', '. . .'),
    ('at name@domain.com 1 2', 'at name@domain.com'),
    ('1 2/3 1 2', '1 2/3'),
    ('to infinity 1 2', 'to infinity'),
    ('5 1 2', '5'),
    ('1e5 1e-05 2E+1', '1e5'),
    ('10\u00a0000 1 2', '10\u00a0000'),
    ('\u597d\u3000\u7684 1 2', '\u597d\u3000\u7684'),
    ('a\x85b 1 2', 'a\x85b'),
    ('word 1 2 ', 'word'),
    ('word 1 2\t\r', 'word'),
    ('word\t1\t2\r', 'word'),
    (' word  1   2', 'word'),
    ('iphone 5\t1\t2', 'iphone 5'),
    ('iphone 5\t1 2', 'iphone 5'),
  ],
)
@pytest.mark.parametrize('first', [True, False])
def test_unusual_words_and_numbers_are_read(tmp_path, row, word, first):
  path = tmp_path / 'v.txt'
  rows = [row, 'the 3 4'] if first else ['the 3 4', row]
  path.write_text('\n'.join(rows) + '\n\n \n', encoding='utf-8', newline='')
  numbers = [1e-05, 20] if word == '1e5' else [1, 2]
  for vectors in (
    embeddings.load_vectors(path, {word, 'the'}, 2),
    embeddings.VectorIndex(path, 2).lookup([word, 'the']),
  ):
    np.testing.assert_array_equal(vectors[word], np.float32(numbers))
    np.testing.assert_array_equal(vectors['the'], [3, 4])


def test_a_word_has_the_vector_of_an_equivalent_one(tmp_path):
  path = tmp_path / 'v.txt'
  path.write_text(
    # Half composed, as Vietnamese is written on Windows.
    'e\u0301 1 2\n\u00e9 3 4\ncafe\u0301 5 6\nti\u00ea\u0301ng 7 8\n'
    'tie\u0302\u0301ng 9 9\n\u212b 1 1\n',
    encoding='utf-8',
  )
  expected = {'\u00e9': [3, 4], 'caf\u00e9': [5, 6], 'ti\u1ebfng': [7, 8],
              '\u00c5': [1, 1]}  # fmt: skip
  for vectors in (
    embeddings.load_vectors(path, {*expected, 'absent'}, 2),
    embeddings.VectorIndex(path, 2).lookup([*expected, 'absent']),
  ):
    assert set(vectors) == set(expected)
    for word, numbers in expected.items():
      np.testing.assert_array_equal(vectors[word], numbers)
