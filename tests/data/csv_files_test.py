"""The quoting, the delimiters and the surplus fields of CSV and TSV files."""

import csv
import io

import pytest
from reading import read_split


def _read(tmp_path, name, content, **options):
  path = tmp_path / name
  path.write_bytes(content)
  split = read_split(path, 'train', **options)
  return list(zip(split.texts, split.labels))


def test_quoted_fields_may_have_commas_quotes_and_newlines(tmp_path):
  content = b'text,label\r\n"a, ""b""\r\nc",x\r\nd,y\r\n'
  path = tmp_path / 'a.csv'
  path.write_bytes(content)
  split = read_split(path, 'train')
  assert split.texts == ['a, "b"\r\nc', 'd']
  assert split.rows == [2, 4]  # Where each record begins.


def test_trailing_empty_fields_are_ignored(tmp_path):
  assert _read(tmp_path, 'a.csv', b'text,label\na,x,,\nb,y\n') == [
    ('a', 'x'), ('b', 'y'),
  ]  # fmt: skip
  kaggle = b'label,text,,,\nham,"so, yes",,,\nspam,win,,,\n'
  assert _read(tmp_path, 'b.csv', kaggle) == [
    ('so, yes', 'ham'),
    ('win', 'spam'),
  ]


def test_a_tsv_of_pandas_is_read_back(tmp_path):

  texts = ['said "hi" twice', 'a\ttab', '"quoted"', 'plain', 'new\nline']
  for chosen in (texts, texts[:1] + texts[2:4]):
    buffer = io.StringIO(newline='')
    writer = csv.writer(buffer, delimiter='\t', lineterminator='\n')
    writer.writerows([('text', 'label'), *((t, 'x') for t in chosen)])
    content = buffer.getvalue().encode()
    assert [t for t, _ in _read(tmp_path, 'a.tsv', content)] == chosen


def test_a_tsv_text_that_begins_with_a_quote_is_read_as_it_is(tmp_path):
  content = b'text\tlabel\n"good film\tx\nso "bad" film"\ty\n"fine"\tx\n'
  assert [text for text, _ in _read(tmp_path, 'a.tsv', content)] == [
    '"good film', 'so "bad" film"', '"fine"',
  ]  # fmt: skip


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
def test_the_delimiter_is_found_from_the_header(tmp_path, delimiter):
  content = f'text{delimiter}label\na{delimiter}x\n'.encode()
  assert _read(tmp_path, 'a.csv', content) == [('a', 'x')]


def test_white_space_around_a_label_is_stripped(tmp_path):
  assert _read(tmp_path, 'a.csv', b'text,label\n a , x \n') == [(' a ', 'x')]


def test_the_given_delimiter_is_used(tmp_path):
  content = b'text|label\na|x\n'
  assert _read(tmp_path, 'a.csv', content, delimiter='|') == [('a', 'x')]
  with pytest.raises(ValueError, match="delimiter='||' is not one character"):
    _read(tmp_path, 'a.csv', content, delimiter='||')
