"""The commands refuse flags that they would ignore, in one line."""

import dataclasses
import json

import pytest
from scripts import run_command

from bigru_jax.config import Config

RUN = {
  'predict': [
    (['--text=a', '--text_column=b'], 'text_column needs an input'),
    (['--text=a', '--encoding=latin-1'], 'encoding needs an input'),
    (['--text=a', '--delimiter=;'], 'delimiter needs an input'),
    (['--input=a.jsonl', '--delimiter=;'], 'delimiter needs a .csv file as in'),
    (['--input=a.tsv', '--delimiter=;'], 'delimiter needs a .csv file as inp'),
    (['--input=a.txt', '--text_column=b'], 'text_column needs an input with c'),
    (['--input=a.parquet', '--encoding=x'], 'encoding needs a text file as'),
    (['--input=-', '--encoding=latin-1'], 'encoding needs a text file as'),
    (['--text=a', '--embeddings=x'], 'embeddings needs a run that started'),
    (['--text=a', '--text=b'], 'text is given twice'),
    (['--input=folder'], 'input=folder is a folder: give a pattern such as fo'),
  ],
  'evaluate': [
    (['--split=test', '--text_column=b'], 'text_column needs an input'),
    (['--split=test', '--label_column=b'], 'label_column needs an input'),
    (['--split=test', '--label_separator=;'], 'label_separator needs an input'),
    (['--split=test', '--ignore_unknown_labels'], 'ignore_unknown_labels need'),
    (['--split=test', '--calibrated'], 'calibrated needs output or mistakes'),
    (['--input=a.csv', '--label_separator=;'], 'label_separator needs a run'),
  ],
  'report': [
    (['--text_column=b'], 'text_column needs an input'),
    (['--text=a', '--output=b', '--delimiter=;'], 'delimiter needs an input'),
    (
      ['--input=a.jsonl', '--output=b', '--delimiter=;'],
      'delimiter needs a .csv file as input',
    ),
  ],
  'explain': [
    (['--embeddings=x'], 'embeddings needs a run that started from vectors'),
  ],
  'export': [
    (['--output=x.onnx', '--license=mit'], 'license needs format=safetensors'),
  ],
  'plot': [
    (['--parts=loss', '--text=a'], 'text needs attention or heatmap among'),
  ],
}
NO_RUN = {
  'sweep': [
    (['--collect', '--jobs=2'], 'jobs needs a sweep without collect'),
    (['--collect', '--grid=dropout=0.1'], 'grid needs a sweep without collect'),
    (
      ['--collect', '--print_commands'],
      'print_commands needs a sweep without collect',
    ),
    (
      ['--collect', '--', '--dropout=0.1'],
      '--dropout=0.1 needs a sweep withou',
    ),
    (['--print_commands', '--jobs=2'], 'jobs needs a sweep without print_com'),
    (['--print', '--metric=loss'], 'metric needs a sweep without print_comman'),
    (['--print', '--format=csv'], 'format needs a sweep without print_comman'),
    (['--grid=num_heads=4,8'], 'num_heads=8 needs pooling=multi_head or str'),
    (
      ['--settings_file=twice.jsonl'],
      "settings_file=twice.jsonl, row 1 names 'dropout' twice",
    ),
  ],
  'reproduce': [
    (['--tables', '--rows=trec'], 'rows needs runs, and tables starts none'),
    (['--tables', '--', '--epochs=1'], '--epochs=1 needs runs, and tables st'),
    (['--print', '--jobs=2'], 'jobs needs runs, and print_commands starts'),
    (['--tables', '--record'], 'record needs runs, and tables starts none'),
    (
      ['--rows=hotel_reviews', '--vectors=x'],
      'vectors needs a row with word vectors',
    ),
  ],
  'run': [
    (['--workdir=a', '--workdir=b'], 'workdir is given twice'),
    (['--workdir=c', '--num_heads=8'], 'num_heads=8 needs pooling=multi_hea'),
    (['--workdir=d', '--train=folder'], 'train=folder is a'),
  ],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """The working directory, with inputs, and two runs that are not finished."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'folder').mkdir()
  for name in ('csv', 'tsv', 'jsonl', 'txt', 'parquet'):
    (tmp_path / f'a.{name}').write_text('text,label\na,b\n')
  (tmp_path / 'twice.jsonl').write_text('{"dropout": 0.1, "dropout": 0.2}\n')
  for name, pooling in (('max', 'max'), ('bare', 'dot')):
    (tmp_path / name).mkdir()
    config = dataclasses.asdict(Config(pooling=pooling))
    (tmp_path / name / 'config.json').write_text(json.dumps(config))
  return tmp_path


def _assert_refused(name, flags, message):
  done = run_command(name, *flags)
  assert done.returncode == 2, flags
  (line,) = done.stderr.splitlines()
  assert line.startswith(f'{name}.py: {message}')


@pytest.mark.parametrize('name', RUN)
def test_flags_that_a_run_would_ignore_are_refused(run_directory, folder, name):
  for flags, message in RUN[name]:
    _assert_refused(name, [f'--workdir={run_directory}', *flags], message)


@pytest.mark.parametrize('name', NO_RUN)
def test_flags_that_would_be_ignored_are_refused(folder, name):
  for flags, message in NO_RUN[name]:
    output = ['--output=s'] * (name == 'sweep')
    _assert_refused(name, [*output, *flags], message)


def test_flags_for_runs_of_other_kinds_are_refused(folder):
  _assert_refused(
    'explain',
    ['--workdir=max', '--uniform_run=bare'],
    'uniform_run needs an attention with weights',
  )
  _assert_refused(
    'predict',
    ['--workdir=bare', '--text=a', '--calibrated'],
    'calibrated needs a temperature, and workdir=bare has none',
  )


def test_equal_settings_of_a_sweep_run_once(tmp_path):
  grid = [
    '--grid=dropout=0.5,.3', '--grid=hidden_size=8', '--grid=dropout=0.30,0.1',
    '--grid=hidden_size=8,9',
  ]  # fmt: skip
  settings = tmp_path / 'settings.jsonl'
  settings.write_text('{"dropout": 0.1}\n{"dropout": "1e-1"}\n{"epochs": 10}\n')

  def names(*flags):
    done = run_command(
      'sweep', f'--output={tmp_path}/s', '--print_commands', *flags
    )
    assert done.returncode == 0, done.stderr
    return [line.rpartition('/')[2] for line in done.stdout.splitlines()]

  assert names(*grid) == [
    f'dropout={dropout},hidden_size={size},seed=0'
    for dropout in ('0.5', '.3', '0.1')
    for size in (8, 9)
  ]
  expected = ['dropout=0.1,seed=0', 'epochs=10,seed=0']
  assert names(f'--settings_file={settings}') == expected


def test_the_old_name_of_a_flag_still_works(folder):
  settings = folder / 'settings.jsonl'
  settings.write_text('{"dropout": 0.1}\n')
  new = ['--print_commands', f'--settings_file={settings}']
  old = ['--print', f'--list={settings}']
  done = [run_command('sweep', '--output=s', *flags) for flags in (new, old)]
  assert done[0].stdout == done[1].stdout != ''
  _assert_refused('sweep', ['--output=s', *new, *old], 'settings_file is given')
  _assert_refused(
    'reproduce', ['--tables', '--data_dir=x'], 'data_root needs runs, and tab'
  )
  _assert_refused(
    'explain',
    ['--workdir=max', '--uniform=bare'],
    'uniform_run needs an attention with weights',
  )
