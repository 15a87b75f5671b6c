"""A run directory that version 0.2.0 wrote still loads and resumes."""

import contextlib
import dataclasses
import json
import pathlib
import zipfile

import numpy as np
import pytest

import bigru_jax
from bigru_jax.reports.page.page import describe

FIXTURE = pathlib.Path(__file__).parents[1] / 'fixtures' / 'run_0_2_0.zip'


@pytest.fixture
def workdir(tmp_path):
  """A run of two epochs on a file of 80 reviews."""
  with zipfile.ZipFile(FIXTURE) as archive:
    archive.extractall(tmp_path)
  with contextlib.chdir(tmp_path):
    yield pathlib.Path('run')


def _lines(path):
  """The epoch, the step, the loss and the accuracy of each line of a log."""
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  return (
    [(line['epoch'], line['step'], line['split']) for line in lines],
    [[line['loss'], line.get('accuracy', 0)] for line in lines],
  )


def test_an_old_run_predicts_what_it_predicted(workdir):
  run = bigru_jax.load(workdir)
  assert run.labels == ['bad', 'good']
  (answer,) = run.predict(['a fine film number 3'])
  # The predictions of version 0.2.0.
  assert answer['label'] == 'good'
  assert answer['probabilities']['good'] == pytest.approx(0.501844, abs=1e-5)
  assert answer['spans'][-1] == [19, 20]


def test_an_old_run_says_its_version_and_what_it_can_do(workdir):
  run = bigru_jax.load(workdir)
  ours = bigru_jax.__version__
  assert f'written by bigru_jax 0.2.0; this is {ours}. It predicts' in repr(run)
  assert '--recompute' not in repr(run)
  assert describe(workdir)['version'] == '0.2.0'
  (workdir / 'predictions-test.jsonl').unlink()
  assert 'bigru evaluate --split=test --recompute' in repr(run)


def test_an_old_run_resumes_to_the_metrics_of_its_version(workdir, caplog):
  caplog.set_level('INFO')
  config = dataclasses.replace(bigru_jax.load(workdir).config, epochs=4)
  bigru_jax.train(config, workdir)
  expected_places, expected_values = _lines(
    pathlib.Path('expected_metrics.jsonl')
  )
  places, values = _lines(workdir / 'metrics.jsonl')
  assert places == expected_places
  # The bits are those of one kind of machine alone.
  np.testing.assert_allclose(values, expected_values, rtol=1e-4)
  assert 'workdir=run was written by bigru_jax 0.2.0; this is' in caplog.text
  result = json.loads((workdir / 'result.json').read_text())
  assert result['version'] == bigru_jax.__version__
  assert result['dataset'] == 'reviews.csv'


def test_an_old_run_with_other_digests_says_what_is_possible(workdir):
  # The first runs of 0.2.0 have a digest for each split, after holding out.
  identity = json.loads((workdir / 'data.json').read_text())
  now = identity['train'][:8]
  identity = {'train': 'a' * 64, 'test': 'b' * 64}
  (workdir / 'data.json').write_text(json.dumps(identity))
  config = bigru_jax.load(workdir).config
  with pytest.raises(ValueError, match='started on other data: ') as e:
    bigru_jax.train(config, workdir)
  message = str(e.value)
  assert f'train (digest aaaaaaaa there, {now} now)' in message
  assert 'test (digest bbbbbbbb there, none now)' in message
  assert 'written by bigru_jax 0.2.0' in message and 'it predicts' in message
  assert 'resume it with that version, or choose another workdir' in message
