"""Tables, the labels of their examples, and the order of labels."""

import itertools

import numpy as np
import pytest

from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table, label_array, label_pairs, sort_labels


@pytest.mark.parametrize(
  'labels', list(itertools.permutations(['1', '01', '001']))
)
def test_the_order_is_a_function_of_the_labels(labels):
  assert sort_labels(labels) == ['001', '01', '1']


def test_numbers_are_sorted_by_value_and_others_alphabetically():
  assert sort_labels({'10', '9', '2', '-1'}) == ['-1', '2', '9', '10']
  assert sort_labels({'10', '9', 'b'}) == ['10', '9', 'b']
  assert sort_labels({'0.5', '10', '1', '-2'}) == ['-2', '0.5', '1', '10']
  assert sort_labels({'nan', '10', '9'}) == ['10', '9', 'nan']


def test_labels_convert_between_arrays_and_pairs():
  labels = pack([[2, 0], [], [1]])
  assert label_array(labels, 3).tolist() == [
    [True, False, True], [False] * 3, [False, True, False],
  ]  # fmt: skip
  owners, ids = label_pairs(labels[np.array([2, 0])])
  assert owners.tolist() == [0, 1, 1] and ids.tolist() == [1, 2, 0]


def test_selected_examples_have_all_columns_without_copying_tokens():
  columns = {'tokens': pack([[1, 2], [3], []]), 'new': np.array([4, 5, 6])}
  table = Table(columns).take(np.array([2, 0]))
  assert len(table) == 2 and table['new'].tolist() == [6, 4]
  assert table['tokens'].flat().tolist() == [1, 2]
  assert table['tokens'].values is columns['tokens'].values
