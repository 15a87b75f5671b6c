"""The commands of the README and the guide, as a newcomer types them."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = [
  *sorted(path.name for path in (ROOT / 'docs' / 'guide').glob('*.md')),
  '../submission.md',
  '../troubleshooting.md',
]


def _commands(page):
  """The shell commands and the Python programs of a page, in their order.

  They are in blocks of `sh` and `python`; an indented block shows a command
  that needs what is not here. The programs of a page are one program. What
  installs is left out, for this environment is installed, and so is the line
  that runs these tests.

  Yields:
    A command, and the output of a program that the page shows in a block of
    `text` after it, else ''.
  """
  pattern = r'```(sh|python)\n(.*?)```(?:\n\n```text\n(.*?)```)?'
  program = ''
  for language, block, output in re.findall(
    pattern, page.read_text(), re.DOTALL
  ):
    if language == 'python':
      program += block
      yield [sys.executable, '-c', program], output
      continue
    for line in block.splitlines():
      if 'pytest' not in line and 'activate' not in line:
        parts = [part for part in line.split(' && ') if ' install ' not in part]
        parts = [part for part in parts if 'venv .venv' not in part]
        line = ' && '.join(parts).replace('.venv/bin/', '')
        line = re.sub(r'(^|&& )bigru ', r'\1python -m bigru_jax.cli ', line)
        yield ['bash', '-euc', line], ''


def _without_digits(text):
  return re.sub(r'\d[\d.,:-]*', '#', text)


def _run_commands(page, folder):
  """Runs the commands of a page in a folder.

  Returns:
    How many there are.
  """
  path = (
    f'{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
  )
  environment = {**os.environ, 'PATH': path, 'PYTHONPATH': str(ROOT)}
  commands = list(_commands(page))
  for command, output in commands:
    done = subprocess.run(
      command,
      cwd=folder,
      env=environment,
      capture_output=True,
      text=True,
      timeout=600,
    )
    assert done.returncode == 0, f'{command[-1]}\n{done.stderr}'
    assert _without_digits(output) in _without_digits(done.stdout), done.stdout
  return len(commands)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder in which the commands of the README were run."""
  folder = tmp_path_factory.mktemp('clone')
  for name in ('experiments', 'launch'):
    shutil.copytree(ROOT / name, folder / name)
  assert _run_commands(ROOT / 'README.md', folder) == 6
  return folder


@pytest.mark.slow
def test_every_command_of_the_readme_works_in_order(folder):
  runs = {path.parent.name for path in folder.glob('runs/*/result.json')}
  assert {'first', 'reviews', 'rotten_tomatoes'} <= runs
  lines = (folder / 'predictions.csv').read_text().splitlines()
  assert lines[0] == (
    'review,stars,prediction,probability_1,probability_5,empty'
  )
  assert len(lines) == 121


@pytest.mark.slow
@pytest.mark.parametrize('page', GUIDE)
def test_every_command_of_the_guide_works(folder, page):
  _run_commands(ROOT / 'docs' / 'guide' / page, folder)
  if page == 'predict.md':
    first = json.loads((folder / 'out.jsonl').read_text().splitlines()[0])
    assert first['tokens'][1] == 'fine' and (folder / 'run.png').exists()
  if page == 'sweep.md':
    table = (folder / 'runs' / 'sweep' / 'sweep.md').read_text()
    assert '**learning_rate=1e-2**' in table
  if page == '../submission.md':
    submission = (folder / 'submission.csv').read_text().splitlines()
    assert submission == ['id,target', 'q1,1', 'q2,0']
    toxic = (folder / 'toxic.csv').read_text().splitlines()
    assert toxic[0] == 'id,toxic,insult' and len(toxic) == 3
    averaged = (folder / 'averaged.csv').read_text().splitlines()
    assert [line[:3] for line in averaged[1:]] == ['q1,', 'q2,']
    assert {line[3:] for line in averaged[1:]} <= {'0', '1'}
    assert (folder / 'runs' / 'tweet_folds' / 'out_of_fold.csv').exists()


def test_the_readme_is_one_page():
  lines = (ROOT / 'README.md').read_text().splitlines()
  assert len(lines) <= 120
