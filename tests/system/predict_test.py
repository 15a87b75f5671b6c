"""Prediction as a user runs it: order, files, pipes, unseen words."""

import csv
import dataclasses
import json
import logging
import re
import shlex
import signal
import subprocess

import numpy as np
import pytest
from scripts import command, run_command

import bigru_jax


@pytest.fixture(scope='module')
def trained(run_directory):
  return bigru_jax.load(run_directory)


def test_predictions_keep_their_order(run_directory):
  texts = ['the film was good', '', 'a not good plot with the actor', 'x' * 9]
  done = run_command(
    'predict', f'--workdir={run_directory}', '--input=-', '--output=-',
    '--batch_size=2', input='\n'.join(texts) + '\n',
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  answers = [json.loads(line) for line in done.stdout.splitlines()]
  labels = [answer['label'] for answer in answers]
  assert labels[::2] == ['positive', 'negative']
  assert answers[0]['tokens'] == texts[0].split()
  assert answers[1]['tokens'] == ['<unk>']
  assert answers[1]['attention'] == {'words': [[1.0]]}
  for answer in answers:
    assert abs(sum(answer['probabilities'].values()) - 1) < 1e-5
    assert abs(sum(answer['attention']['words'][0]) - 1) < 1e-5


def test_a_full_disk_gives_one_line_that_names_the_output(run_directory):
  done = run_command(
    'predict', f'--workdir={run_directory}', '--input=-',
    '--output=/dev/full', input='a good film\n',
  )  # fmt: skip
  assert done.returncode == 2
  assert done.stderr.splitlines() == [
    'predict.py: output=/dev/full: the disk is full (No space left on device)'
  ]


def test_a_prediction_has_the_spans_of_its_tokens(run_directory, trained):
  text = '  The FILM wasn’t İ, 好看! '
  (answer,) = trained.predict([text])
  assert [text[start:end] for start, end in answer['spans']] == [
    'The', 'FILM', 'was', 'n’t', 'İ', ',', '好', '看', '!',
  ]  # fmt: skip
  assert trained.predict([''])[0]['spans'] == [[0, 0]]
  texts = ['good \ud800 film', 'good film ' * 400]
  for text, answer in zip(texts, trained.predict(texts)):
    assert len(answer['spans']) == len(answer['tokens'])
    assert text[slice(*answer['spans'][-1])] == 'film'
  done = run_command(
    'predict', f'--workdir={run_directory}', '--text=A GOOD film', '--color'
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.startswith('positive (')
  assert re.sub(r'\x1b\[[\d;]*m', '', done.stdout).endswith('\nA GOOD film\n')
  done = run_command(
    'predict', f'--workdir={run_directory}', '--text=x', '--color',
    '--output=x.jsonl',
  )  # fmt: skip
  assert done.returncode == 2 and 'color needs a single run' in done.stderr


def test_the_batch_size_changes_no_prediction(trained):
  texts = [f'a {"not " * (i % 2)}good film number {i}' for i in range(200)]
  together = trained.predict(texts)
  for batch_size in (1, 8, 64):
    for answer, other in zip(together, trained.predict(texts, batch_size)):
      assert answer['tokens'] == other['tokens']
      assert answer['label'] == other['label']
      np.testing.assert_allclose(
        answer['attention']['words'], other['attention']['words'], atol=1e-5
      )
  assert trained.predict(texts[:1])[0]['label'] == together[0]['label']


def test_a_stream_is_predicted_while_it_is_read(trained, monkeypatch):
  monkeypatch.setattr(bigru_jax.inference.predictor, 'CHUNK', 4)
  taken = 0

  def texts():
    nonlocal taken
    for taken in range(1, 1000):
      yield f'a good film {taken}'

  answers = trained.stream(texts())
  first = [next(answers) for _ in range(4)]
  assert taken <= 8  # The chunk that is answered, and the next one.
  assert [answer['tokens'][-1] for answer in first] == ['1', '2', '3', '4']
  assert trained.predict([]) == []


def test_csv_to_csv_keeps_columns_and_rows(run_directory, tmp_path):
  rows = [
    ['1', 'a good, fine "film"', 'me'], ['2', 'dull\nand bad', ''],
    ['3', '', 'you'],
  ]  # fmt: skip
  source, output = tmp_path / 'in.csv', tmp_path / 'out.csv'
  with source.open('w', newline='') as file:
    csv.writer(file).writerows([['id', 'review', 'who'], *rows])
  flags = [f'--workdir={run_directory}', f'--input={source}',
           f'--output={output}', '--text_column=review']  # fmt: skip
  done = run_command('predict', *flags)
  assert done.returncode == 0, done.stderr
  with output.open(newline='') as file:
    names, *found = csv.reader(file)
  assert names == [
    'id', 'review', 'who', 'prediction', 'probability_negative',
    'probability_positive', 'empty',
  ]  # fmt: skip
  assert [row[:3] for row in found] == rows
  assert [row[3] for row in found[:2]] == ['positive', 'negative']
  for row in found:
    by_label = dict(zip(['negative', 'positive'], map(float, row[4:6])))
    assert max(by_label, key=by_label.get) == row[3]
  assert [row[6] for row in found] == ['false', 'false', 'true']
  again = run_command(
               'predict', *flags[:1], f'--input={output}',
               f'--output={source}', flags[3])  # fmt: skip
  assert again.returncode == 2
  assert "has a column 'prediction' already" in again.stderr


def test_a_file_of_any_format_gives_json_lines(run_directory, tmp_path):
  source, output = tmp_path / 'in.csv', tmp_path / 'out.jsonl'
  source.write_bytes(
    'n;review\n\xe9;bad film\n1;"good, film"\n'.encode('latin-1')
  )
  flags = [f'--workdir={run_directory}', f'--input={source}',
           f'--output={output}', '--text_column=review']  # fmt: skip
  done = run_command('predict', *flags)
  assert done.returncode == 2
  assert 'row 2: not utf-8: byte 0xe9; see encoding' in done.stderr
  done = run_command('predict', *flags, '--encoding=latin-1', '--delimiter=;')
  assert done.returncode == 0, done.stderr
  labels = [json.loads(x)['label'] for x in output.read_text().splitlines()]
  assert labels == ['negative', 'positive']


def test_an_output_is_complete_or_absent(run_directory, tmp_path):
  source, output = tmp_path / 'in.csv', tmp_path / 'out.csv'
  source.write_text('text,n\na good film,1\nso, bad,2\n')
  flags = f'--workdir={run_directory}', f'--input={source}'
  done = run_command('predict', *flags, f'--output={output}')
  assert done.returncode == 2
  assert 'row 3: 3 fields, the header has 2' in done.stderr
  assert [path.name for path in tmp_path.iterdir()] == ['in.csv']
  before = source.read_text()
  done = run_command('predict', *flags, f'--output={source}')
  assert done.returncode == 2 and 'is the input' in done.stderr
  assert source.read_text() == before


def test_truncated_texts_are_counted_once(run_directory):
  long = 'good ' * 600
  done = run_command(
              'predict', f'--workdir={run_directory}', '--input=-',
              input=f'{long}\ngood\n{long}\n')  # fmt: skip
  answers = [json.loads(line) for line in done.stdout.splitlines()]
  assert [x['truncated'] for x in answers] == [True, False, True]
  assert len(answers[0]['tokens']) == 512
  assert done.stderr.count('2 texts are truncated at max_length=512') == 1


def test_a_pipe_can_be_the_input_and_the_output_can_be_left_early(
  run_directory,
):
  predict = shlex.join(command('predict.py', f'--workdir={run_directory}'))
  script = f'{predict} --input=<(yes good film | head -20000) | head -1'
  done = subprocess.run(
    ['bash', '-c', f'{script}; exit ${{PIPESTATUS[0]}}'],
    capture_output=True,
    text=True,
  )
  assert json.loads(done.stdout)['label'] == 'positive'
  assert done.returncode in (0, 141)
  assert not done.stderr


def test_ctrl_c_exits_quietly(run_directory):
  process = subprocess.Popen(
    command('predict.py', f'--workdir={run_directory}', '--input=-'),
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  # Two chunks, so that the first is answered while the input stays open.
  process.stdin.write(b'good film\n' * 8192)
  process.stdin.flush()
  process.stdout.readline()
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate()
  assert process.returncode == -signal.SIGINT
  assert errors == b''


@pytest.fixture(scope='module')
def with_vectors(tmp_path_factory):
  """A run that starts from word vectors, and their file."""
  folder = tmp_path_factory.mktemp('vectors')
  path = folder / 'vectors.txt'
  rng = np.random.default_rng(0)
  rows = {word: rng.normal(size=8) for word in ('film', 'a', 'number')}
  for sign, words in ((1, 'good fine superb'), (-1, 'bad dull awful')):
    for word in words.split():
      rows[word] = sign * np.ones(8) + rng.normal(size=8) / 9
  lines = [f'{word} {" ".join(map(str, x))}' for word, x in rows.items()]
  path.write_text('\n'.join(lines) + '\n')
  words = ('good', 'fine', 'bad', 'dull')
  texts = [f'a {word} film {i}' for i in range(30) for word in words]
  labels = ['pos', 'pos', 'neg', 'neg'] * 30
  test = ['a superb film', 'a awful film'] * 5, ['pos', 'neg'] * 5
  config = bigru_jax.Config(
    embeddings=str(path), embedding_size=8, hidden_size=8, batch_size=8,
    epochs=8, learning_rate=0.02,
  )  # fmt: skip
  bigru_jax.train(
    config, folder / 'run', {'train': (texts, labels), 'test': test}
  )
  return folder / 'run', path


def test_words_unseen_in_training_have_their_vectors(with_vectors, caplog):
  workdir, path = with_vectors
  run = bigru_jax.load(workdir)
  # `superb` joined the vocabulary with the test split; so take it out again.
  assert {'superb', 'awful'} <= set(run.tokenizer.vocabulary)
  texts = ['a superb film', 'a awful film', 'a unheard film']
  known = run.predict(texts)
  result = json.loads((workdir / 'result.json').read_text())
  assert result['test']['accuracy'] == 1
  assert result['test_without_vectors_of_unseen_words']['accuracy'] == 0.5

  def forget(run):
    """Returns the run as it was before the test split was evaluated."""
    ids = run.tokenizer.token_ids
    for word in ('superb', 'awful'):
      del ids[word]
    return run

  fresh = forget(bigru_jax.load(workdir)).predict(texts)
  for one, other in zip(known, fresh):
    assert one['label'] == other['label']
    assert one['probabilities'] == pytest.approx(other['probabilities'], 1e-5)
  scores = forget(bigru_jax.load(workdir)).evaluate(texts[:2], ['pos', 'neg'])
  assert scores['accuracy'] == 1
  moved = path.rename(path.with_name('moved.txt'))
  try:
    with caplog.at_level(logging.WARNING, 'bigru_jax'):
      run = forget(bigru_jax.load(workdir))
      without = [run.predict([text])[0] for text in texts]
    assert without[0]['probabilities'] == without[2]['probabilities']
    (record,) = caplog.records  # Once, however many words.
    assert 'no such file: words unseen in training' in record.getMessage()
    elsewhere = forget(bigru_jax.load(workdir, str(moved))).predict(texts)
    assert elsewhere == fresh
    moved.write_text(moved.read_text().replace('film', 'movie'))
    with pytest.raises(ValueError, match='not the file that the run was'):
      bigru_jax.load(workdir, str(moved))
  finally:
    moved.write_text(moved.read_text().replace('movie', 'film'))
    moved.rename(path)


def test_one_text_is_not_padded_to_a_whole_batch(trained, monkeypatch):
  shapes = []
  predict_step, eval_step = trained._steps_for(len(trained.params['embedding']))

  def spy(params, temperature, batch):
    shapes.append(batch['tokens'].shape)
    return predict_step(params, temperature, batch)

  predictor = dataclasses.replace(
    trained._predictor, steps_for=lambda _: (spy, eval_step)
  )
  monkeypatch.setattr(trained, '_predictor', predictor)
  trained.predict(['a good film'])
  trained.predict(['a good film'] * 9)
  assert [rows for rows, _ in shapes] == [4, 64]  # The tests have 4 devices.
