"""Texts without labels: vocabulary, chunks and held-out texts."""

import json

import numpy as np
import pandas
import pytest

from bigru_jax.config import Config
from bigru_jax.data.cache import prepare_shared
from bigru_jax.data.texts import prepare_texts

CONFIG = Config(task='language_model', max_length=4)


def _chunks(split, vocabulary):
  words = np.array(vocabulary, object)
  tokens = split.table['tokens']
  return [
    ' '.join(words[tokens.values[start : start + length]])
    for start, length in zip(tokens.starts, tokens.lengths)
  ]


def test_long_texts_become_chunks():
  corpus = {
    'train': ['a b c d e f', 'a', 'c d e f g', 'b c'],
    'validation': ['a b c d x'],
  }
  data = prepare_texts(CONFIG, corpus)
  train, validation = data.splits['train'], data.splits['validation']
  vocabulary = data.tokenizer.vocabulary
  assert _chunks(train, vocabulary) == ['a b c d', 'e f', 'c d e f', 'b c']
  assert train.table['row'].tolist() == [1, 1, 3, 4]
  assert _chunks(validation, vocabulary) == ['a b c d']
  # Each of n words but the first follows one, and each but the last precedes.
  assert train.table['weight'].tolist() == [6, 2, 6, 2]
  batch = train.batch(np.array([1, 0]), 4, 3)
  assert batch['lengths'].tolist() == [2, 4, 0]
  assert batch['weights'].tolist() == [2, 6, 0]
  assert batch.keys() == {'tokens', 'lengths', 'weights'}
  assert 'train: 4 chunks of at most 4 tokens, with 16 words' in str(data.notes)


def test_only_validation_is_held_out_and_equal_texts_stay_together():
  texts = [f'a text {i // 2}' for i in range(40)]
  data = prepare_texts(CONFIG, {'train': texts})
  assert data.splits.keys() == {'train', 'validation'}
  assert [len(data.splits[x]) for x in data.splits] == [36, 4]
  train, validation = (
    {*data.splits[x].table['digest'].tolist()} for x in data.splits
  )
  assert not train & validation
  seeds = (0, 1)
  assert len({
    prepare_texts(Config(task='language_model', split_seed=seed), {
      'train': texts
    }).splits['validation'].table['row'].tobytes()
    for seed in seeds
  }) == 2  # fmt: skip


def test_files_need_no_labels_and_ignore_those_they_have(tmp_path):
  texts = [f'text number {i}' for i in range(20)]
  pandas.DataFrame({'text': texts}).to_csv(tmp_path / 'a.csv')
  pandas.DataFrame({'text': texts, 'label': -1}).to_parquet(tmp_path / 'b.pq')
  (tmp_path / 'b.pq').rename(tmp_path / 'b.parquet')
  rows = [
    prepare_shared(
      Config(task='language_model', train=str(tmp_path / name))
    ).splits['train'].table['tokens'].flat().tolist()
    for name in ('a.csv', 'b.parquet')
  ]  # fmt: skip
  assert rows[0] == rows[1]


def test_texts_of_one_word_are_no_data():
  with pytest.raises(ValueError, match='no text of train has two words'):
    prepare_texts(CONFIG, {'train': ['a', 'b'], 'validation': ['a b']})


def test_a_data_set_gives_its_texts(tmp_path):
  lines = [json.dumps({'text': f'a film {i}', 'label': 'x'}) for i in range(30)]
  path = tmp_path / 'one_class.jsonl'
  path.write_text('\n'.join(lines))
  data = prepare_texts(Config(task='language_model', train=str(path)))
  assert data.labels == [] and len(data.splits['train']) == 27
