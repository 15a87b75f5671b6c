"""The columns of prediction tables, which read back equal."""

import csv
import itertools

import numpy as np
import pytest

from bigru_jax.data import tabular_files
from bigru_jax.data.table_columns import Columns
from bigru_jax.inference.prediction_table import (
  label_writer,
  prediction_columns,
)


@pytest.mark.parametrize(
  'separator, labels, is_list',
  [
    ('|', ['up', 'down', 'left'], False),
    ('|', ['up|down', 'all', 'left'], True),
    ('||', ['a|', 'b', '|c'], True),
    ('||', ['a', '|c'], False),
    ('aba', ['xab', 'y'], True),
    ('; ', ['a;b', 'c'], False),
    ('\t', ['a\tb', 'c'], True),
    (',', ['[a', 'b]'], True),
    (',', ['["a"]', '[b]'], True),
    (' ', ['好 看', '"quoted"', "it's"], True),
    ('|', ['1', '0.5', 'nan', 'null', 'true'], False),
  ],
)
def test_any_set_of_labels_reads_back(tmp_path, separator, labels, is_list):
  sets = [
    list(chosen)
    for size in range(len(labels) + 1)
    for chosen in itertools.combinations(labels, size)
  ]
  write = label_writer(labels, separator)
  cells = [write(names) for names in sets]
  assert (cells[0] == '[]') == is_list  # The whole file has one form.
  assert all((cell[:1] == '[') == is_list for cell in cells)
  path = tmp_path / 'x.csv'
  with path.open('w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file)
    writer.writerows([('text', 'label'), *(('a', cell) for cell in cells)])
  examples = tabular_files.read_file(path, columns=Columns(separator=separator))
  assert [list(example.label) for example in examples] == sets


def test_each_of_any_number_of_labels_has_a_column():
  labels = [f'label {i}' for i in range(2000)]
  columns = prediction_columns(labels, '|', ['label', 'probabilities', 'empty'])
  assert list(columns) == [
    'prediction', *(f'probability_{label}' for label in labels), 'empty',
  ]  # fmt: skip
  predictions = {
    'label': [[]],
    'probabilities': np.arange(2000, dtype=np.float32)[None] / 4096,
    'empty': [True],
  }
  ((*cells,),) = zip(*(column(predictions) for column in columns.values()))
  assert cells[0] == '' and cells[-1] == 'true'
  assert cells[1:-1] == [i / 4096 for i in range(2000)]
