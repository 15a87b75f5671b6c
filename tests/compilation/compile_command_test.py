"""`bigru compile` as a process, for devices that are not there."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize('target', ['h100x4', 'v5e:2x2'])
def test_the_command_says_that_a_run_fits(target, compiler, tmp_path):
  compiler('tpu' if ':' in target else 'gpu')
  output = tmp_path / 'steps.json'
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'bigru_jax.cli', 'compile', f'--target={target}'),
      *('--dataset=synthetic', '--hidden_size=24', f'--output={output}'),
    ],
    env=os.environ | {'XDG_CACHE_HOME': str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert f'One of the 4 devices of {target}:' in done.stdout
  result = json.loads(output.read_text())
  assert [step['name'] for step in result['steps']] == [
    'train', 'evaluate', 'predict',
  ]  # fmt: skip
  assert all(step['fits'] for step in result['steps'])
  train = result['steps'][0]
  if ':' in target:
    assert train['flops'] > 0
    assert train['bytes_accessed'] > 0
  else:
    assert max(train['kernels_per_step']) <= 4
