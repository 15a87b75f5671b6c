"""A user's own files in every format, and one clear message per fault."""

import csv
import gzip
import json

import pyarrow
from pyarrow import parquet
import pytest
from reading import read_split

from bigru_jax.config import Config
from bigru_jax.data import tabular_files
from bigru_jax.data.prepare import prepare
from bigru_jax.data.table_columns import Columns

TEXT = Columns(label='')
ROWS = [('good film', 'pos'), ('bad film', 'neg'), ('fine, "so"', 'pos')]


def write(path, rows=ROWS, columns=('text', 'label')):
  """Writes rows in the format of the path's extension."""
  name = path.name.lower().removesuffix('.gz')
  if name.endswith('.parquet'):
    table = pyarrow.table(dict(zip(columns, map(list, zip(*rows)))))
    parquet.write_table(table, path)
    return path
  if name.endswith('.json'):
    lines = [json.dumps([dict(zip(columns, row)) for row in rows])]
  elif name.endswith('.jsonl'):
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
  if path.name.lower().endswith('.gz'):
    content = gzip.compress(content)
  path.write_bytes(content)
  return path


@pytest.mark.parametrize(
  'name',
  [
    'a.csv',
    'a.tsv',
    'a.jsonl',
    'a.parquet',
    'a.csv.GZ',
    'a.jsonl.gz',
    'a.json',
  ],
)
def test_every_format_is_read(tmp_path, name):
  split = read_split(write(tmp_path / name), 'train')
  assert list(zip(split.texts, split.labels)) == ROWS
  first = 1 if name.startswith(('a.json', 'a.parquet')) else 2
  assert split.rows == [first, first + 1, first + 2]


def test_texts_without_labels_are_read(tmp_path):
  path = write(tmp_path / 'a.csv', columns=('review', 'stars'))
  split = read_split(path, 'input', Columns('review', label=''))
  assert split.texts == [text for text, _ in ROWS]
  assert split.labels == [''] * 3


def test_a_long_field_is_read_without_changing_csvs_limit(tmp_path):
  before = csv.field_size_limit()
  long = 'x' * (before + 1)
  split = read_split(write(tmp_path / 'a.csv', [(long, 'y')]), 'train')
  assert split.texts == [long]
  assert csv.field_size_limit() == before


@pytest.mark.parametrize(
  'name, content, message',
  [
    ('a.csv', b'', 'is empty'),
    ('a.csv', b'text,label\n', 'has no rows'),
    (
      'a.csv',
      b'text,klass\na,b\n',
      "has no column 'label'; its columns are 't",
    ),
    ('a.csv', b'text,label\na,x\nb\n', 'row 3: 1 fields, the header has 2'),
    ('a.csv', b'text,label\na,x\nb,\xff\n', 'row 3: not utf-8.*see encoding'),
    (
      'a.csv',
      b'text,label\na,x\nb, c,y\n',
      'row 3: 3 fields, the header has 2',
    ),
    ('a.csv', b'text,label\n"a\nb",x\n"c,y\nd,x\n', 'row 4: a quote that ope'),
    ('a.csv', b'text,label\n"a" b,x\n', "row 2: ',' expected after"),
    ('a.csv', b'\n\ntext,label\na,x\n\nb, c,y\n', 'row 6: 3 fields'),
    ('a.jsonl', b'\n\n{"text": "a", "label": 1}\n\n[1]\n', 'row 5: not a JSON'),
    ('a.csv', b'text,label,label\na,x,y\n', "has two columns 'label'"),
    ('a.tsv', b'text\tlabel\n"a\tb\tx\n', 'row 2: 3 fields, the header has 2'),
    ('a.json', b'[{"text": "a", "label": 1},\n{"text"}]', 'row 2: '),
    ('a.json', b'{"text": "a", "label": [1]}', "row 1: 'label' is not a label"),
    ('a.csv.rar', b'Rar', 'must end in'),
    ('a.csv', b'text,label\na,x\nb,\n', "row 3: column 'label' is empty"),
    ('a.jsonl', b'{"text": "a", "label": 1}\n{"text"\n', 'row 2'),
    ('a.jsonl', b'{"text": "a"}\n', "row 1: no 'label'"),
    ('a.jsonl', b'[1]\n', 'row 1: not a JSON object'),
    ('a.jsonl', b'{"text": 3, "label": 1}\n', "row 1: 'text' is not a text"),
    ('a.parquet', b'PAR1 and no more', 'not a Parquet file'),
    ('a.csv.gz', gzip.compress(b'text,label\n', mtime=0)[:-9], 'is corrupt'),
    ('a.doc', b'text', 'must end in'),
  ],
)
def test_bad_files_name_field_file_and_row(tmp_path, name, content, message):
  path = tmp_path / name
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as caught:
    read_split(path, 'train')
  assert str(caught.value).startswith(f'train={path}')


@pytest.mark.parametrize('name', ['nowhere.csv', 'nowhere.parquet'])
def test_a_missing_file_is_named(name):
  with pytest.raises(FileNotFoundError, match=f'test={name}: no such file'):
    read_split(name, 'test')


def _named(tmp_path, *names):
  for name in names:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'text,label\n{name},a\n')
  return [str(tmp_path / name) for name in names]


def test_paths_may_have_commas_blanks_and_patterns(tmp_path):
  a, b, comma, bracket, in_folder = _named(
    tmp_path, 'a.csv', 'b.csv', 'c, d.csv', 'e[1].csv', 'f,g/h.csv'
  )
  (tmp_path / 'folder').mkdir()
  for paths, expected in (
    (f'{a}, {b}', [a, b]),
    (comma, [comma]),
    (f'{bracket},{a}', [bracket, a]),
    (f'{tmp_path}/f,g/*.csv', [in_folder]),
    (f'{tmp_path}/[ab]*', [a, b]),
    (f'{tmp_path}/f*', None),  # Two folders.
  ):
    if expected is None:
      with pytest.raises(FileNotFoundError, match='train=.*no such file'):
        tabular_files.expand_paths(paths, 'train')
    else:
      assert tabular_files.expand_paths(paths, 'train') == expected


@pytest.mark.parametrize('field', ['train', 'validation', 'test', 'input'])
def test_a_folder_or_an_empty_path_is_refused(tmp_path, field):
  (path,) = _named(tmp_path, 'a.csv')
  for paths in (str(tmp_path), f'{path},{tmp_path}/', f'{tmp_path}, {path}'):
    with pytest.raises(
      ValueError, match='is a folder: give a pattern such'
    ) as e:
      tabular_files.expand_paths(paths, field)
    assert str(e.value).startswith(f'{field}={tmp_path}')
    assert str(e.value).endswith(f'{tmp_path}/*.csv')
  for paths in (f'{path},,{path}', f'{path},', ',', ' '):
    with pytest.raises(ValueError, match=f'{field}=.* has an empty path'):
      tabular_files.expand_paths(paths, field)


def test_each_path_may_begin_with_a_tilde(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  assert Config(train='~/a.csv,~/b*.csv, ~/c.csv,d~.csv').train == (
    '/home/me/a.csv,/home/me/b*.csv, /home/me/c.csv,d~.csv'
  )
  assert Config(data_dir='~', embeddings='~/v.txt').data_dir == '/home/me'


@pytest.mark.parametrize('field', ['embeddings', 'tokenizer'])
def test_a_folder_instead_of_a_file_is_named(tmp_path, field):
  folder = tmp_path / 'x.json'
  folder.mkdir()
  with pytest.raises(ValueError, match=f'^{field}={folder} is a folder: name'):
    prepare(Config(**{field: str(folder)}), {'train': (['a', 'b'], ['x', 'y'])})


def _read(tmp_path, name, content, **options):
  path = tmp_path / name
  path.write_bytes(content)
  split = read_split(path, 'train', **options)
  return list(zip(split.texts, split.labels))


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-32', 'utf-8-sig', 'utf-8'])
def test_encodings_are_recognized_by_their_mark(tmp_path, encoding):
  content = 'text,label\ncaf\u00e9 \u597d,x\n'.encode(encoding)
  assert _read(tmp_path, 'a.csv', content) == [('caf\u00e9 \u597d', 'x')]


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-32'])
@pytest.mark.parametrize('order', ['le', 'be'])
@pytest.mark.parametrize('name', ['a.csv', 'a.tsv', 'a.jsonl'])
def test_wide_characters_without_a_mark_are_named(
  tmp_path, encoding, order, name
):
  encoding = f'{encoding}-{order}'
  rows = {
    'a.csv': 'text,label\na,x\n',
    'a.tsv': 'text\tlabel\na\tx\n',
    'a.jsonl': '{"text": "a", "label": "x"}\n',
  }
  content = rows[name].encode(encoding)
  assert _read(tmp_path, name, content, encoding=encoding) == [('a', 'x')]
  with pytest.raises(ValueError, match=f'{name}: not UTF-8.*; see encoding$'):
    _read(tmp_path, name, content)


def test_the_given_encoding_is_used(tmp_path):
  content = 'text,label\n\u597d,x\n'.encode('gbk')
  assert _read(tmp_path, 'a.csv', content, encoding='gbk') == [('\u597d', 'x')]
  with pytest.raises(ValueError, match="encoding='klingon' is unknown"):
    _read(tmp_path, 'a.csv', content, encoding='klingon')


@pytest.mark.parametrize('name', ['a.json', 'a.jsonl'])
def test_json_is_an_array_or_lines(tmp_path, name):
  rows = [{'text': 'a', 'label': 1}, {'text': None, 'label': 0.5}]
  expected = [('a', '1'), ('', '0.5')]
  lines = '\n'.join(map(json.dumps, rows)).encode()
  assert _read(tmp_path, name, json.dumps(rows, indent=1).encode()) == expected
  assert _read(tmp_path, name, lines) == expected
  nan = b'{"text": NaN, "label": "x"}\n'
  assert _read(tmp_path, name, nan) == [('', 'x')]


def test_gzip_is_recognized_by_its_first_bytes(tmp_path):
  content = b'text,label\na,x\n'
  assert _read(tmp_path, 'a.csv', gzip.compress(content)) == [('a', 'x')]
  assert _read(tmp_path, 'b.csv.gz', content) == [('a', 'x')]


def test_labels_have_one_name_in_every_format(tmp_path):
  values = [1.0, 0.5, 10.0, 2.0]
  table = pyarrow.table({'text': ['t'] * 4, 'label': values})
  parquet.write_table(table, tmp_path / 'a.parquet')
  split = read_split(tmp_path / 'a.parquet')
  csv_rows = ''.join(f't,{value}\n' for value in values)
  from_csv = _read(tmp_path, 'a.csv', f'text,label\n{csv_rows}'.encode())
  lines = [json.dumps({'text': 't', 'label': value}) for value in values]
  from_json = _read(tmp_path, 'a.jsonl', '\n'.join(lines).encode())
  expected = ['1', '0.5', '10', '2']
  assert split.labels == expected
  assert [label for _, label in from_csv] == expected
  assert [label for _, label in from_json] == expected


def test_a_table_keeps_all_columns_and_names_its_rows(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('\nn,text\n1,a\n2,"b, c"\n')
  rows = list(tabular_files.read_table(str(path), 'input', '', '', TEXT))
  assert rows == [['n', 'text'], ['1', 'a'], ['2', 'b, c']]
  path.write_text('\nn,text\n1,a\n2,b,c\n')
  with pytest.raises(ValueError, match='row 4: 3 fields, the header has 2'):
    list(tabular_files.read_table(str(path), 'input', '', '', TEXT))


def test_a_table_may_be_tsv_quoted_or_not(tmp_path):
  path = tmp_path / 'a.tsv'
  for content, rows in [
    ('n\ttext\n1\t"good\n2\ta\n', [['1', '"good'], ['2', 'a']]),
    ('n\ttext\n1\t"a\tb\nc"\n', [['1', 'a\tb\nc']]),
  ]:
    path.write_text(content)
    table = tabular_files.read_table(str(path), 'input', '', '', TEXT)
    assert list(table) == [['n', 'text'], *rows]
  path.write_text('\n\n')
  with pytest.raises(ValueError, match='a.tsv is empty'):
    next(tabular_files.read_table(str(path), 'input', '', '', TEXT))
