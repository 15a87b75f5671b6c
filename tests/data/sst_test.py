"""The Stanford Sentiment Treebank: its trees, phrases and classes."""

import pytest
from reading import FIXTURES, read_fixture

from bigru_jax.config import Config
from bigru_jax.data import sources
from bigru_jax.data.corpora import sst


def test_sst1_has_five_classes_and_sst2_two():
  five = read_fixture('sst1', 'sst')
  assert five['train'].labels == ['3', '1', '2', '4', '0']
  assert five['train'].texts[0] == 'A fine film .'
  assert five['train'].texts[3] == 'Splendid ( again )'
  assert five['train'].texts[4] == 'Awful and/or dull'
  two = read_fixture('sst2', 'sst')
  assert two['train'].labels == ['positive', 'negative', 'positive', 'negative']
  assert {name: len(split) for name, split in two.items()} == {
    'train': 4, 'validation': 1, 'test': 2,
  }  # fmt: skip


def test_phrases_are_distinct_and_only_in_train():
  splits = read_fixture('sst2', 'sst', sst_phrases=True)
  train = splits['train']
  assert len(set(train.texts)) == len(train.texts)
  assert ('fine', 'positive') in zip(train.texts, train.labels)
  assert 'film' not in train.texts  # It is neutral.
  assert len(splits['test']) == 2


def test_a_neutral_phrase_of_several_trees_is_kept_once():
  train = read_fixture('sst1', 'sst', sst_phrases=True)['train']
  # A full stop ends three trees.
  assert len(set(train.texts)) == len(train.texts)
  assert ('.', '2', 1) in zip(train.texts, train.labels, train.rows)


def test_dev_may_be_at_the_end_of_train(tmp_path):
  for path in (FIXTURES / 'sst').iterdir():
    (tmp_path / path.name).write_text(path.read_text())
  dev = (tmp_path / 'dev.txt').read_text()
  with (tmp_path / 'train.txt').open('a') as file:
    file.write(dev)
  splits = sources.read(Config(dataset='sst1', data_dir=str(tmp_path)))
  assert len(splits['train']) == 5
  assert not set(splits['train'].texts) & set(splits['validation'].texts)


def test_trees_are_parsed_and_bad_ones_refused():
  found = sst.parse_tree('(3 (2 A) (4 (4 fine) (2 -RRB-)))')
  assert found == [
    ('3', 'A fine )'), ('2', 'A'), ('4', 'fine )'), ('4', 'fine'), ('2', ')'),
  ]  # fmt: skip
  for bad in ('(3 (2 A)', '3', ')', '(9 A)', '', '('):
    with pytest.raises(ValueError):
      sst.parse_tree(bad)
