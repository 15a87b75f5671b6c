"""A user's own files in every format, and every fault's one clear message."""

import csv
import gzip
import json

import pyarrow
from pyarrow import parquet
import pytest

from bigru_jax.data import files

ROWS = [('good film', 'pos'), ('bad film', 'neg'), ('fine, "so"', 'pos')]


def write(path, rows=ROWS, columns=('text', 'label')):
  """Writes rows in the format of the path's extension."""
  name = path.name.removesuffix('.gz')
  if name.endswith('.parquet'):
    table = pyarrow.table(dict(zip(columns, map(list, zip(*rows)))))
    parquet.write_table(table, path)
    return path
  if name.endswith('.jsonl'):
    lines = [json.dumps(dict(zip(columns, row))) for row in rows]
  elif name.endswith('.tsv'):
    lines = ['\t'.join(columns), *('\t'.join(row) for row in rows)]
  else:
    quoted = [
      ','.join('"' + field.replace('"', '""') + '"' for field in row)
      for row in rows
    ]
    lines = [','.join(columns), *quoted]
  content = '\n'.join(lines).encode() + b'\n'
  if path.name.endswith('.gz'):
    content = gzip.compress(content)
  path.write_bytes(content)
  return path


@pytest.mark.parametrize(
  'name', ['a.csv', 'a.tsv', 'a.jsonl', 'a.parquet', 'a.csv.gz', 'a.jsonl.gz']
)
def test_every_format(tmp_path, name):
  split = files.read_file(write(tmp_path / name), 'train')
  assert list(zip(split.texts, split.labels)) == ROWS
  first = 1 if name.startswith(('a.jsonl', 'a.parquet')) else 2
  assert split.rows == [first, first + 1, first + 2]


def test_texts_alone(tmp_path):
  path = write(tmp_path / 'a.csv', columns=('review', 'stars'))
  split = files.read_file(path, 'input', 'review', None)
  assert split.texts == [text for text, _ in ROWS]
  assert split.labels == []


def test_a_long_field_is_read_and_csvs_limit_stays_as_it_was(tmp_path):
  before = csv.field_size_limit()
  long = 'x' * (before + 1)
  split = files.read_file(write(tmp_path / 'a.csv', [(long, 'y')]), 'train')
  assert split.texts == [long]
  assert csv.field_size_limit() == before


@pytest.mark.parametrize(
  'name, content, message',
  [
    ('a.csv', b'', 'is empty'),
    ('a.csv', b'text,label\n', 'has no rows'),
    ('a.csv', b'text,klass\na,b\n', "has no column 'label', only 'text', 'k"),
    ('a.csv', b'text,label\na,x\nb\n', 'row 3: 1 columns, the header has 2'),
    ('a.csv', b'text,label\na,x\nb,\xff\n', 'row 3: not utf-8'),
    ('a.csv', b'text,label\na,x\nb,\n', "row 3: 'label' is no label"),
    ('a.jsonl', b'{"text": "a", "label": 1}\n{"text"\n', 'row 2'),
    ('a.jsonl', b'{"text": "a"}\n', "row 1: no 'label'"),
    ('a.jsonl', b'[1]\n', 'row 1: not a JSON object'),
    ('a.jsonl', b'{"text": 3, "label": 1}\n', "row 1: 'text' is not a text"),
    ('a.parquet', b'PAR1 and no more', 'not a Parquet file'),
    ('a.csv.gz', gzip.compress(b'text,label\n')[:-9], 'is corrupt'),
    ('a.doc', b'text', 'must end in'),
  ],
)
def test_bad_files_name_field_file_and_row(tmp_path, name, content, message):
  path = tmp_path / name
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as caught:
    files.read_file(path, 'train')
  assert str(caught.value).startswith(f'train={path}')


@pytest.mark.parametrize('name', ['nowhere.csv', 'nowhere.parquet'])
def test_a_missing_file(name):
  with pytest.raises(FileNotFoundError, match=f'test={name}: no such file'):
    files.read_file(name, 'test')
