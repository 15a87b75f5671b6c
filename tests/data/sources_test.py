"""Texts that are read without labels, from files and from memory."""

import pandas
import pytest

from bigru_jax.config import Config
from bigru_jax.data import memory, sources
from bigru_jax.data.table_columns import Columns


def test_texts_need_no_column_of_labels(tmp_path):
  pandas.DataFrame({'review': ['one', 'two']}).to_csv(tmp_path / 'a.csv')
  pandas.DataFrame({'review': ['three'], 'label': ['x']}).to_json(
    tmp_path / 'b.jsonl', orient='records', lines=True
  )
  config = Config(text_column='review')
  paths = f'{tmp_path}/a.csv,{tmp_path}/b.jsonl'
  examples = list(sources.read_texts(config, paths, 'unlabelled'))
  assert [x.text for x in examples] == ['one', 'two', 'three']
  assert [x.label for x in examples] == [''] * 3
  assert [x.row for x in examples] == [2, 3, 1]
  assert examples[2].source == f'unlabelled={tmp_path}/b.jsonl'


def test_a_file_of_texts_names_what_is_wrong(tmp_path):
  (tmp_path / 'a.csv').write_text('body\none\n')
  texts = sources.read_texts(Config(), f'{tmp_path}/a.csv', 'unlabelled')
  with pytest.raises(ValueError, match="unlabelled=.*a.csv has no column 'te"):
    next(texts)


def test_texts_of_memory_are_a_list_or_a_table():
  corpus = {
    'train': ['one', 'two'],
    'validation': pandas.DataFrame({'text': ['three']}),
  }
  splits = memory.read(corpus, Columns(label=''))
  assert [x.text for x in splits['train']] == ['one', 'two']
  assert [x.text for x in splits['validation']] == ['three']
  with pytest.raises(ValueError, match=r"corpus\['train'\], row 1: 'text'"):
    list(memory.read({'train': (['a'], ['x'])}, Columns(label=''))['train'])
