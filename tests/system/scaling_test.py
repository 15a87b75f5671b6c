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


@pytest.fixture
def projection(monkeypatch):
  """The module of the arithmetic."""
  monkeypatch.syspath_prepend(str(FOLDER))
  import projection

  return projection


@pytest.mark.slow
def test_each_level_and_the_projection(tmp_path):
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
  done = _call(f'--project={tmp_path}/scaling.json')
  assert done.returncode == 0, done.stderr
  assert done.stdout.count('Amazon polarity') == 16


def test_the_parts_of_a_step(projection):
  sizes = projection.Sizes(dense=1000, vocabulary=100, embedding=8, hidden=3)
  # Two directions of 3 gates from 8 + 3 inputs, and a kernel of 6 x 6.
  assert sizes.flops_per_token == 6 * (2 * 11 * 9 + 36)
  device = projection.Device(
    flops=1e6, iteration=1e-3, fixed=0.5, bandwidth=1e6, latency=1e-4,
    per_process=4,
  )  # fmt: skip

  def parts(devices):
    return projection.step_parts(sizes, device, devices, batch=2, length=5)

  assert parts(1)['collectives'] == 0
  assert parts(1)['compute'] == pytest.approx(0.5 + 10 * 1404 / 1e6)
  assert parts(1)['recurrence'] == pytest.approx(0.01)
  # Four devices divide the 8 columns: 4000 bytes are summed, 40 tokens are
  # gathered, and 10 x 8 numbers move there and back.
  summed = 2 * 0.75 * 4000 / 1e6 + 2 * 2 * 1e-4
  gathered = 3 * 10 * 4 / 1e6 + 2 * 1e-4
  moved = 2 * (0.75 * 320 / 1e6 + 3 * 1e-4)
  assert parts(4)['collectives'] == pytest.approx(summed + gathered + moved)
  # Sixteen do not, so that the table's gradient is summed, too.
  assert parts(16)['collectives'] == pytest.approx(
    2 * 15 / 16 * 4 * (1000 + 800) / 1e6 + 2 * 4 * 1e-4
  )


def test_an_epoch_waits_for_its_longest_part_and_its_plan(projection):
  sizes = projection.Sizes(dense=1000, vocabulary=100, embedding=8, hidden=3)
  device = projection.Device(1e9, 0.0, 0.5, 1e9, 0.0, per_process=4)
  corpus = projection.Corpus(documents=100, length=5)
  found = projection.epoch(corpus, sizes, device, 8, 2, 10.0, 0.01)
  assert found['input'] == pytest.approx(2 * 4 * 5 / 10)
  # Seven steps of 16 examples, each of which waits for its input.
  assert found['epoch'] == pytest.approx(7 * found['input'] + 1)


def test_a_core_is_the_line_through_two_batches(projection):
  sizes = projection.Sizes(dense=1000, vocabulary=100, embedding=8, hidden=3)
  groups = {
    'small batch': {'batch': 8, 'step': 0.3},
    'one device': {'batch': 64, 'step': 1.0},
  }
  device = projection.core({'groups': groups, 'length': 6}, sizes)
  assert device.fixed == pytest.approx(0.2)
  for batch, seconds in ((8, 0.3), (64, 1.0)):
    parts = projection.step_parts(sizes, device, 1, batch, 6)
    assert parts['compute'] == pytest.approx(seconds)


@pytest.mark.parametrize(
  'flag, message',
  [
    ('level=step', 'level=step: choose'),
    ('models=huge', 'models=huge: choose'),
    ('project=none.json', 'project=none.json: no such file'),
  ],
)
def test_a_wrong_flag_is_one_line(flag, message, tmp_path):
  done = _call(f'--{flag}', f'--output={tmp_path}')
  assert done.returncode == 2
  assert done.stderr.splitlines()[-1].startswith(f'scaling.py: {message}')
  assert 'Traceback' not in done.stderr
