"""Arbitrary files and texts give a result or one clear error."""

import csv
import gzip
import json

from hypothesis import HealthCheck, assume, given, settings, strategies as st
import pandas
import pyarrow
from pyarrow import csv as _csv, parquet as _parquet  # noqa: F401 (loads them)
import pytest

import bigru_jax
from bigru_jax.data import embeddings, tabular_files

pytestmark = pytest.mark.slow

_settings = settings(
  deadline=None,
  max_examples=600,
  suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_any_text = st.text(st.characters(exclude_categories=[]), max_size=40)
_field = st.one_of(_any_text, st.sampled_from(['text', 'label', '"', '\x00']))
_table = st.lists(st.lists(_field, max_size=4), max_size=5).map(
  lambda rows: '\n'.join(map(','.join, rows)).encode('utf-8', 'surrogatepass')
)
_records = st.lists(
  st.dictionaries(
    st.sampled_from(['text', 'label']),
    st.one_of(_any_text, st.none(), st.integers(), st.floats()),
  ),
  max_size=5,
).map(lambda rows: '\n'.join(map(json.dumps, rows)).encode())
_content = st.one_of(st.binary(max_size=200), _table, _records)


@pytest.mark.parametrize(
  'name', ['a.csv', 'a.tsv', 'a.jsonl', 'a.json', 'a.parquet']
)
@_settings
@given(
  content=_content,
  header=st.sampled_from([b'', b'text,label\n', b'text\tlabel\n', b'PAR1']),
  zipped=st.booleans(),
)
def test_any_file_is_read_or_named(tmp_path, name, content, header, zipped):
  path = tmp_path / (f'{name}.gz' if zipped else name)
  content = header + content
  path.write_bytes(gzip.compress(content) if zipped else content)
  try:
    examples = list(tabular_files.read_file(path, 'train'))
  except (ValueError, FileNotFoundError) as error:
    assert str(error).startswith(f'train={path}')
    return
  assert examples and all(isinstance(x.text, str) for x in examples)
  rows = [x.row for x in examples]
  assert rows == sorted(set(rows))
  if name == 'a.jsonl' and not content.lstrip().startswith(b'['):
    assert len(examples) == sum(
      bool(line.strip()) for line in content.decode().split('\n')
    )


_texts = st.text(
  st.characters(exclude_categories=['Cs'], exclude_characters='\x00'),
  max_size=20,
) | st.text('ab ,;\t"\n\r\'', max_size=12)
_rows = st.lists(
  st.tuples(_texts, st.text('xyz', min_size=1, max_size=3)),
  min_size=1,
  max_size=6,
)


def _by_csv(rows, path, dialect):
  with path.open('w', encoding='utf-8', newline='') as file:
    csv.writer(file, dialect).writerows([('text', 'label'), *rows])


def _by_pandas(rows, path, method, **options):
  # It does not quote a carriage return, and cannot read that back itself.
  assume(method != 'to_csv' or not any('\r' in text for text, _ in rows))
  frame = pandas.DataFrame(rows, columns=['text', 'label'])
  getattr(frame, method)(path, **options)


def _by_pyarrow(rows, path, write):
  texts, labels = map(list, zip(*rows))
  write(pyarrow.table({'text': texts, 'label': labels}), path)


_WRITERS = {
  'excel.csv': lambda rows, path: _by_csv(rows, path, 'excel'),
  'unix.csv': lambda rows, path: _by_csv(rows, path, 'unix'),
  'tabs.tsv': lambda rows, path: _by_csv(rows, path, 'excel-tab'),
  'pandas.csv': lambda rows, path: _by_pandas(
    rows, path, 'to_csv', index=False
  ),
  'index.csv': lambda rows, path: _by_pandas(rows, path, 'to_csv', sep=';'),
  'pandas.tsv': lambda rows, path: _by_pandas(
    rows, path, 'to_csv', index=False, sep='\t'
  ),
  'pandas.csv.gz': lambda rows, path: _by_pandas(
    rows, path, 'to_csv', index=False
  ),
  'pandas.jsonl': lambda rows, path: _by_pandas(
    rows, path, 'to_json', orient='records', lines=True
  ),
  'pandas.json': lambda rows, path: _by_pandas(
    rows, path, 'to_json', orient='records'
  ),
  'pandas.parquet': lambda rows, path: _by_pandas(rows, path, 'to_parquet'),
  'pyarrow.csv': lambda rows, path: _by_pyarrow(
    rows, path, pyarrow.csv.write_csv
  ),
  'pyarrow.parquet': lambda rows, path: _by_pyarrow(
    rows, path, pyarrow.parquet.write_table
  ),
}


@pytest.mark.parametrize('name', _WRITERS)
@settings(_settings, max_examples=150)
@given(rows=_rows)
def test_files_of_other_libraries_are_read_back_equal(tmp_path, name, rows):
  path = tmp_path / name
  _WRITERS[name](rows, path)
  found = [(x.text, x.label) for x in tabular_files.read_file(path, 'train')]
  assert found == rows


@pytest.mark.parametrize('name', ['a.txt', 'a.bin'])
@_settings
@given(content=_content, header=st.sampled_from([b'', b'2 2\n', b'a 1 2\n']))
def test_any_vector_file_is_read_or_named(tmp_path, name, content, header):
  path = tmp_path / name
  path.write_bytes(header + content)
  try:
    vectors = embeddings.load_vectors(path, {'a', 'text', ''}, 2)
  except ValueError as error:
    assert str(error).startswith(f'embeddings={path}')
    return
  assert all(vector.shape == (2,) for vector in vectors.values())


@pytest.fixture(scope='module')
def trained(run_directory):
  return bigru_jax.load(run_directory)


@settings(deadline=None, max_examples=300)
@given(texts=st.lists(_any_text, max_size=12))
def test_any_text_is_predicted(trained, texts):
  answers = trained.predict(texts, batch_size=8)
  assert len(answers) == len(texts)
  for answer in answers:
    assert json.loads(json.dumps(answer)) is not None
    assert answer['label'] in ('negative', 'positive')
    assert abs(sum(answer['probabilities'].values()) - 1) < 1e-4
    (weights,) = answer['attention']['words']
    assert len(weights) == len(answer['tokens'])
    assert abs(sum(weights) - 1) < 1e-4
