"""Runs on several columns of text, with ids, from training to a submission."""

import csv
import json

import pandas
import pytest
from scripts import run_command

import bigru_jax
from bigru_jax.interop.description import describe

# Two sets of words, of which the body decides the label.
_ROWS = [
  (f'id{i:03}', f'@user{i} wrote', f'a {word} film http://x.org/{i}', label)
  for i in range(60)
  for word, label in [('fine', '1'), ('dull', '0')]
]
_CONFIG = {
  'text_column': 'title,body',
  'label_column': 'target',
  'id_column': 'key',
  'replace_urls_and_users': True,
  'positive_label': '1',
  'epochs': 8, 'batch_size': 8, 'learning_rate': 0.02,
  'embedding_size': 8, 'hidden_size': 8,
}  # fmt: skip


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder with train.csv, test.csv and a run."""
  folder = tmp_path_factory.mktemp('columns')
  names = ['key', 'title', 'body', 'target']
  pandas.DataFrame(_ROWS, columns=names).to_csv(
    folder / 'train.csv', index=False
  )
  (folder / 'test.csv').write_text(
    'key,title,body\nq2,@ann,a dull film http://y.de\n007,,a fine film\nq3,,\n'
  )
  config = bigru_jax.Config(train=str(folder / 'train.csv'), **_CONFIG)
  bigru_jax.train(config, folder / 'run')
  return folder


@pytest.fixture(scope='module')
def run(folder):
  return bigru_jax.load(folder / 'run')


def _predict(folder, *flags, status=0, command='predict', **options):
  done = run_command(command, f'--workdir={folder / "run"}', *flags, **options)
  assert done.returncode == status, done.stderr
  return done.stderr.strip().splitlines()[-1] if status else done.stdout


def _csv(path):
  with path.open(newline='') as file:
    return list(csv.reader(file))


def test_the_texts_may_be_given_apart_or_joined(run):
  texts = [('@bob', 'a fine film, see www.x.org'), ['', 'a dull film']]
  joined = ['@bob <sep> a fine film, see www.x.org', ' <sep> a dull film']
  apart = run.predict(texts)
  assert apart == run.predict(joined)
  assert [x['label'] for x in apart] == ['1', '0']
  assert apart[0]['tokens'] == (
    '<user> <sep> a fine film , see <url>'.split()
  )  # fmt: skip
  spans = [joined[0][start:end] for start, end in apart[0]['spans']]
  assert (spans[0], spans[-1]) == ('@bob', 'www.x.org')
  assert [x['empty'] for x in run.predict([('', None), ('a', '')])] == [
    True, False,
  ]  # fmt: skip
  assert run.evaluate(texts, ['1', '0'])['accuracy'] == 1
  ensemble = bigru_jax.Ensemble([run, run])
  assert [x['label'] for x in ensemble.predict(texts)] == ['1', '0']
  with pytest.raises(ValueError, match='text 1 is .* nor 2 strings'):
    run.predict([('one',)])


def test_the_learned_tokens_are_in_the_vocabulary_and_the_description(run):
  for token in ('<sep>', '<url>', '<user>'):
    assert token in run.tokenizer.vocabulary
  about = describe(run)
  assert about['text_columns'] == ['title', 'body']
  assert len(about['tokenizer']['replace_patterns']) == 2


def test_predictions_of_the_run_have_the_ids(folder):
  train = {row[0] + row[3]: row for row in _ROWS}
  for split in ('validation', 'test'):
    lines = (folder / 'run' / f'predictions-{split}.jsonl').read_text()
    answers = list(map(json.loads, lines.splitlines()))
    assert len(answers) == 12
    rows = [_ROWS[answer['row'] - 2] for answer in answers]
    assert [x['id'] for x in answers] == [row[0] for row in rows]
    assert all(x['id'] + x['label'] in train for x in answers)


def test_evaluate_keeps_the_ids(folder):
  output = folder / 'evaluated.jsonl'
  flags = f'--output={output}', '--split=test'
  _predict(folder, *flags, command='evaluate')
  answers = list(map(json.loads, output.read_text().splitlines()))
  assert [x['id'] for x in answers] == [_ROWS[x['row'] - 2][0] for x in answers]
  output = folder / 'evaluated.csv'
  flags = f'--output={output}', f'--input={folder / "train.csv"}'
  _predict(folder, *flags, command='evaluate')
  header, *rows = _csv(output)
  assert header[:3] == ['id', 'source', 'row']
  assert [row[0] for row in rows] == [row[0] for row in _ROWS]


def test_a_page_and_json_lines_show_the_joined_texts(folder):
  output = folder / 'page.html'
  flags = f'--input={folder / "test.csv"}', f'--output={output}'
  _predict(folder, *flags, command='report')
  assert '\\u003csep> a fine film' in output.read_text()
  lines = _predict(folder, f'--input={folder / "test.csv"}').splitlines()
  answers = list(map(json.loads, lines))
  assert [x['id'] for x in answers] == ['q2', '007', 'q3']
  assert answers[0]['tokens'] == '<user> <sep> a dull film <url>'.split()
  assert [x['empty'] for x in answers] == [False, False, True]


@pytest.mark.parametrize('extension', ['csv', 'jsonl', 'parquet'])
def test_a_submission_has_exactly_the_named_columns(folder, run, extension):
  frame = pandas.read_csv(folder / 'test.csv', dtype=str)
  source, output = folder / f'in.{extension}', folder / 'submission.csv'
  {
    'csv': lambda: frame.to_csv(source, index=False),
    'jsonl': lambda: frame.to_json(source, orient='records', lines=True),
    'parquet': lambda: frame.to_parquet(source),
  }[extension]()
  flags = f'--input={source}', f'--output={output}'
  _predict(folder, *flags, '--columns=key,target=prediction')
  header, *rows = _csv(output)
  assert header == ['key', 'target']
  texts = frame[['title', 'body']].values.tolist()
  answers = run.predict(texts)
  assert rows == [
    [key, answer['label']] for key, answer in zip(frame['key'], answers)
  ]
  _predict(folder, *flags, '--columns=target=probability,0,key,1')
  header, *rows = _csv(output)
  assert header == ['target', '0', 'key', '1']
  for row, answer in zip(rows, answers, strict=True):
    expected = [answer['probabilities'][x] for x in ('1', '0', '1')]
    assert [float(row[i]) for i in (0, 1, 3)] == pytest.approx(
      expected, abs=1e-6
    )


@pytest.mark.parametrize(
  'flags, message',
  [
    (
      ['--columns=id'],
      'columns=id: choose columns of the input (key, title, body), labels for '
      'their probabilities (0, 1), prediction, truncated, empty, probability; '
      'target=prediction gives another name',
    ),
    (['--columns=key,a=key,a=0'], "columns=key,a=key,a=0 has 'a' twice"),
    (['--columns=key', '--fields=label'], 'fields: columns names the columns'),
    (['--id_column=id'], "has no column 'id'"),
    (['--columns=target=probability_2'], 'columns=target=probability_2: '),
  ],
)  # fmt: skip
def test_wrong_columns_are_one_clear_error(folder, flags, message):
  output = folder / 'never.csv'
  common = f'--input={folder / "test.csv"}', f'--output={output}'
  assert message in _predict(folder, *common, *flags, status=2)
  assert not output.exists()


def test_columns_that_mean_two_things_are_refused(folder):
  source, output = folder / 'two.csv', folder / 'never.csv'
  source.write_text('key,title,body,prediction\na,b,c,d\n')
  flags = f'--input={source}', f'--output={output}', '--columns=prediction'
  message = _predict(folder, *flags, status=2)
  assert "'prediction' means two columns" in message


def test_columns_and_ids_need_what_they_act_on(folder):
  output = '--columns=key', f'--input={folder / "test.csv"}'
  message = _predict(folder, *output, status=2)
  assert 'columns needs a .csv file as output' in message
  message = _predict(folder, '--text=a', '--id_column=key', status=2)
  assert 'id_column needs an input' in message


def test_lines_of_text_have_no_ids(folder):
  line = _predict(folder, '--input=-', input='@ann <sep> a fine film\n')
  assert json.loads(line)['label'] == '1' and 'id' not in json.loads(line)


def test_a_corpus_in_memory_may_have_tuples(tmp_path):
  texts = [(row[1], row[2]) for row in _ROWS]
  labels = [row[3] for row in _ROWS]
  options = {k: v for k, v in _CONFIG.items() if k == 'text_column'}
  config = bigru_jax.Config(epochs=1, hidden_size=8, **options)
  run = bigru_jax.train(
    config, tmp_path / 'run', {'train': (texts, labels)}
  )  # fmt: skip
  assert '<sep>' in run.tokenizer.vocabulary
  assert run.predict(texts[:1])[0]['tokens'][3] == '<sep>'
  with pytest.raises(ValueError, match="row 2: 'text' is .* nor 2 strings"):
    wrong = {'train': ([*texts[:1], ('a', 'b', 'c')], labels[:2])}
    bigru_jax.train(config, tmp_path / 'other', wrong)


def test_a_tokenizer_without_the_separator_is_refused(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  tokenizer = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({'[UNK]': 0, 'a': 1}, '[UNK]')
  )
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  path = tmp_path / 'tokenizer.json'
  tokenizer.save(str(path))
  (tmp_path / 'train.csv').write_text(
    't,b,label\n' + ''.join(f'a,{"a " * i},{i % 2}\n' for i in range(40))
  )
  config = bigru_jax.Config(
    train=str(tmp_path / 'train.csv'), text_column='t,b', epochs=1,
    tokenizer=str(path), hidden_size=8, embedding_size=8,
  )  # fmt: skip
  with pytest.raises(
    ValueError, match='text_column=t,b: tokenizer does not take <sep> as one'
  ):
    bigru_jax.train(config, tmp_path / 'run')
  tokenizer.add_tokens(['<sep>'])
  tokenizer.save(str(path))
  run = bigru_jax.train(config, tmp_path / 'run')
  assert run.predict([('a', 'a')])[0]['tokens'] == ['a', '<sep>', 'a']
