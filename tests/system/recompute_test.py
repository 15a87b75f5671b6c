"""evaluate --recompute, for a run without predictions files."""

import json
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
from scripts import run_command

FIXTURE = pathlib.Path(__file__).parents[1] / 'fixtures' / 'run_0_2_0.zip'
FLAGS = '--split=test', '--recompute', '--workdir=run'


@pytest.fixture
def folder(tmp_path):
  """A folder of a run of version 0.2.0 and its file."""
  with zipfile.ZipFile(FIXTURE) as archive:
    archive.extractall(tmp_path)
  return tmp_path


def _answers(path):
  answers = [json.loads(line) for line in path.read_text().splitlines()]
  probabilities = [list(x.pop('probabilities').values()) for x in answers]
  return answers, np.array(probabilities)


def test_the_predictions_of_an_old_run_are_made_again(folder):
  path = folder / 'run' / 'predictions-test.jsonl'
  before = _answers(path)
  again = run_command('evaluate', *FLAGS, cwd=folder)
  assert (
    again.returncode == 2 and 'recompute needs a run without' in again.stderr
  )
  path.unlink()
  lacking = run_command('evaluate', *FLAGS[::2], cwd=folder)
  assert lacking.returncode == 2
  assert '--split=test --recompute writes it' in lacking.stderr
  done = run_command('evaluate', *FLAGS, cwd=folder)
  assert done.returncode == 0, done.stderr
  answers, probabilities = _answers(path)
  assert answers == before[0]
  np.testing.assert_allclose(probabilities, before[1], atol=2e-6)
  # It is what the other commands read.
  done = run_command('evaluate', *FLAGS[::2], cwd=folder)
  assert done.returncode == 0 and 'macro_f1' in done.stdout


def test_another_split_is_not_taken_for_that_of_the_run(folder):
  path = folder / 'run' / 'predictions-test.jsonl'
  path.unlink()
  result = json.loads((folder / 'run' / 'result.json').read_text())
  result['test']['loss'] += 0.01
  (folder / 'run' / 'result.json').write_text(json.dumps(result))
  done = run_command('evaluate', *FLAGS, cwd=folder)
  assert done.returncode == 2 and 'recompute: the loss on test' in done.stderr
  assert 'it was written by bigru_jax 0.2.0' in done.stderr
  with (folder / 'reviews.csv').open('a') as file:
    file.write('one more,good\n')
  done = run_command('evaluate', *FLAGS, cwd=folder)
  assert done.returncode == 2 and 'train (digest c69a3039' in done.stderr
  assert len(done.stderr.splitlines()) == 1 and not path.exists()


def test_recompute_is_refused_where_it_has_no_effect(folder):
  shutil.copytree(folder / 'run', folder / 'other')
  for flags, message in [
    (
      ['--workdir=run', '--recompute', '--input=reviews.csv'],
      'recompute needs a split',
    ),
    ([*FLAGS, '--workdir=other'], 'recompute takes one run at a time'),
    (
      [*FLAGS, '--calibrated', '--mistakes=1'],
      'calibrated needs a run without recompute',
    ),
  ]:
    done = run_command('evaluate', *flags, cwd=folder)
    assert done.returncode == 2 and message in done.stderr, done.stderr
