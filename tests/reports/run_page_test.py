"""The page that a run ends with: what it shows, and a run without it."""

import dataclasses
import logging

import pytest

import bigru_jax
from bigru_jax.reports import run_page
from bigru_jax.reports.page import data_of

CONFIG = bigru_jax.Config(
  epochs=1, embedding_size=4, hidden_size=4, batch_size=16
)
TEXTS = ['a good film', 'a bad film', 'not a good plot', 'not a bad plot'] * 8
LABELS = ['positive', 'negative', 'negative', 'positive'] * 8
CORPUS = dict.fromkeys(('train', 'validation', 'test'), (TEXTS, LABELS))


def test_a_run_ends_well_without_its_page(tmp_path, monkeypatch, caplog):
  def fail(*_):
    raise IndexError('list index out of range')

  monkeypatch.setattr(run_page, 'write_page', fail)
  with caplog.at_level(logging.WARNING):
    bigru_jax.train(CONFIG, tmp_path, CORPUS)
  assert (tmp_path / 'result.json').exists()
  assert not (tmp_path / 'report.html').exists()
  expected = 'report.html is not written: IndexError: list index out of range'
  assert expected in caplog.messages


@pytest.mark.parametrize(
  'pooling, every', [('additive', 2), ('multi_head', 4), ('label_wise', 4)]
)
def test_a_page_of_many_weights_shows_fewer_texts(
  pooling, every, tmp_path, monkeypatch
):
  monkeypatch.setattr(run_page, '_TOKENS', 56)  # Half of the test split's.
  config = dataclasses.replace(CONFIG, pooling=pooling)
  if config.pooling_entry.is_multi_headed:
    config = dataclasses.replace(config, num_heads=2)
  run = bigru_jax.train(config, tmp_path, CORPUS)
  found = data_of(tmp_path / 'report.html')
  assert found['texts']['text'] == TEXTS[::every]
  shown, count = len(TEXTS) // every, len(TEXTS)
  assert found['note'] == f'{shown} of the {count} texts of the test split.'
  heads = [len(x['attention']['words']) for x in run.predict(TEXTS[::every])]
  assert list(map(len, found['texts']['largest'])) == heads
