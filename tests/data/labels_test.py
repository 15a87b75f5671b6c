"""Labels in every form, and their names."""

import ast
import json

import numpy as np
import pyarrow
from pyarrow import parquet
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

from bigru_jax.config import Config
from bigru_jax.data import labels
from bigru_jax.data.prepare import prepare

SETS = [('a', 'c'), (), ('b',), ('a',), ('b', 'c'), ('a', 'b', 'c')] * 3
TEXTS = [f'text {i}' for i in range(len(SETS))]
HOT = MultiLabelBinarizer().fit_transform(SETS)


def _write(path, values, column='label'):
  """A file of the texts and these values, in the format of its extension."""
  rows = [{'text': t, column: v} for t, v in zip(TEXTS, values, strict=True)]
  if path.suffix == '.parquet':
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
  elif path.suffix == '.jsonl':
    path.write_text('\n'.join(map(json.dumps, rows)))
  else:
    lines = [f'{row["text"]},"{row[column]}"' for row in rows]
    path.write_text('\n'.join([f'text,{column}', *lines]))
  return str(path)


def _hot(data):
  """The labels of all texts, in the order of the rows."""
  splits = data.splits.values()
  order = np.argsort(np.concatenate([split.table['row'] for split in splits]))
  return np.concatenate([split.label_array() for split in splits])[order]


@pytest.mark.parametrize(
  'name, form',
  [
    ('a.jsonl', lambda row: row.tolist()),
    ('a.jsonl', lambda row: row.astype(float).tolist()),
    ('a.jsonl', lambda row: row.astype(bool).tolist()),
    ('a.jsonl', lambda row: str(row.tolist())),
    ('a.parquet', lambda row: row.tolist()),
    ('a.parquet', lambda row: row.astype(bool).tolist()),
    ('a.csv', lambda row: json.dumps(row.tolist())),
    ('a.csv', lambda row: str(row.astype(bool).tolist())),
    ('a.csv', lambda row: str(tuple(row.tolist()))),
    ('a.csv', str),  # As pandas writes a column of arrays.
    ('a.csv', lambda row: str(row.astype(float))),
  ],
)
def test_multi_hot_lists_are_read_from_every_format(tmp_path, name, form):
  path = _write(tmp_path / name, list(map(form, HOT)))
  numbered = prepare(Config(task='multi_label', train=path))
  assert numbered.labels == ['0', '1', '2']
  np.testing.assert_array_equal(_hot(numbered), HOT)
  assert 'labels: a 0 or 1 for each of 3 labels, 0, 1, 2' in numbered.notes
  named = Config(task='multi_label', train=path, label_names='z, y,x')
  data = prepare(named)
  assert data.labels == ['x', 'y', 'z']
  np.testing.assert_array_equal(_hot(data), HOT[:, ::-1])


def test_a_label_without_training_texts_stays(tmp_path):
  hot = HOT * [1, 0, 1]
  data = prepare(Config(task='multi_label'), {'train': (TEXTS, hot)})
  assert data.labels == ['0', '1', '2']
  np.testing.assert_array_equal(_hot(data), hot)
  with pytest.raises(ValueError, match='training has no label'):
    prepare(Config(task='multi_label'), {'train': (TEXTS, 0 * hot)})


@pytest.mark.parametrize('form', [json.dumps, lambda x: repr(list(x))])
def test_strings_that_hold_lists_are_read(tmp_path, form):
  values = [form(x).replace('"', '""') for x in SETS]
  path = _write(tmp_path / 'a.csv', values)
  data = prepare(Config(task='multi_label', train=path))
  assert data.labels == ['a', 'b', 'c']
  np.testing.assert_array_equal(_hot(data), HOT)
  with pytest.raises(ValueError, match='row 2: .* is a list; .*multi_label'):
    prepare(Config(train=path))


@pytest.mark.parametrize('flags', ['01', ('false', 'True'), ('0.0', '1.0')])
def test_a_column_for_each_label_is_read(tmp_path, flags):
  rows = [','.join(flags[x] for x in row) for row in HOT]
  lines = [f'{text},{row}' for text, row in zip(TEXTS, rows, strict=True)]
  path = tmp_path / 'a.csv'
  path.write_text('\n'.join(['text,c,b,a', *lines]))
  config = Config(task='multi_label', train=str(path), label_column='c, b,a')
  data = prepare(config)
  assert data.labels == ['a', 'b', 'c']
  np.testing.assert_array_equal(_hot(data), HOT[:, ::-1])
  assert data.identity['multi_hot'] == 'c,b,a'
  path.write_text(path.read_text() + '\nlast,0,1.5,1')
  with pytest.raises(ValueError, match="row 20: 'b' is not a number from 0 to"):
    prepare(config)


@pytest.mark.parametrize('name', ['a.jsonl', 'a.parquet', 'a.tsv'])
def test_a_column_for_each_label_is_read_from_other_formats(tmp_path, name):
  path = tmp_path / name
  rows = [
    {'text': text, 'a': int(a), 'b': bool(b), 'c': float(c)}
    for text, (a, b, c) in zip(TEXTS, HOT, strict=True)
  ]
  if name == 'a.parquet':
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
  elif name == 'a.jsonl':
    path.write_text('\n'.join(map(json.dumps, rows)))
  else:
    lines = ['\t'.join(map(str, row.values())) for row in rows]
    path.write_text('\n'.join(['text\ta\tb\tc', *lines]))
  config = Config(task='multi_label', train=str(path), label_column='a,b,c')
  np.testing.assert_array_equal(_hot(prepare(config)), HOT)


def test_a_wrong_label_column_is_named(tmp_path):
  path = tmp_path / 'a.csv'
  path.write_text('text;a,b\none;x\ntwo;y\nthree;x\nfour;y')
  # A column may have a comma in its name.
  data = prepare(Config(train=str(path), label_column='a,b', delimiter=';'))
  assert data.labels == ['x', 'y']
  path.write_text('text,a,b\none,0,1\ntwo,1,0')
  for options, message in [
    ({'label_column': 'a,b'}, 'label_column=a,b: .* needs task=multi_label'),
    ({'label_column': 'a,c'}, "no column 'c'"),
    ({'label_column': 'a,b,a'}, 'names a column twice'),
    ({'label_column': 'a,b,'}, "label_column='a,b,' has an empty name"),
    ({'label_column': ', a'}, "label_column=', a' has an empty name"),
  ]:
    with pytest.raises(ValueError, match=message):
      prepare(Config(train=str(path), **options))
  config = Config(
    train=str(path), label_column='a,b', label_names='x,y', task='multi_label'
  )
  with pytest.raises(ValueError, match='label_names=x,y: leave it out'):
    prepare(config)


@pytest.mark.parametrize(
  'written, names',
  [
    ('set()', []), ('frozenset()', []), ('{}', []), ('()', []),
    ("frozenset({'b', 'a'})", ['a', 'b']), ("{'b', 'a'}", ['a', 'b']),
    ("array(['a', 'b'], dtype=object)", ['a', 'b']), ("deque(['a'])", ['a']),
    ('{a,b}', ['a', 'b']), ('{"a b", c}', ['a b', 'c']), ('{5,7}', ['5', '7']),
    (r'{"a\"b\\c\"",d}', ['a"b\\c"', 'd']),
    ('(none)', ['(none)']), ('Member(e1,e2)', ['Member(e1,e2)']),
    ('set(x)', ['set(x)']), ('C{1}', ['C{1}']),
  ],
)  # fmt: skip
def test_lists_are_read_as_programs_write_them(written, names):
  assert labels.as_labels(written, 'y', '|') == tuple(names)


@pytest.mark.parametrize(
  'written', ['array([1, 0, 1])', 'tensor([1, 0, 1])', '{1,0,1}',
              'array([ True, False,  True])', 'array([1., 0., 1.], dtype=f4)'],
)  # fmt: skip
def test_multi_hot_lists_are_read_as_programs_write_them(written):
  flags = labels.as_labels(written, 'y', '|')
  assert flags.chosen('abc') == ('a', 'c')


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
def test_a_label_that_is_a_missing_value_is_named(task):
  kinds = ['a', 'nan', '<NA>'] * 6
  notes = prepare(Config(task=task), {'train': (TEXTS, kinds)}).notes
  for name in ('nan', '<NA>'):
    assert any(f'warning: a label is called {name!r}' in x for x in notes)


def test_a_separator_may_be_typed_as_an_escape():
  assert labels.unescaped(r'\t') == '\t'
  assert labels.unescaped(r'\x1f\u241f\\') == '\x1f\u241f\\'
  assert labels.unescaped('|') == '|'
  config = Config(task='multi_label', label_separator=r'\t')
  data = prepare(config, {'train': (TEXTS, ['\t'.join(x) for x in SETS])})
  np.testing.assert_array_equal(_hot(data), HOT)


def _class_labels(path, values, feature):
  info = {'info': {'features': {'label': feature}}}
  table = pyarrow.table({'text': TEXTS[: len(values)], 'label': values})
  metadata = {b'huggingface': json.dumps(info).encode()}
  parquet.write_table(table.replace_schema_metadata(metadata), path)
  return str(path)


def test_class_names_are_read_from_the_metadata_of_parquet(tmp_path):
  feature = {'names': ['no', 'yes'], '_type': 'ClassLabel'}
  path = tmp_path / 'a.parquet'
  train = _class_labels(path, [0, 1] * 6, feature)
  data = prepare(Config(train=train))
  assert data.labels == ['no', 'yes']
  for wrong, message in [
    (-1, "row 2: 'label' is not a label: -1"),
    (None, "row 2: 'label' is not a label: None"),
    (2, "row 2: 'label' is 2, but there are 2 classes"),
  ]:
    _class_labels(path, [0, wrong], feature)
    with pytest.raises(ValueError, match=message):
      prepare(Config(train=train))
  for kind in ({'feature': feature, '_type': 'List'}, [feature]):
    _class_labels(path, [[0, 1], [1], [], [0]] * 4, kind)
    data = prepare(Config(train=train, task='multi_label'))
    assert data.labels == ['no', 'yes']
    expected = np.array([[1, 1], [0, 1], [0, 0], [1, 0]] * 4)
    np.testing.assert_array_equal(_hot(data), expected)


def test_a_value_of_any_library_has_one_name():
  pandas = pytest.importorskip('pandas')
  one = [1, 1.0, '1', ' 1.0 ', np.int64(1), np.float32(1), np.array(1),
         pyarrow.scalar(1), pyarrow.scalar(1.0)]  # fmt: skip
  assert {labels.as_label(x, 'label') for x in one} == {'1'}
  truth = [True, np.True_, pyarrow.scalar(True), 'True']
  assert {labels.as_label(x, 'label') for x in truth} == {'True'}
  for missing in (None, float('nan'), np.nan, pandas.NA, pandas.NaT):
    with pytest.raises(
      ValueError, match="^'label' is not a label: it is missing"
    ):
      labels.as_label(missing, 'label')
    assert labels.as_labels(missing, 'label', '|') == ()
  assert labels.as_labels({'b', 'a', 'c'}, 'y', '|') == tuple('abc')


def test_only_literals_are_evaluated(monkeypatch):
  called = []
  monkeypatch.setattr(ast, 'parse', lambda *a, **k: called.append(a) or 1 / 0)
  assert labels.as_label('plain', 'y') == 'plain'
  assert not called


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
@pytest.mark.parametrize(
  'names, is_warned', [(['0', '0.25', '1'], True), (['0', '1', '2.5'], False)]
)
def test_a_column_of_soft_labels_that_is_read_as_names_is_reported(
  task, names, is_warned
):
  texts = [f'text {i}' for i in range(30)]
  data = prepare(Config(task=task), {'train': (texts, names * 10)})
  message = "a label is called '0.25', and each such number is a class"
  assert any(message in note for note in data.notes) == is_warned
