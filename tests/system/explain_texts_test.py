"""`bigru explain` of texts, as a user runs it."""

import json

import pytest
from scripts import run_command

import bigru_jax
from bigru_jax.reports.page.page import data_of

TEXTS = 'the film was good', 'a not good plot with the actor'


@pytest.fixture(scope='module')
def explain(run_directory):
  def call(*flags, **options):
    return run_command(
      'explain', f'--workdir={run_directory}', *flags, **options
    )

  return call


@pytest.fixture(scope='module')
def explained(run_directory):
  return bigru_jax.load(run_directory).explain(list(TEXTS))


def test_texts_are_explained_in_words_and_signs(explain, explained):
  done = explain(*(f'--text={text}' for text in TEXTS))
  assert done.returncode == 0, done.stderr
  first, second = done.stdout.split('\n\n')
  assert first.startswith('positive (')
  assert '+ speaks for positive, - against it (integrated grad' in first
  assert 'good[+1.00]' in first  # The word that decides.
  assert second.startswith('negative (')
  assert done.stderr == ''


def test_a_pipe_becomes_json_lines(explain, explained):
  done = explain('--input=-', '--output=-', input='\n'.join(TEXTS) + '\n')
  assert done.returncode == 0, done.stderr
  answers = [json.loads(line) for line in done.stdout.splitlines()]
  for answer, expected in zip(answers, explained, strict=True):
    assert answer == json.loads(json.dumps(expected))
    assert answer['method'] == 'integrated_gradients'
    assert answer['explained_label'] == answer['label']
    assert len(answer['attribution']) == len(answer['tokens'])
    assert answer['completeness_error'] < 1e-3


def test_a_label_can_be_named(explain, explained, run_directory):
  run = bigru_jax.load(run_directory)
  answers = run.explain(list(TEXTS), label='negative')
  # With two classes, what speaks for one speaks against the other.
  expected = [-x for x in explained[0]['attribution']]
  assert answers[0]['attribution'] == pytest.approx(expected, abs=1e-4)
  assert answers[0]['label'] == 'positive'
  assert answers[0]['explained_label'] == 'negative'
  with pytest.raises(ValueError, match='label=nuetral: choose negative, pos'):
    run.explain(list(TEXTS), label='nuetral')
  with pytest.raises(ValueError, match='method=shap: choose gradient, '):
    run.explain(list(TEXTS), method='shap')
  assert run.explain([]) == []


@pytest.mark.slow
def test_a_file_becomes_json_a_picture_or_a_page(explain, explained, tmp_path):
  source = tmp_path / 'texts.csv'
  source.write_text(
    'id,text\n' + ''.join(f'{i},{x}\n' for i, x in enumerate(TEXTS))
  )
  output = tmp_path / 'out.json'
  flags = f'--input={source}', '--id_column=id'
  assert explain(*flags, f'--output={output}').stdout == f'{output}\n'
  answers = json.loads(output.read_text())
  assert [answer.pop('id') for answer in answers] == ['0', '1']
  assert answers == json.loads(json.dumps(explained))
  page = tmp_path / 'out.html'
  done = explain(f'--input={source}', f'--output={page}')
  assert done.returncode == 0, done.stderr
  data = data_of(page)
  assert data['texts']['text'] == list(TEXTS)
  assert data['source'] == 'texts.csv'
  for name in ('out.png', 'out.svg', 'out.pdf'):
    done = explain(f'--text={TEXTS[0]}', f'--output={tmp_path / name}')
    assert done.returncode == 0, done.stderr
    assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--text=a', '--split=test'], 'split is for a split, not for text or in'),
    (['--text=a', '--uniform=x'], 'uniform_run is for a split, not for text'),
    (['--text=a', '--input=x.csv'], 'give either text or input'),
    (['--method=attention'], 'method needs text or input'),
    (['--label=positive'], 'label needs text or input'),
    (['--text=a', '--output=x.txt'], 'output=x.txt: a file must end in one of'),
    (['--text=a', '--label=x'], 'label=x: choose negative, positive'),
    (['--text=a', '--calibrated'], 'calibrated needs predictions; explanatio'),
    (['--text=a', '--delimiter=;'], 'delimiter needs an input'),
    (['--input=x.csv', '--id_column=id'], 'id_column needs an output in JSON'),
    (['--input=x.csv'], 'input=x.csv: no such file'),
    (['--text=a'] * 21 + ['--output=x.png'], 'a picture has 1 to 20 texts'),
    (['--text=a', '--workdir=b'], 'one run is explained at a time'),
  ],
)  # fmt: skip
def test_no_flag_is_ignored(explain, flags, message, tmp_path):
  done = explain(*flags, cwd=tmp_path)
  assert done.returncode == 2
  assert message in done.stderr and done.stderr.count('\n') == 1
