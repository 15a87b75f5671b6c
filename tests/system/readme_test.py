"""The README's own commands, one after the other, as a newcomer types them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _commands():
  """The README's shell commands and Python code, in their order.

  What installs is left out: this environment is installed. So is the line that
  runs these tests.
  """
  readme = (ROOT / 'README.md').read_text()
  readme = readme[readme.index('## Install') : readme.index('## Results')]
  pattern = r'```python\n(.*?)```|^    (\S[^\n]*)$'
  for code, line in re.findall(pattern, readme, re.DOTALL | re.MULTILINE):
    if code:
      yield [sys.executable, '-c', code]
    elif 'pytest' not in line and 'activate' not in line:
      kept = [part for part in line.split(' && ') if ' install ' not in part]
      kept = [part for part in kept if 'venv .venv' not in part]
      yield ['bash', '-euc', ' && '.join(kept).replace('.venv/bin/', '')]


@pytest.mark.slow
def test_every_command_works_in_order(tmp_path):
  for folder in ('experiments', 'launch'):
    shutil.copytree(ROOT / folder, tmp_path / folder)
  path = (
    f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
  )
  environment = {**os.environ, 'PATH': path, 'PYTHONPATH': str(ROOT)}
  commands = list(_commands())
  assert len(commands) >= 9
  for command in commands:
    done = subprocess.run(
      command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f'{command[-1]}\n{done.stderr}'
  runs = {path.parent.name for path in tmp_path.glob('runs/*/result.json')}
  assert {'first', 'rotten_tomatoes'} <= runs
  assert (
    '**learning_rate=1e-2**'
    in (tmp_path / 'runs' / 'sweep' / 'sweep.md').read_text()
  )
  lines = (tmp_path / 'out.jsonl').read_text().splitlines()
  assert len(lines) == 120 and json.loads(lines[0])['tokens'][1] == 'fine'
  assert (tmp_path / 'run.png').exists()
