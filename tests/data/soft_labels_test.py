"""Soft labels and example weights, from files and memory to batches."""

import csv
import dataclasses
import json

from hypothesis import given, settings, strategies as st
import numpy as np
import pandas as pd
import pyarrow
from pyarrow import parquet
import pytest
from sklearn.utils.class_weight import compute_class_weight

from bigru_jax.config import Config
from bigru_jax.data.class_weights import weigh_classes
from bigru_jax.data.prepare import prepare
from bigru_jax.data.soft_labels import distribution

NAMES = ['c', 'a', 'b']
RNG = np.random.default_rng(0)
# For any number of labels, and for exactly one.
VALUES = RNG.integers(0, 21, (40, 3)) / 20
SHARES = RNG.dirichlet([1, 1, 1], 40).round(3)
WEIGHTS = RNG.integers(0, 9, 40) / 4
TEXTS = [f'text {i} of {"ab"[i % 2]}' for i in range(40)]
MULTI = {'task': 'multi_label'}


def _write(path, rows):
  """Writes rows in the format of the extension, and returns the path."""
  if path.suffix == '.parquet':
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
  elif path.suffix == '.jsonl':
    path.write_text('\n'.join(map(json.dumps, rows)))
  else:
    with path.open('w', newline='') as file:
      delimiter = '\t' if path.suffix == '.tsv' else ','
      writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
      writer.writeheader()
      writer.writerows(rows)
  return str(path)


def _columns(values, **more):
  """Returns a row per text with a column for each label."""
  columns = {'text': TEXTS, **dict(zip(NAMES, np.transpose(values).tolist()))}
  columns |= {name: list(x) for name, x in more.items()}
  return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _objects(values, form=lambda x: x):
  """Returns a row per text with an object; labels of 0 are left out."""
  objects = [{n: x for n, x in zip(NAMES, row) if x} for row in values.tolist()]
  return [{'text': t, 'label': form(x)} for t, x in zip(TEXTS, objects)]


def _column(data, name):
  """Returns a column of the tables of all splits, in the order of the rows."""
  tables = [split.table for split in data.splits.values()]
  order = np.argsort(np.concatenate([table['row'] for table in tables]))
  return np.concatenate([table[name] for table in tables])[order]


def _check(data, values, is_hard):
  """Checks the targets and the labels of soft labels."""
  assert data.labels == sorted(NAMES)
  expected = values[:, np.argsort(NAMES)].astype(np.float32)
  np.testing.assert_allclose(_column(data, 'target'), expected, rtol=1e-6)
  splits = data.splits.values()
  order = np.argsort(np.concatenate([split.table['row'] for split in splits]))
  labels = np.concatenate([split.label_array() for split in splits])[order]
  np.testing.assert_array_equal(labels, is_hard(expected))


def _check_multi(data):
  _check(data, VALUES, lambda target: target >= 0.5)


def _check_single(data):
  shares = SHARES / SHARES.sum(1, keepdims=True)
  _check(data, shares, lambda target: target.argmax(1))


@pytest.mark.parametrize('name', ['x.csv', 'x.tsv', 'x.jsonl', 'x.parquet'])
def test_columns_of_numbers_are_read_from_every_format(tmp_path, name):
  columns = {'label_column': ','.join(NAMES)}
  path = _write(tmp_path / name, _columns(VALUES))
  data = prepare(Config(train=path, **MULTI, **columns))
  _check_multi(data)
  assert 'labels: a number from 0 to 1 for each of 3 labels, c, a, b' in (
    data.notes
  )
  assert any('at least 0.5' in note for note in data.notes)
  path = _write(tmp_path / name, _columns(SHARES))
  data = prepare(Config(train=path, soft_labels=True, **columns))
  _check_single(data)
  assert any('most probable class' in note for note in data.notes)


@pytest.mark.parametrize(
  'name, form',
  [
    ('x.csv', json.dumps),
    ('x.csv', repr),
    ('x.jsonl', lambda x: x),
    ('x.jsonl', json.dumps),
    ('x.parquet', lambda x: x),  # A struct, with null where a name is absent.
  ],
)
def test_objects_by_label_are_read_from_every_format(tmp_path, name, form):
  path = _write(tmp_path / name, _objects(VALUES, form))
  _check_multi(prepare(Config(train=path, soft_labels=True, **MULTI)))
  path = _write(tmp_path / name, _objects(SHARES, form))
  _check_single(prepare(Config(train=path, soft_labels=True)))


def test_memory_and_files_agree(tmp_path):
  soft = Config(soft_labels=True)
  named = dataclasses.replace(soft, label_names=','.join(NAMES))
  objects = [row['label'] for row in _objects(SHARES)]
  columns = dataclasses.replace(soft, label_column=','.join(NAMES))
  path = _write(tmp_path / 'x.csv', _columns(SHARES))
  expected = prepare(dataclasses.replace(columns, train=path))
  for config, split in [
    (soft, (TEXTS, objects)),
    (named, (TEXTS, SHARES)),
    (named, (TEXTS, SHARES.tolist())),
    (columns, pd.DataFrame(_columns(SHARES))),
    (soft, pd.DataFrame(_objects(SHARES))),
    (columns, pyarrow.Table.from_pylist(_columns(SHARES))),
  ]:
    data = prepare(config, {'train': split})
    np.testing.assert_array_equal(
      _column(data, 'target'), _column(expected, 'target')
    )
    _check_single(data)
  path = _write(tmp_path / 'x.csv', _columns(VALUES))
  config = Config(**MULTI, train=path, label_column=','.join(NAMES))
  identity = prepare(config).identity
  for dtype in (np.float32, np.float64):
    lists = Config(**MULTI, label_names=','.join(NAMES))
    data = prepare(lists, {'train': (TEXTS, VALUES.astype(dtype))})
    _check_multi(data)
    assert data.identity == identity


def _with_zeros_and_ones(rows, form):
  return [
    {k: form[v] if k in NAMES else v for k, v in row.items()} for row in rows
  ]


@pytest.mark.parametrize(
  'form', [['0', '1'], ['0.0', '1.0'], ['False', 'True']]
)
@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
def test_numbers_that_are_0_or_1_are_names(tmp_path, form, task):
  is_multi_label = task == 'multi_label'
  hot = RNG.integers(0, 2, (40, 3)) if is_multi_label else np.eye(3, dtype=int)
  hot = hot[np.arange(40) % len(hot)]
  names = [[n for n, x in zip(NAMES, row) if x] for row in hot]
  labels = [json.dumps(x) if is_multi_label else x[0] for x in names]
  rows = [{'text': t, 'label': x} for t, x in zip(TEXTS, labels)]
  expected = prepare(
    Config(task=task, train=_write(tmp_path / 'names.csv', rows))
  )
  rows = _with_zeros_and_ones(_columns(hot), form)
  data = prepare(
    Config(
      task=task,
      train=_write(tmp_path / 'hot.csv', rows),
      label_column=','.join(NAMES),
      soft_labels=not is_multi_label,
    )
  )
  assert data.labels == expected.labels
  for split, other in zip(data.splits.values(), expected.splits.values()):
    assert split.table.columns.keys() == other.table.columns.keys()
    for (shape, indices), (_, others) in zip(
      split.plan(8, 1), other.plan(8, 1)
    ):
      np.testing.assert_array_equal(indices, others)
      batch = other.batch(indices, shape, 8)
      for name, value in split.batch(indices, shape, 8).items():
        np.testing.assert_array_equal(value, batch[name])


def test_names_and_probabilities_may_be_mixed():
  labels = ['a', {'a': 0.25, 'b': 0.75}, 'b', '{"b": 1}', {'a': 0.5, 'b': 0.5}]
  corpus = {'train': (TEXTS[:5], labels)}
  corpus |= {'validation': (['x'], ['a']), 'test': (['y'], [{'a': 1}])}
  data = prepare(Config(soft_labels=True), corpus)
  train = data.splits['train'].table
  assert data.labels == ['a', 'b']
  assert train['target'].tolist() == [[1, 0], [0.25, 0.75], [0, 1], [0, 1],
                                      [0.5, 0.5]]  # fmt: skip
  assert train['label'].tolist() == [0, 1, 1, 1, 0]
  assert 'target' not in data.splits['test'].table


@settings(max_examples=50, deadline=None)
@given(
  st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda x: sum(x)),
  st.floats(-9e-4, 9e-4),
)
def test_a_distribution_is_normalized(shares, error):
  shares = np.array(shares) / sum(shares) * (1 + error)
  written = {f'{i}': repr(x) for i, x in enumerate(shares.tolist())}
  label = distribution(written, 'label')
  values = np.array(list(label.values.values()))
  assert abs(values.sum() - 1) < 1e-6
  np.testing.assert_allclose(values, shares / shares.sum(), atol=1e-6)
  (name,) = label
  assert label.values[name] == values.max()


SOFT = {'soft_labels': True}


@pytest.mark.parametrize(
  'fields, labels, message',
  [
    (SOFT, [{'a': 0.5, 'b': 0.4}], "'label' sum to 0.9, not to 1: {'a': 0.5"),
    (SOFT, ['{"a": 0.7, "b": 0.4}'], "'label' sum to 1.1, not to 1"),
    (SOFT, [{'a': -0.5, 'b': 1.5}], "'a' is not a number of 0 or more: -0.5"),
    (SOFT, [{'a': float('nan'), 'b': 1}], "'a' is not a number of 0 or more"),
    (SOFT, [{}], "'label' sum to 0, not to 1"),
    (SOFT, [{'a': 'much'}], "'a' is not a number of 0 or more: 'much'"),
    (SOFT, [[0.5, 0.5]], r"'label' is a list, \[0.5, 0.5\]; see label_names"),
    (
      {**SOFT, 'label_names': 'x,y'},
      [[0.5, 0.2, 0.3]],
      'a list of 3, not of 2',
    ),
    (
      {**SOFT, 'label_names': 'x,y'},
      [{'z': 1}],
      "'z'; the labels are 'x', 'y'",
    ),
    ({**SOFT, 'label_names': 'x,y'}, ['z'], "'z'; the labels are 'x', 'y'"),
    ({**SOFT, **MULTI}, [{'a': 1.5}], "'a' is not a number from 0 to 1: 1.5"),
    ({**SOFT, **MULTI}, [{'a': -1}], "'a' is not a number from 0 to 1: -1"),
    ({}, [{'a': 0.5, 'b': 0.5}], 'is an object; see soft_labels'),
    ({}, ['{"a": 0.5, "b": 0.5}'], 'is an object; see soft_labels'),
    (MULTI, ['{"a": 0.5}'], 'is an object; see soft_labels'),
    (MULTI, [[0.5, 1.5]], 'mixes numbers between 0 and 1 with others'),
    (MULTI, [['a'], [0.5, 1]], 'row 2: .* holds a number between 0 and 1'),
    (MULTI, [[0.5, 1], ['a']], 'row 2: .* is not a list of 2 zeros and ones'),
  ],
)
def test_a_wrong_soft_label_is_named(fields, labels, message):
  row = f'row {len(labels)}: ' if 'row' not in message else ''
  with pytest.raises(ValueError, match=rf"corpus\['train'\], {row}.*{message}"):
    prepare(Config(**fields), {'train': (TEXTS[: len(labels)], labels)})


def test_errors_name_the_file_and_the_line(tmp_path):
  rows = _columns(SHARES)
  rows[7]['a'] += 0.125
  path = _write(tmp_path / 'x.csv', rows)
  config = Config(train=path, soft_labels=True, label_column='a,b,c')
  total = SHARES[7].sum() + 0.125
  with pytest.raises(ValueError, match=f'x.csv, row 9: .* sum to {total:.3f}'):
    prepare(config)
  with pytest.raises(ValueError, match="no label 'z'"):
    corpus = {'train': (['x', 'y'], ['a', 'b']), 'test': (['x'], [{'z': 1}])}
    prepare(Config(soft_labels=True), corpus)


@pytest.mark.parametrize('fields', [{}, MULTI])
def test_soft_labels_that_are_all_names_are_refused(fields):
  config = Config(soft_labels=True, **fields)
  with pytest.raises(
    ValueError, match='soft_labels needs a number for each cl'
  ):
    prepare(config, {'train': (TEXTS, ['a', 'b'] * 20)})


@pytest.mark.parametrize('name', ['x.csv', 'x.tsv', 'x.jsonl', 'x.parquet'])
def test_weights_are_read_from_every_format(tmp_path, name):
  rows = _columns(VALUES, w=WEIGHTS)
  fields = {**MULTI, 'label_column': 'a,b,c', 'weight_column': 'w'}
  config = Config(train=_write(tmp_path / name, rows), **fields)
  in_memory = prepare(Config(**fields), {'train': pd.DataFrame(rows)})
  for data in (prepare(config), in_memory):
    for column in ('example_weight', 'weight'):
      weights = _column(data, column)
      assert weights.dtype == np.float32
      np.testing.assert_array_equal(weights, WEIGHTS.astype(np.float32))
    total = data.splits['test'].table['example_weight'].sum()
    assert any(f'weights that sum to {total:g}' in x for x in data.notes)
  others = prepare(dataclasses.replace(config, weight_column=''))
  assert 'example_weight' not in others.splits['train'].table
  assert others.identity['train'] != data.identity['train']


@pytest.mark.parametrize(
  'weights, message',
  [
    ([-1], 'row 1'), ([1, float('nan')], 'row 2'), ([1e39], 'row 1'),
    ([float('inf')], 'row 1'), ([1, None], 'row 2'), (['many'], 'row 1'),
    ([0] * 40, 'weight_column=w: all weights of train are 0'),
    ([1] + [0] * 39, 'weight_column=w: all weights of .* are 0'),
  ],
)  # fmt: skip
def test_a_wrong_weight_is_named(weights, message):
  weights = [*weights, *[1] * (40 - len(weights))]
  table = pd.DataFrame({'text': TEXTS, 'label': ['a', 'b'] * 20, 'w': weights})
  with pytest.raises(ValueError, match=rf"corpus\['train'\].*{message}"):
    prepare(Config(weight_column='w'), {'train': table})


def test_the_identity_has_soft_values_and_weights():
  def identity(labels, weights=(1, 1, 1)):
    columns = {'text': ['x', 'y', 'z'], 'label': labels, 'w': weights}
    config = Config(soft_labels=True, weight_column='w')
    return prepare(config, {'train': pd.DataFrame(columns)}).identity['train']

  labels = [{'a': 0.75, 'b': 0.25}, {'b': 1}, {'a': 1}]
  before = identity(labels)
  assert identity([{'b': 0.25, 'a': 0.75}, *labels[1:]]) == before
  assert identity([{'a': 0.7, 'b': 0.3}, *labels[1:]]) != before
  assert identity(labels, [1, 2, 1]) != before


@pytest.mark.parametrize(
  'fields', [{}, {'folds': 3, 'fold': 1}, {'model': 'hierarchical'}]
)
def test_targets_and_weights_follow_their_texts(fields):
  rows = _columns(SHARES, w=WEIGHTS)
  config = Config(
    soft_labels=True, label_column='a,b,c', weight_column='w', **fields
  )
  data = prepare(config, {'train': pd.DataFrame(rows)})
  shares = SHARES[:, np.argsort(NAMES)]
  shares = shares / shares.sum(1, keepdims=True)
  seen = []
  for split in data.splits.values():
    split = split.with_num_shards(2)
    for shape, indices in split.plan(8, 3):
      rows = split.table['row'][indices] - 1
      batch = split.batch(indices, shape, 8)
      parts = [split.local_batch(indices, shape, 8, i, 2) for i in range(2)]
      for name, expected in (('targets', shares), ('weights', WEIGHTS)):
        padded = np.zeros((8, *expected.shape[1:]), np.float32)
        padded[: len(rows)] = expected[rows]
        np.testing.assert_allclose(batch[name], padded, rtol=1e-6)
        np.testing.assert_array_equal(
          batch[name], np.concatenate([part[name] for part in parts])
        )
      # A weight of 0 does not make a text padding.
      assert (batch['lengths'] > 0).tolist() == [
        i < len(rows) for i in range(8)
      ]
      seen += rows.tolist()
  assert sorted(seen) == list(range(40))


@pytest.mark.parametrize('setting', ['1,3,0.5', 'balanced'])
def test_class_weights_multiply_the_weights_of_examples(setting):
  rows = _columns(SHARES, w=WEIGHTS)
  config = Config(soft_labels=True, label_column='a,b,c', weight_column='w')
  data = weigh_classes(prepare(config, {'train': pd.DataFrame(rows)}), setting)
  train = data.splits['train'].table
  weights_C = np.array([1, 3, 0.5])
  if setting == 'balanced':
    masses = train['example_weight'] @ train['target']
    weights_C = masses.sum() / (3 * masses)
  np.testing.assert_allclose(data.label_weights, weights_C, rtol=1e-5)
  expected = train['example_weight'] * (train['target'] @ weights_C)
  np.testing.assert_allclose(train['weight'], expected, rtol=1e-5)


def test_balanced_weights_of_hard_labels_are_those_of_scikit_learn():
  labels = list('aaabbaaaac' * 4)
  table = pd.DataFrame({'text': TEXTS, 'label': labels, 'w': [2.0] * 40})
  plain = weigh_classes(
    prepare(Config(), {'train': (TEXTS, labels)}), 'balanced'
  )
  train = [plain.labels[i] for i in plain.splits['train'].table['label']]
  expected = compute_class_weight(
    'balanced', classes=np.array([*'abc']), y=train
  )
  np.testing.assert_allclose(plain.label_weights, expected, rtol=1e-6)
  weighted = prepare(Config(weight_column='w'), {'train': table})
  np.testing.assert_allclose(
    weigh_classes(weighted, 'balanced').label_weights, expected, rtol=1e-6
  )


def test_balanced_label_weights_count_values_and_weights():
  rows = _columns(VALUES, w=WEIGHTS)
  config = Config(**MULTI, label_column='a,b,c', weight_column='w')
  data = weigh_classes(
    prepare(config, {'train': pd.DataFrame(rows)}), 'balanced'
  )
  train = data.splits['train'].table
  masses = train['example_weight'].astype(float) @ train['target']
  expected = (train['example_weight'].sum() - masses) / masses
  np.testing.assert_allclose(data.label_weights, expected, rtol=1e-5)
  np.testing.assert_array_equal(train['weight'], train['example_weight'])


@pytest.mark.parametrize('extension', ['.csv', '.jsonl', '.parquet'])
def test_a_column_of_numbers_has_the_probability_of_class_1(
  tmp_path, extension
):
  numbers = [0.0, 1.0, 0.25, 0.75] * 10
  rows = [{'text': t, 'label': x} for t, x in zip(TEXTS, numbers)]
  path = _write(tmp_path / f'train{extension}', rows)
  data = prepare(Config(train=path, soft_labels=True))
  assert data.labels == ['0', '1']
  np.testing.assert_allclose(
    _column(data, 'target'), [[1 - x, x] for x in numbers], rtol=1e-6
  )
