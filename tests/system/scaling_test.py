"""The scaling benchmark on its smallest case: its output, never its timings."""

import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'experiments/benchmark'
SMALL = ['--models=tiny', '--batch=8', '--length=6', '--rounds=2',
         '--documents=300', '--rows=1000,5000']  # fmt: skip


def _call(*arguments):
  return subprocess.run(
    [sys.executable, str(FOLDER / 'scaling.py'), *arguments],
    capture_output=True,
    text=True,
    timeout=900,
  )


@pytest.mark.slow
def test_each_level(tmp_path):
  done = _call(*SMALL, f'--output={tmp_path}')
  assert done.returncode == 0, done.stderr
  # Gloo's own lines come before it.
  assert done.stdout.endswith((tmp_path / 'scaling.md').read_text())
  lines = json.loads((tmp_path / 'scaling.json').read_text())
  assert [line['level'] for line in lines] == (
    ['steps'] + 4 * ['memory'] + 2 * ['plan']
  )
  steps, *memory = lines[:5]
  # The table, the GRU (W, U, and four biases), the attention, the classes.
  gru = 2 * (3 * 4 * (8 + 4) + 4 * 4)
  assert steps['parameters'] == 50 * 8 + gru + 8 * 8 + 8 + 8 + 8 * 2 + 2
  assert steps['dense'] == steps['parameters'] - 50 * 8
  for run in ('two devices', 'two processes'):
    measured = steps['groups'][run]
    assert len(measured['seconds']['step']) == 2
    assert measured['collectives'] > 0
  found = [(line['processes'], line['state']) for line in memory]
  assert found == [(1, 'cold'), (1, 'warm'), (2, 'cold'), (2, 'warm')]
  for line in memory:
    assert len(line['each']) == line['processes']
    for process in line['each']:
      assert 0 < process['private'] < process['peak']


@pytest.mark.parametrize(
  'flag, message',
  [
    ('level=step', 'level=step: choose'),
    pytest.param('models=huge', 'models=huge: choose', marks=pytest.mark.slow),
  ],
)
def test_a_wrong_flag_is_one_line(flag, message, tmp_path):
  done = _call(f'--{flag}', f'--output={tmp_path}')
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith(f'scaling.py: {message}')
  assert 'Traceback' not in done.stderr
