"""A run on own files has their name everywhere, and says when it ended."""

import datetime
import json
import os

import bigru_jax
from bigru_jax.reports.page.page import describe
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import name_of_data

CONFIG = {'hidden_size': 2, 'embedding_size': 2, 'epochs': 1}


def test_own_files_are_named_as_they_were_typed(tmp_path, monkeypatch, caplog):
  lines = [
    f'{y} tweet {i},{y}' for i in range(30) for y in ('glad', 'sad', 'calm')
  ]
  (tmp_path / 'mine').mkdir()
  path = tmp_path / 'mine' / 'tweets.csv'
  path.write_text('\n'.join(['text,label', *lines]))
  config = bigru_jax.Config(train=str(path), **CONFIG)
  # The machine's time is hours ahead of UTC.
  monkeypatch.setenv('TZ', 'Asia/Tokyo')
  caplog.set_level('INFO')
  workdir = bigru_jax.train(config, tmp_path / 'run').workdir
  result = json.loads((workdir / 'result.json').read_text())
  assert result['dataset'] == name_of_data(workdir, config) == 'tweets.csv'
  assert 'tweets.csv: 72/9/9 examples' in caplog.text
  assert result['version'] == bigru_jax.__version__
  finished = datetime.datetime.fromisoformat(result['finished'])
  now = datetime.datetime.now(datetime.UTC)
  assert datetime.timedelta(0) <= now - finished < datetime.timedelta(minutes=1)
  assert finished.microsecond == 0 and finished.tzname() == 'UTC'
  assert describe(workdir)['name'] == 'tweets.csv'
  (events,) = workdir.glob('events.out.tfevents.*')
  assert b'tweets.csv' in events.read_bytes()
  for name in ('result.json', 'report.html', events.name):
    content = (workdir / name).read_bytes()
    assert b'rotten_tomatoes' not in content, name


def test_a_run_of_an_earlier_version_has_the_name_of_its_files(tmp_path):
  config = bigru_jax.Config(train=os.path.join('data', 'a.csv') + ',b.csv')
  result = {'dataset': config.train, 'test': {}}
  run_files.write_json(tmp_path / 'result.json', result)
  assert name_of_data(tmp_path, config) == 'a.csv,b.csv'
