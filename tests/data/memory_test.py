"""Data in memory, from every supported library."""

import importlib

import numpy as np
import pandas
import pyarrow
import pytest
from scipy import sparse

from bigru_jax.config import Config
from bigru_jax.data import memory
from bigru_jax.data.prepare import prepare
from bigru_jax.data.texts import prepare_texts

TEXTS = [f'text {i}' for i in range(12)]
KINDS = ['pos', 'neg', 'neg'] * 4
COLUMNS = {'review': TEXTS, 'kind': KINDS}
NAMES = {'text_column': 'review', 'label_column': 'kind'}
POLARS = pytest.param('polars', marks=pytest.mark.compare('polars'))


def _polars_series(values):
  import polars

  return polars.Series(values)


COLUMN_MAKERS = [
  pandas.Series,
  pytest.param(_polars_series, marks=pytest.mark.compare('polars')),
  pyarrow.array,
  np.array,
]


def _identity(split, **options):
  return prepare(Config(**options), {'train': split}).identity


@pytest.mark.parametrize(
  'library, make',
  [
    ('pandas', lambda x: x.DataFrame(COLUMNS, index=range(50, 62))),
    ('pandas', lambda x: x.DataFrame(COLUMNS).astype({'kind': 'category'})),
    pytest.param(
      'polars',
      lambda x: x.DataFrame(COLUMNS),
      marks=pytest.mark.compare('polars'),
    ),
    ('pyarrow', lambda x: x.table(COLUMNS)),
    ('pyarrow', lambda x: x.RecordBatch.from_pydict(COLUMNS)),
    pytest.param(
      'datasets',
      lambda x: x.Dataset.from_dict(COLUMNS),
      marks=pytest.mark.compare('datasets'),
    ),
  ],
)
def test_tables_are_the_texts_and_labels_of_their_columns(library, make):
  table = make(importlib.import_module(library))
  assert _identity(table, **NAMES) == _identity((TEXTS, KINDS))
  with pytest.raises(ValueError, match=r"'train'\] has no column 'text'; its"):
    _identity(table)


@pytest.mark.compare('datasets')
def test_a_dataset_has_the_names_of_its_classes_and_its_chosen_rows():
  import datasets

  features = datasets.Features(
    review=datasets.Value('string'),
    kind=datasets.ClassLabel(names=['neg', 'pos']),
  )
  dataset = datasets.Dataset.from_dict(COLUMNS, features=features)
  assert _identity(dataset, **NAMES) == _identity((TEXTS, KINDS))
  rows = [7, 3, 5, 0, 1, 9, 10, 4]
  chosen = dataset.select(rows)
  expected = [TEXTS[i] for i in rows], [KINDS[i] for i in rows]
  assert _identity(chosen, **NAMES) == _identity(expected)
  columns = dataset['review'], dataset['kind']
  assert _identity(columns) == _identity((TEXTS, KINDS))
  columns = TEXTS, dataset.with_format('numpy')['kind']
  assert _identity(columns) == _identity((TEXTS, KINDS))
  assert memory.column(chosen['kind'], 'labels') == expected[1]
  splits = datasets.DatasetDict(train=dataset, test=chosen)
  data = prepare(Config(**NAMES), splits)
  assert data.labels == ['neg', 'pos'] and len(data.splits['test']) == 8


@pytest.mark.parametrize('library', ['pandas', POLARS])
def test_a_frame_with_a_column_for_each_label(library):
  frames = importlib.import_module(library)
  frame = frames.DataFrame(
    {'text': TEXTS, 'b': [1, 0] * 6, 'a': [True, True, False] * 4}
  )
  data = prepare(
    Config(task='multi_label', label_column='b,a'), {'train': frame}
  )
  assert data.labels == ['a', 'b']
  sets = data.splits['train'].label_array()
  for row, one in zip(data.splits['train'].table['row'] - 1, sets, strict=True):
    assert one.tolist() == [row % 3 < 2, row % 2 == 0]


@pytest.mark.parametrize('column', COLUMN_MAKERS)
def test_columns_of_every_library_are_read(column):
  expected = _identity((TEXTS, KINDS))
  assert _identity((column(TEXTS), column(KINDS))) == expected


def test_labels_may_be_numbers_with_a_point():
  flags = np.array([1.0, 0.0, 0.0] * 4)
  assert _identity((TEXTS, flags)) == _identity((TEXTS, flags.astype(int)))


def test_a_missing_text_is_an_empty_one():
  for missing in (None, float('nan'), pandas.NA):
    texts = [*TEXTS[:-1], missing]
    data = prepare(Config(), {'train': (texts, KINDS)})
    assert any('1 missing or blank texts' in note for note in data.notes)


@pytest.mark.parametrize(
  'corpus, message',
  [
    ((TEXTS, KINDS), r"is a tuple; give {'train': X}, where X is \(texts, l"),
    (5, 'corpus is an int; give'),
    ({'train': (TEXTS, sparse.eye(12))}, r'matrix, which is sparse; .*toarray'),
    ({'train': (TEXTS, list(sparse.eye(12).tocsr()))}, '1: .* is not a label'),
    ({'train': [('a', 'x'), ('b', 'y')]}, r"corpus\['train'\] is a list; give"),
    ({'train': COLUMNS}, r"corpus\['train'\] is a dict; give \(texts, labels"),
    ({'train': (t for t in TEXTS)}, r"corpus\['train'\] is a generator"),
    ({'train': (TEXTS, KINDS, KINDS)}, r"corpus\['train'\] is a tuple"),
    ({'train': ('text', 'y')}, r"corpus\['train'\] has a str, not a list"),
    ({'train': (TEXTS, iter(KINDS))}, r"corpus\['train'\] has a list_iterator"),
    ({'train': (TEXTS, pyarrow.table(COLUMNS))}, r"'train'\] has a Table, not"),
    ({'train': (TEXTS, KINDS[1:])}, r"'train'\]: 12 texts but 11 labels"),
    ({'train': ([], [])}, 'train has no examples'),
    ({'train': pyarrow.table({'text': [], 'label': []})}, 'train has no examp'),
    ({'train': (['a', b'b'], 'xy')}, 'has a str, not a list, an array or a co'),
    ({'train': (['a', b'b'], ['x', 'y'])}, "row 2: 'text' is not a text: b'b'"),
    ({'train': (TEXTS, KINDS), 'dev': (TEXTS, KINDS)}, "'train', 'dev'; it"),
    ({}, "it needs 'train'"),
  ],
)  # fmt: skip
def test_an_object_that_is_not_a_corpus_is_named(corpus, message):
  with pytest.raises(ValueError, match=message):
    prepare(Config(), corpus)


def test_a_language_model_is_asked_for_texts_alone():
  config = Config(task='language_model')
  with pytest.raises(ValueError, match='where X is a list of texts, a pandas'):
    prepare_texts(config, TEXTS)


def test_a_pair_beside_a_table_with_weights_is_named():
  table = pandas.DataFrame({**COLUMNS, 'w': 0.5})
  with pytest.raises(
    ValueError, match=r"w needs a table, and corpus\['test'\]"
  ):
    prepare(
      Config(weight_column='w', **NAMES),
      {'train': table, 'test': (TEXTS, KINDS)},
    )


def test_one_hot_rows_need_the_task():
  hot = np.eye(2, dtype=int)[[0, 1] * 6]
  with pytest.raises(ValueError, match='row 1: .* is a list; .* one class, or'):
    prepare(Config(), {'train': (TEXTS, hot)})


@pytest.mark.parametrize('column', [*COLUMN_MAKERS, iter])
def test_texts_of_every_library_are_read(column):
  assert list(memory.check_texts(column(TEXTS))) == TEXTS


@pytest.mark.parametrize(
  'texts, message',
  [
    ('one', "texts='one' is one string; give a list"),
    (b'one', 'is one string'),
    ({'text': TEXTS}, 'texts is a dict; give a list of strings'),
    (pyarrow.table(COLUMNS), 'texts is a Table; .* one column'),
    (None, 'texts is a NoneType'),
    (5, 'texts is an int; give'),
    (['a', 'b', None], 'texts: text 3 is None, not a string'),
    (['a', float('nan')], 'text 2 is nan, not a string'),
    ([b'a'], "text 1 is b'a', not a string"),
    (np.array([['a', 'b']]), 'text 1 is .*, not a string'),
    (iter(['a', 3]), 'text 2 is 3, not a string'),
  ],
)
def test_a_value_that_is_not_a_text_is_named(texts, message):
  with pytest.raises(ValueError, match=message):
    list(memory.check_texts(texts))


def test_sparse_labels_are_named_in_an_evaluation():
  with pytest.raises(ValueError, match='labels has a .* give its toarray'):
    memory.column(sparse.csr_matrix(np.eye(2)), 'labels')
