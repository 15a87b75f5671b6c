"""Reading the data of a run again."""

import dataclasses

import pytest

from bigru_jax.config import Config
from bigru_jax.reports.page.page import describe
from bigru_jax.rundir import files as run_files, published
from bigru_jax.rundir.examples import (
  check_data,
  check_same_split,
  examples_of_run,
)

CONFIG = Config()


def _finished(workdir, config=CONFIG, dataset='corpus'):
  workdir.mkdir(exist_ok=True)
  run_files.write_json(workdir / 'config.json', dataclasses.asdict(config))
  run_files.write_json(workdir / 'data.json', {'train': 'abc'})
  run_files.write_json(workdir / 'labels.json', ['no', 'yes'])
  run_files.write_json(
    workdir / 'result.json', {'dataset': dataset, 'test': {}}
  )
  return workdir


def test_data_in_memory_are_not_taken_for_the_default_data_set(tmp_path):
  _finished(tmp_path)
  run_files.write_lines(tmp_path / 'predictions-test.jsonl', [])
  with pytest.raises(ValueError, match='not available. .* data set in memory'):
    examples_of_run(tmp_path, 'test', CONFIG)
  _finished(tmp_path, dataset='rotten_tomatoes')
  check_data(tmp_path, CONFIG)
  (tmp_path / 'result.json').unlink()
  with pytest.raises(FileNotFoundError, match='is not a finished run'):
    check_data(tmp_path, CONFIG)


def test_a_published_model_has_a_page_without_scores(tmp_path):
  (_finished(tmp_path) / 'result.json').unlink()
  (tmp_path / published.PARAMS).touch()
  page = describe(tmp_path)
  assert page['name'] == 'published' and page['tested'] == {}
  assert page['command'] is None and 'published model' in page['origin']
  assert page['curves'] == page['metrics'] == []
  with pytest.raises(ValueError, match='not available. It is a published'):
    check_data(tmp_path, CONFIG)


@pytest.mark.parametrize('field', ['split_seed', 'fold'])
def test_runs_of_different_splits_are_not_compared(field, tmp_path):
  config = dataclasses.replace(CONFIG, folds=5)
  one = _finished(tmp_path / 'one', config)
  mean = dataclasses.replace(config, pooling='mean', seed=1)
  check_same_split(one, _finished(tmp_path / 'mean', mean))
  moved = dataclasses.replace(mean, **{field: 1})
  other = _finished(tmp_path / 'other', moved)
  with pytest.raises(ValueError, match='^uniform=.*other: its data, split_se'):
    check_same_split(one, other, 'uniform')
