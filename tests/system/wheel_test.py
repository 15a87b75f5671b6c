"""The release: its sdist, the wheel of that, and its workflow."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile

import pytest
from scripts import ROOT

import bigru_jax


def _run(*arguments, cwd, path=None):
  """Runs a program, which finds the clone only where that is `cwd`.

  Args:
    *arguments: the program and its arguments.
    cwd: its working directory.
    path: the only folder in which it finds programs; by default, all are found.
  """
  environment = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
  if path:
    environment['PATH'] = str(path)
  done = subprocess.run(
    list(map(str, arguments)),
    capture_output=True,
    text=True,
    cwd=cwd,
    env=environment,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done


@pytest.fixture(scope='module')
def sdist(tmp_path_factory):
  """The path of an sdist of the clone."""
  folder = tmp_path_factory.mktemp('sdist')
  code = 'import sys; from setuptools import build_meta as backend; '
  code += 'backend.build_sdist(sys.argv[1])'
  _run(sys.executable, '-c', code, folder, cwd=ROOT)
  (path,) = folder.iterdir()
  return path


@pytest.fixture(scope='module')
def wheel(sdist, tmp_path_factory):
  """The path of the wheel that pip builds of the sdist, away from the clone."""
  folder = tmp_path_factory.mktemp('wheel')
  _run(
    sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation',
    '--no-cache-dir', '--wheel-dir', folder, sdist, cwd=folder,
  )  # fmt: skip
  (path,) = folder.iterdir()
  return path


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
  """A fresh environment with the wheel.

  The packages that it needs are those of the tests' environment; the clone,
  which may be installed there, is not seen, for it is a hook and no folder.
  """
  folder = tmp_path_factory.mktemp('installed') / 'venv'
  _run(sys.executable, '-m', 'venv', '--without-pip', folder, cwd=folder.parent)
  python = folder / 'bin' / 'python'
  _run(
    sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps',
    '--no-index', wheel, cwd=folder.parent,
  )  # fmt: skip
  (packages,) = folder.glob('lib/python*/site-packages')
  outer = sysconfig.get_path('purelib')
  (packages / 'dependencies.pth').write_text(f'{outer}\n')
  return folder / 'bin'


@pytest.mark.slow
def test_the_sdist_holds_what_builds_the_package(sdist):
  with tarfile.open(sdist) as archive:
    names = {name.partition('/')[2] for name in archive.getnames()}
  sources = [*ROOT.glob('bigru_jax/**/*.cc'), *ROOT.glob('bigru_jax/**/*.h')]
  assert {str(path.relative_to(ROOT)) for path in sources} < names
  assert {'README.md', 'LICENSE', 'CHANGELOG.md', 'setup.py'} < names
  assert not {n for n in names if n.startswith('tests/') or n.endswith('.so')}
  assert f'bigru_jax-{bigru_jax.__version__}.tar.gz' == sdist.name


@pytest.mark.slow
def test_the_wheel_is_for_one_platform_and_every_python(wheel):
  platform = sysconfig.get_platform().replace('-', '_').replace('.', '_')
  expected = f'bigru_jax-{bigru_jax.__version__}-py3-none-{platform}.whl'
  assert wheel.name == expected


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('c++'), reason='there is no C++ compiler')
def test_the_wheel_brings_the_kernel(installed, tmp_path):
  assert not shutil.which('c++', path=installed)
  code = """
import bigru_jax
from bigru_jax.ops.gru import best_implementation
print(bigru_jax.__file__)
print(best_implementation('cpu', 'float32'))
"""
  done = _run(installed / 'python', '-c', code, cwd=tmp_path, path=installed)
  path, implementation = done.stdout.splitlines()
  assert pathlib.Path(path).is_relative_to(installed.parent)
  assert implementation.startswith("'cpu', the C++ kernel for ")


@pytest.mark.slow
def test_the_installed_command_runs_predicts_and_writes_the_page(
  installed, tmp_path
):
  rows = [f'a fine film {i},good\na dull film {i},bad\n' for i in range(20)]
  (tmp_path / 'reviews.csv').write_text('text,label\n' + ''.join(rows))
  bigru = installed / 'bigru'
  _run(
    bigru, 'run', '--train=reviews.csv', '--workdir=run', '--epochs=2',
    '--batch_size=8', '--hidden_size=4', '--embedding_size=4', cwd=tmp_path,
    path=installed,
  )  # fmt: skip
  done = _run(
    bigru, 'predict', '--workdir=run', '--text=a fine film', cwd=tmp_path,
    path=installed,
  )  # fmt: skip
  assert done.stdout.startswith('{')
  page = (tmp_path / 'run' / 'report.html').read_text('utf-8')
  assert '<html' in page and 'a fine film' in page


def test_the_workflow_publishes_tags_alone_and_with_a_right_of_its_own():
  yaml = pytest.importorskip('yaml')
  text = (ROOT / '.github' / 'workflows' / 'release.yml').read_text('utf-8')
  workflow = yaml.safe_load(text)
  assert workflow['permissions'] == {'contents': 'read'}
  wheel, sdist, publish = (
    workflow['jobs'][name] for name in ('wheel', 'sdist', 'publish')
  )
  assert "github.ref_type == 'tag'" in publish['if']
  assert publish['needs'] == ['wheel', 'sdist']
  assert publish['permissions'] == {'id-token': 'write'}
  assert 'permissions' not in wheel and 'permissions' not in sdist
