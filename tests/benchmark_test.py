"""The benchmark's smallest case: its output, never its timings."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = (
  pathlib.Path(__file__).resolve().parents[1] / 'experiments/benchmark.py'
)
SMALL = ['--batch=4', '--length=3', '--embedding=5', '--hidden=6',
         '--vocabulary=20', '--rounds=2', '--long_rounds=1',
         '--dataset=synthetic', '--sentences=50']  # fmt: skip


def _call(*arguments):
  return subprocess.run(
    [sys.executable, str(SCRIPT), *arguments],
    capture_output=True,
    text=True,
    timeout=500,
  )


@pytest.mark.parametrize(
  'peer, levels',
  [
    ('ours', 'encoder,step,epoch'),
    ('torch', 'encoder,step'),
    ('keras', 'encoder,step'),
    ('flax', 'step'),
    ('haiku', 'step'),
    ('onnxruntime', 'inference'),
  ],
)
def test_every_peer_does_its_works(peer, levels, tmp_path):
  if peer != 'ours' and not importlib.util.find_spec(peer):
    pytest.skip(f'{peer} is not installed')
  others = '' if peer == 'ours' else peer
  done = _call(
    *SMALL, f'--peers={others}', f'--level={levels}', f'--output={tmp_path}'
  )
  assert done.returncode == 0, done.stderr
  lines = json.loads((tmp_path / 'benchmark.json').read_text())
  assert {line['level'] for line in lines} == set(levels.split(','))
  rounds = {'memory': 0, 'inference': 1, 'epoch': 1, 'start': 1}
  for line in lines:
    assert set(line['peers']) == {'ours', peer}
    for measured in line['peers'].values():
      seconds = measured.get('seconds', [])
      assert len(seconds) == rounds.get(line['level'], 2)
  assert done.stdout == (tmp_path / 'benchmark.md').read_text()
  assert (tmp_path / 'benchmark.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize(
  'flag',
  ['--level=enc', '--peers=jazz', '--sweep=depth', '--grid=big', '--batch=x'],
)
def test_a_wrong_flag_is_one_line(flag, tmp_path):
  done = _call(flag, f'--output={tmp_path}')
  assert done.returncode == 2
  # A peer that is not installed may have its line before.
  assert done.stderr.splitlines()[-1].startswith(f'benchmark.py: {flag}')
  assert 'Traceback' not in done.stderr


def test_a_run_that_is_cut_off_keeps_its_lines(tmp_path):
  spec = importlib.util.spec_from_file_location(
    'report', SCRIPT.with_name('report.py')
  )
  report = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(report)

  def lines():
    yield {'level': 'start'}
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    report.write(tmp_path / 'benchmark', lines())
  kept = json.loads((tmp_path / 'benchmark.json').read_text())
  assert kept == [{'level': 'start'}]
