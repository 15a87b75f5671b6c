"""The main job without what only some systems have, as on Windows."""

import ntpath
import os
import pathlib
import re
import subprocess
import sys

import pytest
from scripts import ROOT

from bigru_jax.config import Config
from bigru_jax.rundir import naming
from bigru_jax.runtime import jobs

# Other packages choose their own way for each system, so they are imported
# first, and ours get other modules of these names.
HIDE = """
import importlib, mmap, os, pkgutil, signal, sys, types
import absl.flags, filelock, flax.linen, jax, optax, orbax.checkpoint
import pyarrow.csv, pyarrow.parquet, regex, scipy, tensorboardX, tqdm
jax.devices(), orbax.checkpoint.CheckpointManager
for name in ('fcntl', 'grp', 'pwd', 'resource', 'termios'):
  sys.modules[name] = None
for module, names in {
  os: 'fork getuid geteuid getpgid killpg memfd_create mkfifo posix_spawn '
    'pread sched_getaffinity sched_setaffinity setsid statvfs uname wait4 '
    'O_DIRECTORY O_NONBLOCK',
  mmap: 'MAP_ANONYMOUS MAP_PRIVATE MAP_SHARED PROT_READ',
  signal: 'SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGUSR1 SIGUSR2 alarm '
    'setitimer pthread_sigmask',
}.items():
  hidden = sys.modules[module.__name__] = types.ModuleType(module.__name__)
  hidden.__dict__.update(module.__dict__)
  for name in names.split():
    hidden.__dict__.pop(name, None)
"""


def _run(code, *arguments, cwd):
  environment = {
    **os.environ,
    'PYTHONPATH': str(ROOT),
    'PYTHONIOENCODING': 'cp1252',  # The encoding of a pipe on Windows.
    'PYTHONWARNDEFAULTENCODING': '1',
  }
  return subprocess.run(
    [sys.executable, '-c', code, *map(str, arguments)],
    cwd=cwd,
    env=environment,
    capture_output=True,
    text=True,
  )


@pytest.mark.slow
def test_every_module_is_imported_without_what_only_posix_has(tmp_path):
  code = f"""{HIDE}
import bigru_jax
for module in pkgutil.walk_packages(bigru_jax.__path__, 'bigru_jax.'):
  if not module.name.endswith('__main__'):
    importlib.import_module(module.name)
print('imported')
"""
  done = _run(code, cwd=tmp_path)
  assert done.stdout.endswith('imported\n'), done.stderr


@pytest.mark.slow
def test_a_run_and_a_prediction_work_without_what_only_posix_has(tmp_path):
  rows = [f'a fine film {i},good\na dull film {i},bad\n' for i in range(20)]
  (tmp_path / 'reviews.csv').write_text('text,label\n' + ''.join(rows))
  code = f"""{HIDE}
sys.platform = 'win32'
from bigru_jax import cli
cli.main(['bigru', *sys.argv[1:]])
"""
  done = _run(
    code, 'run', '--train=reviews.csv', '--workdir=run', '--epochs=2',
    '--batch_size=8', '--hidden_size=4', '--embedding_size=4', cwd=tmp_path,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert not re.search('bigru_jax.*EncodingWarning', done.stderr)
  assert 'host setup is skipped: it is for Linux' in done.stderr
  assert (tmp_path / 'run' / 'report.html').exists()
  done = _run(
    code, 'predict', '--workdir=run', '--input=reviews.csv',
    '--output=predictions.csv', cwd=tmp_path,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  predictions = pathlib.Path(tmp_path, 'predictions.csv').read_text('utf-8')
  assert len(predictions.splitlines()) == 41


def test_a_run_directory_is_named_after_a_file_on_a_drive(monkeypatch):
  monkeypatch.setattr(os, 'path', ntpath)
  config = Config(train=r'C:\data\reviews.csv')
  assert naming.default_workdir(config).name == 'reviews'


def test_windows_starts_no_sweep_and_says_so(monkeypatch):
  monkeypatch.delattr(os, 'pread')
  with pytest.raises(ValueError, match='only on Linux and macOS'):
    next(jobs.run_jobs([], 1, lambda: False))
