"""The predictions of a sweep's runs on what they have not seen."""

import csv
import json

import numpy as np
import pytest

from bigru_jax.cli import planned_runs, stacking
from bigru_jax.rundir import files as run_files

TEXTS = 7


@pytest.fixture(autouse=True)
def _files(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('a.csv', 'b.csv'):
    (tmp_path / name).write_text('text,label\nx,no\n')


def _plan(*flags, setting='default', seeds=(0, 1), folds=2):
  flags = ['--train=a.csv,b.csv', *flags]
  return planned_runs.plan(setting, flags, seeds, folds)


def _write(
  output, planned, probabilities, labels=('no', 'yes'), gold=None, has_ids=True
):
  """Writes finished runs, whose test examples are every second one.

  Args:
    output: the folder of all runs.
    planned: the runs.
    probabilities: of the classes, by seed and example.
    labels: the classes.
    gold: the labels of the examples.
    has_ids: whether the cells of a column of ids are not all empty.
  """
  for run in planned:
    workdir = output / run.name
    workdir.mkdir()
    config = planned_runs.config_of(run.flags)
    run_files.write_config(workdir, config)
    run_files.write_json(workdir / 'labels.json', list(labels))
    run_files.write_json(workdir / 'result.json', {'test': {}})
    lines = []
    for i in reversed(range(run.fold, TEXTS, 2)):
      ids = {'id': f'x{i}'} if config.id_column and has_ids else {}
      lines.append(
        {
          **ids,
          'source': 'b.csv' if i % 3 else 'a.csv',
          'row': 20 - i,
          'label': gold[i] if gold else labels[i % 3 % 2],
          'probabilities': dict(zip(labels, probabilities[run.seed][i])),
        }
      )
    run_files.write_lines(workdir / 'predictions-test.jsonl', lines)


def _table(path):
  with path.open() as file:
    return list(csv.DictReader(file))


def _random_probabilities(seeds=2, classes=2):
  rng = np.random.default_rng(0)
  return rng.dirichlet(np.ones(classes), (seeds, TEXTS)).round(6).tolist()


def test_each_example_has_the_mean_of_the_seeds_of_its_fold(tmp_path):
  planned, probabilities = _plan(), _random_probabilities()
  _write(tmp_path, planned, probabilities)
  (path,) = stacking.write_out_of_fold(tmp_path, planned)
  assert path == tmp_path / 'out_of_fold.csv'
  rows = _table(path)
  assert list(rows[0]) == [
    'source', 'row', 'label', 'probability_no', 'probability_yes', 'fold',
  ]  # fmt: skip
  places = [(row['source'], int(row['row'])) for row in rows]
  assert places == sorted(places) and len(set(places)) == TEXTS
  for row in rows:
    i = 20 - int(row['row'])
    assert row['label'] == ('no', 'yes')[i % 3 % 2]
    assert int(row['fold']) == i % 2
    expected = np.mean([p[i] for p in probabilities], axis=0)
    found = [float(row[f'probability_{x}']) for x in ('no', 'yes')]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_id_column_replaces_source_and_row(tmp_path):
  planned = _plan('--id_column=key')
  _write(tmp_path, planned, _random_probabilities())
  rows = _table(*stacking.write_out_of_fold(tmp_path, planned))
  assert list(rows[0])[:2] == ['id', 'label']
  assert {row['id'] for row in rows} == {f'x{i}' for i in range(TEXTS)}


def test_an_empty_id_column_does_not_replace_source_and_row(tmp_path):
  planned = _plan('--id_column=key')
  _write(tmp_path, planned, _random_probabilities(), has_ids=False)
  rows = _table(*stacking.write_out_of_fold(tmp_path, planned))
  assert list(rows[0])[:3] == ['source', 'row', 'label']


def test_labels_of_many_are_joined_as_the_data_have_them(tmp_path):
  planned = _plan('--task=multi_label', '--label_separator=;', seeds=(0,))
  gold = [['no', 'yes'] if i % 2 else [] for i in range(TEXTS)]
  _write(tmp_path, planned, _random_probabilities(), gold=gold)
  rows = _table(*stacking.write_out_of_fold(tmp_path, planned))
  assert {row['label'] for row in rows} == {'', 'no;yes'}


def test_each_setting_has_a_file_once_all_its_runs_are_finished(tmp_path):
  first = _plan('--dropout=0.1', setting='dropout=0.1')
  second = _plan('--dropout=0.2', setting='dropout=0.2')
  _write(tmp_path, first, _random_probabilities())
  _write(tmp_path, second[:-1], _random_probabilities())
  (path,) = stacking.write_out_of_fold(tmp_path, [*first, *second])
  assert path.name == 'out_of_fold,dropout=0.1.csv'


def test_a_sweep_without_folds_has_no_out_of_fold_predictions(tmp_path):
  planned = _plan(folds=0)
  _write(tmp_path, planned, _random_probabilities())
  assert stacking.write_out_of_fold(tmp_path, planned) == []


def test_seeds_with_other_test_examples_are_refused(tmp_path):
  planned = _plan()
  _write(tmp_path, planned, _random_probabilities())
  path = tmp_path / planned[-1].name / 'predictions-test.jsonl'
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  run_files.write_lines(path, lines[1:])
  with pytest.raises(ValueError, match='its test examples are not those of'):
    stacking.write_out_of_fold(tmp_path, planned)


def test_the_input_is_checked_before_any_run(tmp_path):
  planned = _plan('--text_column=review')
  (tmp_path / 'new.csv').write_text('text\nx\n')
  with pytest.raises(ValueError, match="new.csv has no column 'review'"):
    stacking.check_input('new.csv', planned)
  with pytest.raises(FileNotFoundError, match='predict=old.csv: no such file'):
    stacking.check_input('old.csv', planned)
  (tmp_path / 'new.csv').write_text('review\nx\n')
  stacking.check_input('new.csv', planned)
  stacking.check_input('', planned)
