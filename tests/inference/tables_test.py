"""Predictions in PyArrow tables, against those of `predict`."""

import pandas as pd
import pyarrow as pa
import pytest
from small_runs import make_run, make_texts

from bigru_jax.inference import predictor, tables
from bigru_jax.inference.ensemble import Ensemble

LISTS = 'tokens', 'spans', 'truncated', 'empty', 'sentences', 'members'


def _check(table, answers, labels, fields):
  """Checks that a table has the fields of answers, digit by digit."""
  columns = table.to_pydict()
  assert table.num_rows == len(answers)
  if 'label' in fields:
    assert columns['prediction'] == [x['label'] for x in answers]
  for label in labels if 'probabilities' in fields else ():
    assert columns[f'probability_{label}'] == [
      x['probabilities'][label] for x in answers
    ]
  for name in set(LISTS) & set(fields):
    assert columns[name] == [x[name] for x in answers]
  if 'attention' in fields:
    for name in answers[0]['attention']:
      assert columns[f'attention_{name}'] == [
        x['attention'][name] for x in answers
      ]
  if 'attention_labels' in fields:
    assert columns['attention_labels'] == [
      x['attention_labels'] for x in answers
    ]


@pytest.mark.parametrize(
  'fields',
  [
    {},
    {'model': 'hierarchical', 'pooling': 'dot'},
    {'task': 'multi_label', 'loss': 'sigmoid', 'pooling': 'label_wise'},
    {'pooling': 'max'},
  ],
)
def test_a_table_has_the_predictions_of_its_texts(fields):
  run = make_run(**fields)
  texts = [*make_texts(run), '\u0130yi \U0001f600 don\u2019t']
  answers = run.predict(texts)
  ids = list(range(len(texts)))
  given_table = pa.table({'text': texts, 'id': ids})
  table = run.predict_table(given_table, fields=None)
  assert table.column_names[:2] == ['text', 'id']
  assert table.select(['text', 'id']) == given_table
  _check(table, answers, run.labels, run.fields)
  default = run.predict_table(given_table)
  assert default.column_names == [
    'text', 'id', 'prediction', *(f'probability_{x}' for x in 'xyz'), 'empty',
  ]  # fmt: skip
  _check(default, answers, run.labels, ['label', 'probabilities', 'empty'])
  # An engine joins the tables of its workers, of which some have no rows.
  no_rows = run.predict_table(given_table.slice(0, 0), fields=None)
  assert no_rows.schema == table.schema and not no_rows.num_rows


def test_a_table_of_an_ensemble_has_its_predictions():
  ensemble = Ensemble([make_run(seed=0), make_run(seed=1)])
  texts = make_texts(ensemble.members[0])
  answers = ensemble.predict(texts)
  table = pa.table({'text': texts})
  predicted = ensemble.predict_table(table, fields=None)
  _check(predicted, answers, ensemble.labels, ensemble.fields)
  no_rows = ensemble.predict_table(table.slice(0, 0), fields=None)
  assert no_rows.schema == predicted.schema


def test_missing_texts_are_empty_and_several_columns_are_joined():
  run = make_run(text_column='a,b')
  table = pa.table(
    {'b': ['word1', None, None], 'a': ['word2', 'word3', None], 'c': [1, 2, 3]}
  )
  expected = run.predict([('word2', 'word1'), ('word3', ''), ('', '')])
  predicted = run.predict_table(table)
  _check(predicted, expected, run.labels, ['label', 'probabilities', 'empty'])
  assert predicted['empty'].to_pylist() == [False, False, True]
  one = run.predict_table(table, text_column='b')
  _check(one, run.predict(['word1', '', '']), 'xyz', ['label', 'probabilities'])


@pytest.mark.parametrize(
  'table, message',
  [
    ({'texts': ['a']}, "text_column=text: the table has no column 'text'"),
    ({'text': ['a'], 'empty': [1]}, "table has a column 'empty' already"),
    ({'text': [None, 3.5]}, 'text_column=text, row 2: 3.5 is not a string'),
    ({'text': [b'a']}, "text_column=text, row 1: b'a' is not a string"),
  ],
)
def test_an_unfit_table_is_refused(table, message):
  with pytest.raises(ValueError, match=message):
    make_run().predict_table(pa.table(table))


@pytest.mark.parametrize(
  'text_column, message',
  [
    ('text,id', 'text_column=id, row 2: 7 is not a string'),
    (['text', 'id'], r"text_column=\['text', 'id'\]: write 'text,id'"),
    ('same', "text_column=same: the table has two columns 'same'"),
  ],
)
def test_an_unfit_text_column_is_refused(text_column, message):
  columns = {'text': ['a', 'b'], 'id': [None, 7]}
  table = pa.table(columns)
  for _ in range(2):
    table = table.append_column('same', pa.array(['c', 'd']))
  with pytest.raises(ValueError, match=message):
    make_run().predict_table(table, text_column=text_column)


def test_a_table_of_another_library_is_refused():
  run, columns = make_run(), {'text': ['word1']}
  for table in (columns, pd.DataFrame(columns)):
    kind = type(table).__name__
    message = f'table is a {kind}; give a PyArrow table: pyarrow.table'
    with pytest.raises(ValueError, match=message):
      run.predict_table(table)
    assert run.predict_table(pa.table(table)).num_rows == 1


def test_the_predictions_of_a_record_batch_are_a_record_batch():
  run = make_run()
  table = pa.table({'text': make_texts(run)})
  predicted = run.predict_table(table, fields=None)
  (batch,) = table.to_batches()
  for slice_of_batch in (batch, batch.slice(0, 0)):
    added = run.predict_table(slice_of_batch, fields=None)
    assert isinstance(added, pa.RecordBatch)
    expected = predicted.slice(0, added.num_rows)
    assert pa.Table.from_batches([added]) == expected


def test_a_table_is_refused_after_its_first_chunk(monkeypatch):
  chunks, to_arrow = [], tables.to_arrow
  monkeypatch.setattr(predictor, 'CHUNK', 1)
  monkeypatch.setattr(
    tables, 'to_arrow', lambda x: chunks.append(x) or to_arrow(x)
  )
  with pytest.raises(ValueError, match="a column 'empty' already"):
    make_run().predict_table(pa.table({'text': ['a'] * 9, 'empty': [1] * 9}))
  assert len(chunks) == 1
