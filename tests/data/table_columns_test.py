"""Several columns of texts, weights and ids, in all readers."""

import csv
import json

import pytest

from bigru_jax.data import memory, tabular_files
from bigru_jax.data.table_columns import Columns

_NAMES = 'id', 'title', 'body', 'label', 'share'
_ROWS = [
  ('a1', 'A title', 'its body, with a comma', 'x', 0.5),
  ('007', 'Only a title', None, 'y', 2),
  (None, '', None, 'x', 0),
]
_COLUMNS = Columns('title,body', 'label', weight='share', id='id')
_EXPECTED = [
  ('A title <sep> its body, with a comma', 'x', 0.5, 'a1'),
  ('Only a title <sep> ', 'y', 2.0, '007'),
  ('', 'x', 0.0, ''),
]


def _write(path, names, rows):
  """Writes a table in the format of the extension."""
  if path.suffix == '.parquet':
    import pyarrow
    from pyarrow import parquet

    columns = dict(zip(names, map(list, zip(*rows))))
    parquet.write_table(pyarrow.table(columns), path)
  elif path.suffix == '.json':
    path.write_text(json.dumps([dict(zip(names, row)) for row in rows]))
  elif path.suffix == '.jsonl':
    lines = [json.dumps(dict(zip(names, row))) + '\n' for row in rows]
    path.write_text(''.join(lines))
  else:
    with path.open('w', newline='') as file:
      delimiter = '\t' if path.suffix == '.tsv' else ';'
      csv.writer(file, delimiter=delimiter).writerows([names, *rows])


def _contents(examples):
  return [(x.text, x.label, x.weight, x.id) for x in examples]


@pytest.mark.parametrize(
  'extension', ['csv', 'tsv', 'json', 'jsonl', 'parquet']
)
def test_every_format_gives_the_same_texts_weights_and_ids(tmp_path, extension):
  path = tmp_path / f'file.{extension}'
  _write(path, _NAMES, _ROWS)
  examples = tabular_files.read_file(path, 'train', _COLUMNS)
  assert _contents(examples) == _EXPECTED


@pytest.mark.parametrize('library', ['pandas', 'polars', 'pyarrow', 'datasets'])
def test_every_table_in_memory_gives_the_same(library):
  module = pytest.importorskip(library)
  columns = dict(zip(_NAMES, map(list, zip(*_ROWS))))
  table = {
    'pandas': lambda: module.DataFrame(columns),
    'polars': lambda: module.DataFrame(columns, strict=False),
    'pyarrow': lambda: module.table(columns),
    'datasets': lambda: module.Dataset.from_dict(columns),
  }[library]()
  splits = memory.read({'train': table}, _COLUMNS)
  assert _contents(splits['train']) == _EXPECTED


def test_names_of_classes_replace_indices_beside_several_texts(tmp_path):
  datasets = pytest.importorskip('datasets')
  path = tmp_path / 'file.parquet'
  features = datasets.Features(
    {
      'a': datasets.Value('string'),
      'b': datasets.Value('string'),
      'label': datasets.ClassLabel(names=['no', 'yes']),
    }
  )
  columns = {'a': ['x', 'y'], 'b': ['z', 'z'], 'label': [1, 0]}
  table = datasets.Dataset.from_dict(columns, features)
  table.to_parquet(path)
  columns = Columns('b,a')
  examples = list(tabular_files.read_file(path, 'train', columns))
  assert [(x.text, x.label) for x in examples] == [
    ('z <sep> x', 'yes'), ('z <sep> y', 'no'),
  ]  # fmt: skip
  in_memory = memory.read({'train': table}, columns)['train']
  assert _contents(in_memory) == _contents(examples)


def test_a_column_of_the_whole_name_with_a_comma_comes_first(tmp_path):
  path = tmp_path / 'file.csv'
  path.write_text('"title,body",title,body,label\nwhole,a,b,x\n')
  (example,) = tabular_files.read_file(path, columns=Columns('title,body'))
  assert example.text == 'whole'


@pytest.mark.parametrize(
  'row, message',
  [
    ('t,b,x,-1,7', "row 3: 'share' is not a weight: '-1'"),
    ('t,b,x,,7', "row 3: 'share' is not a weight: ''"),
    ('t,b,x,nan,7', "row 3: 'share' is not a weight: 'nan'"),
    ('t,b,x,inf,7', "row 3: 'share' is not a weight: 'inf'"),
    ('t,b,x,much,7', "row 3: 'share' is not a weight: 'much'"),
  ],
)
def test_a_wrong_weight_is_named_with_its_row(tmp_path, row, message):
  path = tmp_path / 'file.csv'
  path.write_text(f'title,body,label,share,id\nt,b,x,1,7\n{row}\n')
  with pytest.raises(ValueError, match=message):
    list(tabular_files.read_file(path, 'train', _COLUMNS))


@pytest.mark.parametrize(
  'columns, message',
  [
    (Columns('title,text'), "no column 'text'.*see text_column and"),
    (Columns('title', weight='w'), "no column 'w'.*see weight_column"),
    (Columns('title', id='ID'), "no column 'ID'.*see id_column"),
    (Columns('title,title'), 'text_column=title,title names a column twice'),
    (Columns('title,,body'), "text_column='title,,body' has an empty name"),
  ],
)
def test_a_missing_column_is_named_with_its_field(tmp_path, columns, message):
  path = tmp_path / 'file.csv'
  path.write_text('title,body,label\na,b,x\n')
  with pytest.raises(ValueError, match=message):
    list(tabular_files.read_file(path, 'train', columns))
