"""The page that a run writes at its end."""

import base64
import dataclasses
import json
import logging

import numpy as np
import pytest

import bigru_jax
from bigru_jax.data.encode import make_split
from bigru_jax.data.ragged import pack
from bigru_jax.explain import choice
from bigru_jax.explain.attributions import PAGE_METHODS
from bigru_jax.reports.page import run_page
from bigru_jax.reports.page.page import data_of
from bigru_jax.tasks import make_task

HEADS = 2
CONFIG = bigru_jax.Config(
  epochs=1, embedding_size=4, hidden_size=4, batch_size=16,
  pooling='multi_head+max', num_heads=HEADS,
)  # fmt: skip
TEXTS = ['a good film', 'a bad film', 'not a good plot', 'not a bad plot'] * 8
LABELS = ['positive', 'negative', 'negative', 'positive'] * 8
CORPUS = dict.fromkeys(('train', 'validation', 'test'), (TEXTS, LABELS))


def test_a_run_ends_well_without_its_page(tmp_path, monkeypatch, caplog):
  def fail(*_, **__):
    raise IndexError('list index out of range')

  monkeypatch.setattr(run_page, 'write_page', fail)
  with caplog.at_level(logging.WARNING):
    bigru_jax.train(CONFIG, tmp_path, CORPUS)
  assert (tmp_path / 'result.json').exists()
  assert not (tmp_path / 'report.html').exists()
  expected = 'report.html is not written: IndexError: list index out of range'
  assert expected in caplog.messages


@pytest.mark.parametrize(
  'pooling, every',
  [('additive', 2), ('multi_head', 4), ('label_wise', 4), ('dot+max+mean', 4)],
)
def test_the_more_weights_a_text_has_the_fewer_texts_are_shown(
  pooling, every, monkeypatch
):
  config = dataclasses.replace(CONFIG, pooling=pooling, num_heads=HEADS)
  ids = [[2] * len(text.split()) for text in TEXTS]
  split = make_split(pack(ids), np.zeros(len(ids), np.int32), 2)
  table = split.table.with_columns(text=np.array(TEXTS, object))
  monkeypatch.setattr(run_page, '_TOKENS', sum(map(len, ids)) // 2)
  outputs = run_page.PageOutputs(
    dataclasses.replace(split, table=table), config, make_task(config, 'ab')
  )
  assert outputs.indices.tolist() == list(range(0, len(TEXTS), every))


def test_a_page_of_many_weights_shows_fewer_texts(tmp_path, monkeypatch):
  monkeypatch.setattr(run_page, '_TOKENS', 56)  # Half of the test split's.
  run = bigru_jax.train(CONFIG, tmp_path, CORPUS)
  page = data_of(tmp_path / 'report.html')
  assert page['texts']['text'] == TEXTS[:: 2 * HEADS]
  assert page['note'] == '8 of the 32 texts of the test split.'
  assert page['heads'] == ['multi_head 1', 'multi_head 2']
  for answer, largest in zip(run.predict(TEXTS[::4]), page['texts']['largest']):
    assert answer['attention_heads'] == page['heads']
    assert len(answer['attention']['words']) == len(largest) == HEADS


@pytest.mark.explains
def test_a_run_ends_with_the_most_faithful_shades(tmp_path):
  run = bigru_jax.train(CONFIG, tmp_path / 'run', CORPUS)
  chosen = json.loads((tmp_path / 'run' / 'faithfulness.json').read_text())
  differences = {
    row['name']: row['comprehensiveness']['value'] - row['sufficiency']['value']
    for row in chosen['table']
  }
  assert list(differences) == [*PAGE_METHODS, 'random']
  del differences['random']
  assert chosen['method'] == max(differences, key=differences.get)
  assert chosen['texts'] == len(TEXTS)
  page = data_of(tmp_path / 'run' / 'report.html')
  assert page['shading'] == chosen
  attributions = page['texts']['attributions']
  assert list(attributions) == list(PAGE_METHODS[1:])
  for method, packed in attributions.items():
    for answer, weights, largest in zip(
      run.explain(TEXTS, method), packed['weights'], packed['largest']
    ):
      numbers = np.frombuffer(base64.b64decode(weights), np.int8) / 127
      np.testing.assert_allclose(
        numbers * largest, answer['attribution'], atol=0.06 * largest
      )
  # The explanation changes no digit of the run.
  config = dataclasses.replace(CONFIG, explain=False)
  bigru_jax.train(config, tmp_path / 'other', CORPUS)
  assert not (tmp_path / 'other' / 'faithfulness.json').exists()
  page = data_of(tmp_path / 'other' / 'report.html')
  assert page['shading'] is None and page['texts']['attributions'] == {}
  lines = (
    (tmp_path / name / 'predictions-test.jsonl').read_text()
    for name in ('run', 'other')
  )
  assert next(lines) == next(lines)


@pytest.mark.explains
def test_a_run_that_cannot_be_explained_has_its_page(
  tmp_path, monkeypatch, caplog
):
  def fail(*_):
    raise IndexError('list index out of range')

  monkeypatch.setattr(choice, 'choose', fail)
  with caplog.at_level(logging.WARNING):
    bigru_jax.train(CONFIG, tmp_path, CORPUS)
  page = data_of(tmp_path / 'report.html')
  assert len(page['texts']['text']) == len(TEXTS)
  expected = 'the predictions are not explained: IndexError: list index out of'
  assert expected in caplog.text


def test_the_page_is_made_without_the_source_file(tmp_path):
  path = tmp_path / 'films.csv'
  lines = [f'{text},{label}\n' for text, label in zip(TEXTS, LABELS)]
  path.write_text('text,label\n' + ''.join(lines))
  config = dataclasses.replace(CONFIG, train=str(path), test=str(path))

  def remove_source():
    path.unlink(missing_ok=True)
    return False

  bigru_jax.train(config, tmp_path / 'run', stop=remove_source)
  shown = data_of(tmp_path / 'run' / 'report.html')['texts']
  assert shown['text'] == TEXTS
  assert shown['place'][:1] == [f'test={path}, row 2']
