"""The benchmark of an accelerator, rehearsed on the CPU; never its timings."""

import json
import math
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'experiments/benchmark'
SMALL = ['--cell=2,5,4,3', '--rounds=1', '--baselines=flax']


def _call(*arguments, platform='cpu', vocabulary=20):
  values = f'--platform={platform}', f'--vocabulary={vocabulary}'
  return subprocess.run(
    [
      sys.executable,
      str(FOLDER / 'accelerator.py'),
      *SMALL,
      *values,
      *arguments,
    ],
    capture_output=True,
    text=True,
    timeout=900,
  )


@pytest.mark.slow
def test_all_items_are_measured_once(tmp_path):
  # Nothing is started when the time is over.
  process = _call('--budget=1', f'--output={tmp_path}')
  assert process.returncode == 0, process.stderr
  path = tmp_path / 'accelerator.json'
  first = json.loads(path.read_text())['items']
  assert all('left out' in item['error'] for item in first.values())
  assert process.stdout.count('left out') == len(first)

  # A result of a run that was interrupted stays as it is.
  document = json.loads(path.read_text())
  title = 'Check of the GRU, xla, B2 T5 E4 H3'
  kept = {'checks': {'kept': {'error': 0.0, 'bound': 1.0, 'array': 'h'}}}
  document['items'] = {title: kept}
  path.write_text(json.dumps(document))

  process = _call(f'--output={tmp_path}')
  assert process.returncode == 0, process.stderr
  document = json.loads(path.read_text())
  assert document['device']['name'] == 'cpu'
  assert document['items'].pop(title) == kept
  assert set(document['items']) == set(first) - {title}
  works = 'step', 'forward', 'backward', 'epoch', 'inference', 'memory'
  assert len(first) >= 4 + 2 * len(works)
  for name, item in document['items'].items():
    assert 'error' not in item, name
    for check in item.get('checks', {}).values():
      assert 0 <= check['error'] <= check['bound']
    if programs := item.get('programs'):
      pallas = {'pallas'} if 'Encoder' in name else set()
      assert set(programs) == {'ours', 'flax'} | pallas
      for program in programs.values():
        assert 'error' not in program
        assert len(program['seconds']) == (0 if 'Peak memory' in name else 1)
        assert math.isfinite(program['median'])
  lines = (tmp_path / 'accelerator.md').read_text().splitlines()
  assert process.stdout.splitlines() == lines
  assert sum(line.startswith('| ---') for line in lines) == 1
  assert not any('ABOVE' in line for line in lines)

  process = _call(f'--output={tmp_path}', vocabulary=30)
  assert process.returncode == 2
  assert 'another vocabulary' in process.stderr.splitlines()[-1]


def test_an_error_is_relative_to_the_largest_value(monkeypatch):
  monkeypatch.syspath_prepend(str(FOLDER))
  import checks

  expected = {'h': [3.0, -4.0], 'dx': [0.0, 0.1]}
  worst = checks._worst({'h': [3.0, -3.0], 'dx': [0.0, 0.1]}, expected)
  assert worst == {'error': 0.25, 'array': 'h'}
  worst = checks._worst({'h': [3.0, -4.0], 'dx': [math.nan, 0.1]}, expected)
  assert worst == {'error': math.inf, 'array': 'dx'}


@pytest.mark.slow
def test_a_wrong_gradient_is_above_the_bound(monkeypatch):
  monkeypatch.syspath_prepend(str(FOLDER))
  from cases import Case
  import checks
  import jax

  from bigru_jax.ops import gru, gru_scan

  @jax.custom_vjp
  def wrong(x):
    return x

  wrong.defvjp(lambda x: (x, None), lambda _, dx: (1.01 * dx,))

  def broken(x, mask, params, *arguments):
    recurrent = wrong(params.w_recurrent_DxGxH)
    params = params._replace(w_recurrent_DxGxH=recurrent)
    return gru_scan.bidirectional_gru(x, mask, params, *arguments)

  monkeypatch.setitem(gru.IMPLEMENTATIONS, 'broken', broken)
  case = Case('backward', 2, 5, 4, 3)
  good = checks.check_gru('scan', case)['float32, highest']
  assert good['error'] < good['bound']
  bad = checks.check_gru('broken', case)['float32, highest']
  assert bad['error'] > bad['bound']
  assert bad['array'] == 'dw_recurrent_DxGxH'


@pytest.mark.slow
def test_a_platform_that_is_not_there_is_reported_in_one_line(tmp_path):
  process = _call(f'--output={tmp_path}', platform='nothing')
  assert process.returncode == 2
  (line,) = process.stderr.splitlines()
  assert line.startswith('accelerator.py: platform=nothing: ')
