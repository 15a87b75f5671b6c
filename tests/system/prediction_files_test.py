"""The files that predict.py and evaluate.py write, read by other libraries."""

import csv
import json
import shutil

import pandas
import pyarrow
from pyarrow import parquet
import pytest
from scripts import run_command

import bigru_jax
from bigru_jax.data import tabular_files
from bigru_jax.data.table_columns import Columns

TEXTS = ['a good film', 'bad, "dull"\nplot', '  ']


@pytest.fixture(scope='module')
def predict(run_directory):
  """Calls predict.py on a run of two classes with one label per text."""

  def call(*flags, status=0, workdir=run_directory, **options):
    done = run_command('predict', f'--workdir={workdir}', *flags, **options)
    assert done.returncode == status, done.stderr
    assert not status or len(done.stderr.splitlines()) == 1
    return done

  return call


@pytest.fixture(scope='module')
def topics(run_directory, tmp_path_factory):
  """A multi-label run whose labels contain the separator."""
  workdir = tmp_path_factory.mktemp('topics') / 'run'
  shutil.copytree(run_directory, workdir)
  config = json.loads((workdir / 'config.json').read_text())
  config |= {'task': 'multi_label', 'loss': 'sigmoid'}
  (workdir / 'config.json').write_text(json.dumps(config))
  (workdir / 'labels.json').write_text('["up|down", "left"]')
  (workdir / 'calibration.json').unlink()
  return workdir


def _read(path):
  with open(path, encoding='utf-8', newline='') as file:
    names, *rows = csv.reader(file)
  return names, rows


def test_a_csv_has_the_probability_of_each_class(
  predict, run_directory, tmp_path
):
  source, output = tmp_path / 'in.csv', tmp_path / 'out.csv'
  frame = pandas.DataFrame({'probability': [1, 2, 3], 'text': TEXTS})
  frame.to_csv(source, index=False)
  predict(f'--input={source}', f'--output={output}')
  found = pandas.read_csv(output)
  assert list(found) == [
    'probability', 'text', 'prediction', 'probability_negative',
    'probability_positive', 'empty',
  ]  # fmt: skip
  pandas.testing.assert_frame_equal(found[list(frame)], frame)
  answers = bigru_jax.load(run_directory).predict(TEXTS)
  assert list(found['prediction']) == [x['label'] for x in answers]
  for label in ('negative', 'positive'):
    assert list(found[f'probability_{label}']) == [
      pytest.approx(x['probabilities'][label], abs=1e-6) for x in answers
    ]
  assert list(found['empty']) == [False, False, True]


def test_labels_that_contain_the_separator_read_back(predict, topics, tmp_path):
  output = tmp_path / 'out.csv'
  lines = ['a dull film', 'a good film', '']
  predict(
    '--input=-',
    f'--output={output}',
    input='\n'.join(lines) + '\n',
    workdir=topics,
  )
  names, rows = _read(output)
  labels = bigru_jax.load(topics).labels
  assert names == [
    'text', 'prediction', *(f'probability_{x}' for x in labels), 'empty',
  ]  # fmt: skip
  answers = bigru_jax.load(topics).predict(lines)
  assert [x['label'] for x in answers[:2]] == [['up|down'], ['left']]
  for row, answer in zip(rows, answers, strict=True):
    assert json.loads(row[1]) == answer['label']
    expected = [answer['probabilities'][x] for x in labels]
    assert list(map(float, row[2:-1])) == pytest.approx(expected, abs=1e-6)
  examples = tabular_files.read_file(
    output, columns=Columns('text', 'prediction', '|')
  )
  assert [list(x.label) for x in examples] == [x['label'] for x in answers]


def test_any_input_gives_a_csv(predict, tmp_path):
  output = tmp_path / 'out.csv'
  table = {'n': ['1', '2', '3'], 'text': TEXTS}
  frame = pandas.DataFrame(table)
  lines = [text.replace('\n', ' ') for text in TEXTS]
  (tmp_path / 'in.txt').write_text('\n'.join(lines))
  frame.to_csv(tmp_path / 'in.tsv', sep='\t', index=False)
  frame.to_csv(tmp_path / 'in.csv.xz', sep=';', index=False)
  frame.to_json(tmp_path / 'in.jsonl', orient='records', lines=True)
  frame.to_json(tmp_path / 'in.json', orient='records')
  parquet.write_table(pyarrow.table(table), tmp_path / 'in.parquet')
  added = [
    'prediction',
    'probability_negative',
    'probability_positive',
    'empty',
  ]
  results = {}
  for name in (
    'in.txt',
    'in.tsv',
    'in.csv.xz',
    'in.jsonl',
    'in.json',
    'in.parquet',
  ):
    predict(f'--input={tmp_path / name}', f'--output={output}')
    names, rows = _read(output)
    has_columns = name in ('in.tsv', 'in.csv.xz')
    assert names == [*(['n'] if has_columns else []), 'text', *added]
    results[name] = [row[-5:] for row in rows]
    expected = lines if name == 'in.txt' else TEXTS
    assert [row[-5] for row in rows] == expected, name
    if has_columns:
      assert [row[0] for row in rows] == table['n']
  by_format = [[row[1:] for row in rows] for rows in results.values()]
  assert all(rows == by_format[0] for rows in by_format)
  predict(f'--text={TEXTS[1]}', f'--output={output}')
  names, rows = _read(output)
  assert names == ['text', *added] and rows == [results['in.tsv'][1]]


def test_texts_read_back_equal(predict, tmp_path):
  texts = ['a\rb', 'a\r\nb', '\x00', ' "', '""', ',;\t|', '\u2028', '好', '=1']
  source, output = tmp_path / 'in.jsonl', tmp_path / 'out.CSV'
  source.write_text(''.join(json.dumps({'text': x}) + '\n' for x in texts))
  predict(f'--input={source}', f'--output={output}')
  assert [row[0] for row in _read(output)[1]] == texts
  found = tabular_files.read_file(output, columns=Columns('text', 'prediction'))
  assert [example.text for example in found] == texts
  source.write_text('{"text": "fine"}\n{"text": "\\ud800"}\n')
  done = predict(
    f'--input={source}', f'--output={tmp_path / "no.csv"}', status=2
  )
  assert 'text 2 has a lone surrogate' in done.stderr
  assert not list(tmp_path.glob('no.csv*'))


def test_several_tables_are_joined(predict, tmp_path):
  for name, text in (('a', 'good'), ('b', 'bad')):
    (tmp_path / f'{name}.csv').write_text(f'text,n\n{text},{name}\n')
  output = tmp_path / 'out.csv'
  flags = f'--input={tmp_path}/[a-c].csv', f'--output={output}'
  predict(*flags)
  assert [row[:3] for row in _read(output)[1]] == [
    ['good', 'a', 'positive'], ['bad', 'b', 'negative'],
  ]  # fmt: skip
  (tmp_path / 'c.csv').write_text('n,text\nbad,good\n')
  done = predict(*flags, status=2)
  assert "c.csv has the columns 'n', 'text'" in done.stderr
  done = predict(flags[0], f'--output={tmp_path / "b.csv"}', status=2)
  assert 'is the input' in done.stderr


@pytest.mark.parametrize(
  'flags, message',
  [
    (['--output=x.parquet'], 'output=x.parquet: a file must end in .jsonl or'),
    (['--output=x.csv.gz'], 'a file must end in .jsonl or .csv'),
    (['--output=x'], 'output=x: a file must end in'),
    (['--output=missing/x.csv'], 'there is no folder missing'),
    (['--fields=label,logits'], 'fields=logits: choose among label, proba'),
    (['--fields='], 'fields=: choose among label, probabilities, tokens'),
    (['--fields=tokens', '--output=x.csv'], 'a .csv output has label, prob'),
    (['--fields=label', '--color'], 'fields: color does not print fields'),
  ],
)
def test_an_impossible_output_is_reported_in_one_line(
  predict, tmp_path, flags, message
):
  done = predict('--text=x', *flags, status=2, cwd=tmp_path)
  assert message in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  'name', ['prediction', 'probability_negative', 'empty']
)
def test_an_existing_column_is_named(predict, tmp_path, name):
  source = tmp_path / 'in.csv'
  source.write_text(f'text,{name}\na film,1\n')
  done = predict(f'--input={source}', f'--output={tmp_path}/x.csv', status=2)
  assert f'input={source} has a column {name!r} already' in done.stderr


def test_an_unknown_input_is_reported_in_one_line(predict, tmp_path):
  source = tmp_path / 'in.xlsx'
  source.write_text('x')
  for output in ('x.csv', 'x.jsonl'):
    done = predict(
      f'--input={source}', f'--output={tmp_path / output}', status=2
    )
    assert f'input={source}: a file must end in .csv' in done.stderr


def test_only_the_chosen_fields_are_written(predict, run_directory, tmp_path):
  done = predict('--text=a good film', '--fields=truncated,label')
  assert done.stdout == '{"label": "positive", "truncated": false}\n'
  done = predict(
    '--text= ', '--fields=label,empty,members', f'--workdir={run_directory}'
  )
  (answer,) = map(json.loads, done.stdout.splitlines())
  assert answer['empty'] and answer['members'] == [answer['label']] * 2
  output = tmp_path / 'x.csv'
  predict('--text=a good film', '--fields=empty,label', f'--output={output}')
  assert _read(output) == (
    ['text', 'prediction', 'empty'], [['a good film', 'positive', 'false']],
  )  # fmt: skip
  done = predict('--text=word ' + 'word ' * 600, '--fields=label')
  assert '1 texts are truncated at max_length=512' in done.stderr


def test_fields_change_no_prediction(run_directory, topics):
  texts = ['a good film', '', ' \n\u3000', 'x' * 9, '\u200b']
  for workdir in (run_directory, topics):
    run = bigru_jax.load(workdir)
    answers = run.predict(texts)
    assert [list(x) for x in answers] == [run.fields] * len(texts)
    assert [x['empty'] for x in answers] == [not x.strip() for x in texts]
    for name in run.fields:
      assert run.predict(texts, fields=[name]) == [
        {name: answer[name]} for answer in answers
      ]
  with pytest.raises(ValueError, match='fields=logits: choose among label'):
    run.predict(texts, fields=['logits'])


def test_the_predictions_of_an_evaluation_have_the_same_columns(
  predict, topics, run_directory, tmp_path
):
  source, output = tmp_path / 'in.jsonl', tmp_path / 'out.csv'
  gold = [['up|down'], [], ['up|down', 'left']]
  source.write_text(
    ''.join(
      json.dumps({'text': text, 'label': labels}) + '\n'
      for text, labels in zip(TEXTS, gold)
    )
  )
  flags = f'--workdir={topics}', f'--input={source}'
  done = run_command('evaluate', *flags, f'--output={output}')
  assert done.returncode == 0, done.stderr
  names, rows = _read(output)
  predicted = tmp_path / 'predicted.csv'
  predict(f'--input={source}', f'--output={predicted}', workdir=topics)
  their_names, their_rows = _read(predicted)
  assert names == ['source', 'row', 'label', *their_names[1:]]
  assert [json.loads(row[2]) for row in rows] == gold
  for row, theirs in zip(rows, their_rows, strict=True):
    assert [row[3], row[-1]] == [theirs[1], theirs[-1]]
    assert list(map(float, row[4:-1])) == pytest.approx(
      list(map(float, theirs[2:-1])), abs=1e-5
    )
  lines = tmp_path / 'out.jsonl'
  done = run_command('evaluate', *flags, f'--output={lines}')
  answers = [json.loads(line) for line in lines.read_text().splitlines()]
  assert [x['empty'] for x in answers] == [False, False, True]
  assert [x['row'] for x in answers] == [1, 2, 3]
  for name in ('x.parquet', '-', 'missing/x.csv'):
    done = run_command('evaluate', *flags, f'--output={name}', cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(
      'evaluate.py: output'
    )
    assert len(done.stderr.splitlines()) == 1 and not done.stdout
