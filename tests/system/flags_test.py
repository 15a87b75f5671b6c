"""The scripts refuse the flags that they would ignore, in one line."""

import dataclasses
import json

from scripts import call_each

from bigru_jax.config import Config

RUN = {
  'predict.py': [
    (['--text=a', '--text_column=b'], 'text_column needs an input'),
    (['--text=a', '--encoding=latin-1'], 'encoding needs an input'),
    (['--text=a', '--delimiter=;'], 'delimiter needs an input'),
    (['--input=a.jsonl', '--delimiter=;'], 'delimiter needs a .csv file as in'),
    (['--input=a.tsv', '--delimiter=;'], 'delimiter needs a .csv file as inp'),
    (['--input=a.txt', '--text_column=b'], 'text_column needs an input with c'),
    (['--input=a.parquet', '--encoding=x'], 'encoding needs a file of text as'),
    (['--input=-', '--encoding=latin-1'], 'encoding needs a file of text as'),
    (['--text=a', '--embeddings=x'], 'embeddings needs a run that started'),
    (['--text=a', '--text=b'], 'text is given twice'),
    (['--input=folder'], 'input=folder is a folder: give a pattern such as fo'),
  ],
  'evaluate.py': [
    (['--split=test', '--text_column=b'], 'text_column needs an input'),
    (['--split=test', '--label_column=b'], 'label_column needs an input'),
    (['--split=test', '--label_separator=;'], 'label_separator needs an input'),
    (['--split=test', '--ignore_unknown_labels'], 'ignore_unknown_labels need'),
    (['--split=test', '--calibrated'], 'calibrated needs output or mistakes'),
    (['--input=a.csv', '--label_separator=;'], 'label_separator needs a run'),
  ],
  'report.py': [
    (['--text_column=b'], 'text_column needs an input'),
    (['--text=a', '--output=b', '--delimiter=;'], 'delimiter needs an input'),
    (
      ['--input=a.jsonl', '--output=b', '--delimiter=;'],
      'delimiter needs a .csv file as input',
    ),
  ],
  'explain.py': [
    (['--embeddings=x'], 'embeddings needs a run that started from vectors'),
  ],
  'export.py': [
    (['--output=x.onnx', '--license=mit'], 'license needs format=safetensors'),
  ],
  'plot.py': [
    (['--parts=loss', '--text=a'], 'text needs attention or heatmap among'),
  ],
}
NO_RUN = {
  'sweep.py': [
    (['--collect', '--jobs=2'], 'jobs needs a sweep without collect'),
    (['--collect', '--grid=dropout=0.1'], 'grid needs a sweep without collect'),
    (['--collect', '--print'], 'print needs a sweep without collect'),
    (
      ['--collect', '--', '--dropout=0.1'],
      '--dropout=0.1 needs a sweep withou',
    ),
    (['--print', '--jobs=2'], 'jobs needs a sweep without print'),
    (['--print', '--metric=loss'], 'metric needs a sweep without print'),
    (['--grid=num_heads=4,8'], 'num_heads=8 needs attention=multi_head or str'),
    (['--list=twice.jsonl'], 'list=twice.jsonl, row 1: not a JSON object'),
  ],
  'reproduce.py': [
    (['--tables', '--rows=trec'], 'rows needs runs, and tables does none'),
    (['--tables', '--', '--epochs=1'], '--epochs=1 needs runs, and tables do'),
    (['--print', '--jobs=2'], 'jobs needs runs, and print does none'),
    (
      ['--rows=hotel_reviews', '--vectors=x', '--results=y'],
      'vectors needs a row with word vectors',
    ),
  ],
  'run.py': [
    (['--workdir=a', '--workdir=b'], 'workdir is given twice'),
    (['--workdir=c', '--num_heads=8'], 'num_heads=8 needs attention=multi_hea'),
    (['--workdir=d', '--cpu_devices=1', '--train=folder'], 'train=folder is a'),
  ],
}


def test_flags_that_would_be_ignored(run_directory, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'folder').mkdir()
  for name in ('csv', 'tsv', 'jsonl', 'txt', 'parquet'):
    (tmp_path / f'a.{name}').write_text('text,label\na,b\n')
  (tmp_path / 'twice.jsonl').write_text('{"dropout": 0.1, "dropout": 0.2}\n')
  # Two runs that are not finished.
  for name, attention in (('max', 'max'), ('bare', 'dot')):
    (tmp_path / name).mkdir()
    config = dataclasses.asdict(Config(attention=attention))
    (tmp_path / name / 'config.json').write_text(json.dumps(config))
  cases = [
    ([script, f'--workdir={run_directory}', *arguments], message)
    for script, of_script in RUN.items()
    for arguments, message in of_script
  ]
  cases += [
    ([script, *(['--output=s'] * (script == 'sweep.py')), *arguments], message)
    for script, of_script in NO_RUN.items()
    for arguments, message in of_script
  ]
  cases += [
    (
      ['explain.py', '--workdir=max', f'--{name}={run_directory}'],
      f'{name} needs an attention with weights',
    )
    for name in ['uniform']
  ]
  cases.append(
    (
      ['predict.py', '--workdir=bare', '--text=a', '--calibrated'],
      'calibrated needs a temperature, and workdir=bare has none',
    )
  )
  said = call_each([call for call, _ in cases])
  lines = [line for line in said if 'host: ' not in line]
  for (call, message), line, status in zip(cases, lines[::2], lines[1::2]):
    assert line.startswith(f'{call[0]}: {message}'), call
    assert status == '2', call
  assert len(lines) == 2 * len(cases)


def test_equal_settings_of_a_sweep_run_once(tmp_path):
  grid = [
    '--grid=dropout=0.5,.3', '--grid=hidden_size=8', '--grid=dropout=0.30,0.1',
    '--grid=hidden_size=8,9',
  ]  # fmt: skip
  settings = tmp_path / 'settings.jsonl'
  settings.write_text('{"dropout": 0.1}\n{"dropout": "1e-1"}\n{"epochs": 10}\n')
  said = call_each(
    [
      ['sweep.py', f'--output={tmp_path}/a', '--print', *grid],
      ['sweep.py', f'--output={tmp_path}/b', '--print', f'--list={settings}'],
    ]
  )
  names = [line.rpartition('/')[2] for line in said]
  assert names == [
    *(
      f'dropout={dropout},hidden_size={size},seed=0'
      for dropout in ('0.5', '.3', '0.1')
      for size in (8, 9)
    ),
    '0',
    'dropout=0.1,seed=0',
    'epochs=10,seed=0',
    '0',
  ]
