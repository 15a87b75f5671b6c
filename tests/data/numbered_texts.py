"""Splits whose texts are numbers, for the tests of what is held out."""

from hypothesis import strategies as st
import numpy as np

from bigru_jax.data.holdout import take_fold
from bigru_jax.data.ragged import pack
from bigru_jax.data.splits import Table, label_array


def make_table(texts, labels):
  """A split of which each text is a number; labels may be lists of them."""
  texts = np.asarray(texts)
  is_multi_label = isinstance(labels[0], list)
  return Table(
    {
      'tokens': pack([[number] for number in texts]),
      'label': pack(labels) if is_multi_label else np.asarray(labels, np.int32),
      'source': np.full(len(texts), 'train', object),
      'row': np.arange(1, len(texts) + 1),
      'digest': texts.astype(np.uint64),
    }
  )


def texts_of(table):
  return table['tokens'].flat().tolist()


def pairs_of(table):
  """The text and the labels of each example."""
  rows = label_array(table['label'], 9).reshape(len(table), -1)
  return list(zip(texts_of(table), map(tuple, rows.tolist())))


ONE_LABEL = st.integers(0, 8)
LABELS = st.lists(st.integers(0, 8), unique=True, max_size=5)


def examples(labels):
  """Examples of equal and of different texts."""
  return st.one_of(
    st.lists(st.tuples(st.integers(0, 30), labels), min_size=3, max_size=80),
    st.lists(labels, min_size=3, max_size=80).map(lambda x: list(enumerate(x))),
  ).filter(lambda x: len({text for text, _ in x}) > 2)


def make_folds(train, folds, seed=0):
  """The splits of every fold."""
  return [
    take_fold({'train': train}, folds, fold, seed)[0] for fold in range(folds)
  ]
