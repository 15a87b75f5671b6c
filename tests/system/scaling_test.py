"""The scaling benchmark on its smallest case: its output, never its timings."""

import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'experiments/benchmark'
SMALL = ['--models=tiny', '--rounds=2', '--documents=300']


def _call(*arguments):
  return subprocess.run(
    [sys.executable, str(FOLDER / 'scaling.py'), *arguments],
    capture_output=True,
    text=True,
    timeout=900,
  )


@pytest.mark.slow
def test_steps_and_memory_are_measured(tmp_path):
  process = _call(*SMALL, f'--output={tmp_path}')
  assert process.returncode == 0, process.stderr
  # Gloo's own lines come before it.
  assert process.stdout.endswith((tmp_path / 'scaling.md').read_text())
  lines = json.loads((tmp_path / 'scaling.json').read_text())
  assert [line['level'] for line in lines] == ['steps'] + 4 * ['memory']
  steps, *memory = lines
  runs = 'one device', 'two runs', 'two devices', 'two processes'
  assert tuple(steps['seconds']) == runs
  for seconds in steps['seconds'].values():
    assert len(seconds) == 2
    assert min(seconds) > 0
  states = [(line['processes'], line['state']) for line in memory]
  assert states == [(1, 'cold'), (1, 'warm'), (2, 'cold'), (2, 'warm')]
  for line in memory:
    assert len(line['each']) == line['processes']
    for member in line['each']:
      assert 0 < member['private'] < member['peak']


@pytest.mark.slow
@pytest.mark.slow
def test_an_unknown_model_is_reported_in_one_line(tmp_path):
  process = _call('--models=huge', f'--output={tmp_path}')
  assert process.returncode == 2
  assert process.stderr.startswith('scaling.py: models=huge: choose')
  assert 'Traceback' not in process.stderr
