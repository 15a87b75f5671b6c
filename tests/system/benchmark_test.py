"""The benchmark on its smallest case: its output, never its timings."""

import importlib.util
import json
import pathlib
import subprocess
import sys

from matplotlib import image
import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'experiments/benchmark'
SMALL = ['--cell=4,3,5,6', '--vocabulary=20', '--rounds=2',
         '--dataset=synthetic', '--sentences=50']  # fmt: skip


def _call(*arguments):
  return subprocess.run(
    [sys.executable, str(FOLDER / 'main.py'), *arguments],
    capture_output=True,
    text=True,
    timeout=900,
  )


def _check(folder, levels, baselines, dtype='float32'):
  process = _call(
    *SMALL, f'--baselines={",".join(baselines)}', f'--level={levels}',
    f'--output={folder}', f'--dtype={dtype}',
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  lines = json.loads((folder / 'benchmark.json').read_text())
  assert {line['level'] for line in lines} == set(levels.split(','))
  for line in lines:
    in_float32 = [] if dtype == 'float32' else ['float32']
    assert set(line['programs']) == {'ours', *in_float32, *baselines}
    rounds = {'memory': 0, 'inference': 1, 'epoch': 1, 'serving': 1}
    expected = rounds.get(line['level'], 2)
    for program in line['programs'].values():
      assert len(program['seconds']) == expected
      amounts = {'inference': 50, 'serving': 50, 'step': 4 * 3}
      assert program['amount'] == amounts.get(line['work'], program['amount'])
  assert process.stdout == (folder / 'benchmark.md').read_text()
  assert ('bfloat16' in process.stdout) == (dtype == 'bfloat16')
  if 'encoder' in levels:
    pixels = image.imread(folder / 'benchmark.png')[..., :3]
    assert pixels.min() < 0.5 < pixels.mean()  # Something is drawn on white.


@pytest.mark.slow
def test_our_encoder_and_step_are_measured(tmp_path):
  _check(tmp_path, 'encoder,step', [])


@pytest.mark.slow
def test_bfloat16_is_measured_beside_float32(tmp_path):
  _check(tmp_path, 'encoder,step,inference', [], 'bfloat16')


@pytest.mark.slow
@pytest.mark.parametrize(
  'baseline, levels',
  [
    ('torch', 'encoder,step,pretraining,epoch,inference,memory'),
    ('keras', 'encoder,step,inference'),
    ('flax', 'encoder,step,epoch'),
    ('haiku', 'encoder,step'),
    ('onnxruntime', 'serving'),
  ],
)
def test_each_baseline_is_measured(baseline, levels, tmp_path):
  if not importlib.util.find_spec(baseline):
    pytest.skip(f"{baseline} is missing: pip install -e '.[bench]'")
  _check(tmp_path, levels, [baseline])


@pytest.mark.slow
def test_the_latency_of_single_texts_is_measured(tmp_path):
  process = _call(
    *SMALL, '--baselines=', '--level=latency', f'--output={tmp_path}'
  )
  assert process.returncode == 0, process.stderr
  (line,) = json.loads((tmp_path / 'benchmark.json').read_text())
  by_threads = line['programs']['ours']
  assert [*by_threads] == ['1', '4']
  for seconds in by_threads.values():
    assert 0 < seconds['p50'] <= seconds['p99'] <= seconds['max']
  rows = process.stdout.splitlines()[-2:]
  assert [row.split(' | ')[1:3] for row in rows] == [
    ['ours', '1'],
    ['ours', '4'],
  ]


@pytest.mark.slow
def test_the_start_of_a_run_is_measured(tmp_path):
  process = _call(
    '--level=start', '--baselines=', '--rounds=1', '--dataset=synthetic',
    f'--output={tmp_path}',
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  (line,) = json.loads((tmp_path / 'benchmark.json').read_text())
  assert line['programs']['ours']['median'] > 0
  assert 'first training step' in process.stdout


@pytest.mark.slow
def test_a_csv_file_is_labelled_beside_a_pytorch_program():
  pytest.importorskip('torch')
  process = subprocess.run(
    [
      sys.executable, str(FOLDER / 'labelling.py'), '--dataset=synthetic',
      '--texts=300', '--rounds=1',
    ],
    capture_output=True,
    text=True,
    timeout=900,
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  ours, theirs, equal = process.stdout.splitlines()[-3:]
  assert ours.startswith('ours: ') and '300 texts (1.00 x)' in ours
  assert theirs.startswith('torch: ')
  assert float(equal.split('%')[0]) > 95


@pytest.mark.parametrize(
  'flag',
  [
    'level=enc',
    *(
      pytest.param(flag, marks=pytest.mark.slow)
      for flag in ('baselines=jazz', 'cell=1,2,x,4', 'cell=1,2')
    ),
  ],
)
def test_a_wrong_flag_is_reported_in_one_line(flag, tmp_path):
  process = _call(f'--{flag}', f'--output={tmp_path}')
  assert process.returncode == 2
  assert process.stderr.splitlines()[-1].startswith(f'main.py: {flag}')
  assert 'Traceback' not in process.stderr


def test_an_interrupted_benchmark_keeps_its_lines(tmp_path, monkeypatch):
  monkeypatch.syspath_prepend(str(FOLDER))
  import summaries

  def lines():
    yield {'level': 'start'}
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    summaries.write(tmp_path / 'benchmark', lines(), lambda lines: '')
  kept = json.loads((tmp_path / 'benchmark.json').read_text())
  assert kept == [{'level': 'start'}]
