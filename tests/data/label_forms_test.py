"""Lists of numbers that are either names of labels or multi-hot."""

import numpy as np
import pytest
from sklearn.preprocessing import MultiLabelBinarizer

from bigru_jax.config import Config
from bigru_jax.data import label_forms, labels
from bigru_jax.data.prepare import prepare

SETS = [('a', 'c'), (), ('b',), ('a',), ('b', 'c'), ('a', 'b', 'c')] * 3


TEXTS = [f'text {i}' for i in range(len(SETS))]


HOT = MultiLabelBinarizer().fit_transform(SETS)


def _labels(lists, **options):
  """The names of the labels and each training text's set of labels."""
  texts = [f'text {i}' for i in range(len(lists))]
  held_out = (['x'], [lists[0]])
  corpus = {'train': (texts, lists), 'validation': held_out, 'test': held_out}
  data = prepare(Config(task='multi_label', **options), corpus)
  array = data.splits['train'].label_array()
  return data.labels, [
    {data.labels[i] for i in np.flatnonzero(row)} for row in array
  ]


@pytest.mark.parametrize(
  'lists, names, sets',
  [
    ([[0, 1], [5], [0]], '0 1 5', [{'0', '1'}, {'5'}, {'0'}]),
    ([[0, 1], [0], []], '0 1', [{'0', '1'}, {'0'}, set()]),
    ([['0'], ['1', '0']], '0 1', [{'0'}, {'0', '1'}]),
    ([[0, 1], [1, 0]], '0 1', [{'1'}, {'0'}]),
    ([[0, 1], [1, 1], [1, 0]], '0 1', [{'1'}, {'0', '1'}, {'0'}]),
    ([[True], [False]], '0', [{'0'}, set()]),
    ([['0', '1'], ['1', '0']], '0 1', [{'0', '1'}] * 2),
    ([[True, 1], [0, True], [False, 0.0]], '0 1', [{'0', '1'}, {'1'}, set()]),
  ],
)
def test_multi_hot_lists_are_recognized(lists, names, sets):
  assert _labels(lists) == (names.split(), sets)


@pytest.mark.parametrize(
  'lists, message',
  [
    ([[0, 1, 1], [0, 1]], 'row 2: .* 2 zeros and ones, but the others have 3'),
    ([[0, 1], [0, 1, 1]], 'row 2: .* 3 zeros and ones, but the others have 2'),
    ([[0, 1, 1], None], "row 2: 'label', which is missing or empty, is not a"),
    ([[0, 1, 1], [0, 2, 1]], r'row 2: the list \[0, 2, 1\] is not a list of 3'),
    ([[0, 1, 1], ['0', '1']], r'row 2: the list \["0", "1"\] is not a list'),
    ([[0, 1, 1], [True, 2, 0]], r"row 2: 'label' mixes booleans .* \[True, 2"),
    ([['a'], ['b', True]], "row 2: 'label' mixes booleans and other values"),
    (['[0 1 ... 0]'], "row 1: 'label' holds a list that was abbreviated"),
    (['[0, 1, ..., 0]'], "row 1: 'label' holds a list that was abbreviated"),
    (["{'a': 1}"], "row 1: .* {'a': 1} is an object; see soft_labels"),
    ([{'a': 0.5}], "row 1: .* {'a': 0.5} is an object; see soft_labels"),
    (['{{a},{b}}'], "row 1: 'label' is neither a JSON list nor"),
    (['{a,NULL}'], "row 1: 'label' is not a label: it is missing"),
    ([[3], [0, 1, 1]], "row 2: 'label' has the label '1' twice; .*, row 1"),
    ([[0], [1]], 'row 1: every text has a list of one number'),
    ([['a', 'b', 'a']], "row 1: 'label' has the label 'a' twice"),
    (['a| b|b'], "row 1: 'label' has the label 'b' twice"),
    ([[1, 1.0, 2]], "'label' has the label '1' twice"),
    ([[0.3, 2]], 'row 1: .* mixes numbers between 0 and 1 with others'),
    ([[3], [0.5, 1]], 'row 2: .* number between 0 and 1; .*row 1'),
    ([['a'], ['b', None]], "row 2: 'label' is not a label: it is missing"),
    (["['a' 'b']"], "row 1: 'label' is neither a JSON list nor a Python list"),
    (['[a]'], 'neither a JSON list nor'),
    (['[__import__("os")]'], 'neither a JSON list nor'),
    ([[['a']]], 'is a list'),
    ([b'a'], "is not a label: b'a'"),
  ],
)
def test_ambiguous_lists_are_refused(lists, message):
  with pytest.raises(ValueError, match=message):
    _labels(lists)


def test_label_names_decide_the_meaning_of_a_list_of_one_number():
  assert _labels([[0], [1]], label_names='x') == (['x'], [set(), {'x'}])
  with pytest.raises(ValueError, match='row 1: .* but the others have 1'):
    _labels([[0, 1], [1, 0]], label_names='x')
  with pytest.raises(ValueError, match=r'row 1: .* is not a list of 2 zeros'):
    _labels(['a|b'], label_names='a,b')


def test_the_other_splits_follow_train():
  config = Config(task='multi_label')
  corpus = {'train': (TEXTS, HOT), 'test': (['x'], [[0, 1]])}
  with pytest.raises(ValueError, match=r"'test'\], row 1: a list of 2"):
    prepare(config, corpus)
  corpus = {'train': (TEXTS, SETS), 'test': (['x'], [[0, 1, 1]])}
  with pytest.raises(ValueError, match=r"'test'\], row 1: .* '1' twice"):
    prepare(config, corpus)


def test_a_run_reads_lists_as_its_training_did():
  corpus = {'train': (TEXTS, HOT)}
  config = Config(task='multi_label', label_names='z,y,x')
  identity = prepare(config, corpus).identity
  form = label_forms.form_of(identity)
  flags = labels.as_labels(np.array([1, 0, 0]), 'label', '|')
  assert form.names_of(flags, 'labels', 1) == ('z',)
  assert form.names_of(('x', 'y'), 'labels', 2) == ('x', 'y')
  with pytest.raises(ValueError, match='labels, row 3: a list of 2 zeros'):
    form.names_of(labels.Flags(('0', '1')), 'labels', 3)
  columns = labels.Flags(('1', '0'), ('x', 'y'))
  assert form.names_of(columns, 'labels', 4) == ('x',)
  strict = label_forms.form_of(identity, ['x', 'y', 'z'])
  message = "input=a.csv: label_column=x,y names no column for the labels 'z'"
  with pytest.raises(ValueError, match=message):
    strict.names_of(columns, 'input=a.csv', 4)
  # Names leave no trace, so the identity of a run is what it was.
  assert list(prepare(Config(task='multi_label'), {'train': (TEXTS, SETS)})
              .identity) == ['train']  # fmt: skip
  form = label_forms.form_of({})
  assert form.names_of(labels.Flags(('0', '1')), 'x', 1) == ('0', '1')
