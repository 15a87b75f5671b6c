"""Sets of labels, and the labels' order."""

import itertools

import numpy as np
import pytest

from bigru_jax.data import text
from bigru_jax.data.splits import LabelSets, sort_labels


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


def test_label_sets_as_arrays():
  sets = LabelSets(text.pack([[2, 0], [], [1]]))
  assert sets.multi_hot(3).tolist() == [
    [True, False, True], [False] * 3, [False, True, False],
  ]  # fmt: skip
  some = sets[np.array([2, 0])].translated(np.array([5, 6, 7]))
  rows, ids = some.pairs()
  assert rows.tolist() == [0, 1, 1] and ids.tolist() == [6, 7, 5]
