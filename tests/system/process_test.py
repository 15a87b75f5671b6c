"""Each command as a process: its exit status and its output streams.

The other tests check messages in their own process, see `run_command`.
"""

import os
import subprocess
import sys

import pytest
from scripts import call

_SLOW = (
  'run', 'predict', 'explain', 'report', 'plot', 'export', 'sweep',
  'baseline', 'from_torch', 'compile', 'reproduce', 'jain_wallace',
  'thresholds', 'faithfulness',
)  # fmt: skip


@pytest.mark.parametrize(
  'name',
  ['evaluate', *(pytest.param(x, marks=pytest.mark.slow) for x in _SLOW)],
)
def test_a_wrong_flag_gives_one_line_and_status_2(name):
  done = call(f'{name}.py', '--no_such_flag=1')
  assert done.returncode == 2
  assert not done.stdout
  (line,) = done.stderr.splitlines()
  assert line.startswith(f"{name}.py: Unknown command line flag 'no_such_flag'")


def test_the_installed_command_calls_the_same_code():
  def bigru(*arguments):
    line = [sys.executable, '-m', 'bigru_jax.cli', *arguments]
    return subprocess.run(line, capture_output=True, text=True)

  done = bigru('evaluate', '--split=test')
  assert done.returncode == 2
  assert done.stderr == 'bigru evaluate: workdir: name a run\n'


def test_a_plot_without_its_extra_names_it(tmp_path):
  (tmp_path / 'matplotlib').mkdir()
  hidden = "raise ModuleNotFoundError('No module named matplotlib')"
  (tmp_path / 'matplotlib' / '__init__.py').write_text(hidden)
  path = os.pathsep.join([str(tmp_path), os.environ.get('PYTHONPATH', '')])
  environment = os.environ | {'PYTHONPATH': path}
  done = call('plot.py', '--workdir=x', env=environment)
  assert done.returncode == 2
  (line,) = done.stderr.splitlines()
  assert 'pip install "bigru_jax[plot]"' in line
