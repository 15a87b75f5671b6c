"""Four XLA host devices for every test, and one run that several look at."""

import contextlib
import os
from unittest import mock

import chaos
import filelock
import jax
import pytest

from bigru_jax.statistics import intervals

# Compiling takes most of the tests' time. In the tests' own process programs
# are compiled the simple way; real processes compile them as a user's do.
_FLAGS = (
  f'{os.environ.get("XLA_FLAGS", "")} --xla_cpu_use_fusion_emitters=false'
)
jax.config.update('jax_disable_most_optimizations', True)
jax.config.update('jax_num_cpu_devices', 4)
with mock.patch.dict(os.environ, XLA_FLAGS=_FLAGS):
  jax.devices()  # It reads the flags, once.


def pytest_runtest_setup(item):
  """Skips a test that needs a package which is not installed, and says so."""
  for extra in ('compare', 'dev', 'engines'):
    for marker in item.iter_markers(extra):
      for package in marker.args:
        pytest.importorskip(
          package,
          reason=f"{package} is missing: pip install -e '.[{extra}]'",
        )


@pytest.fixture(scope='session')
def session_folder(tmp_path_factory):
  """A folder of all processes that run these tests."""
  folder = tmp_path_factory.getbasetemp()
  return folder.parent if 'PYTEST_XDIST_WORKER' in os.environ else folder


@pytest.fixture(scope='session', autouse=True)
def compilation_cache(session_folder):
  """Programs that several tests compile are compiled once."""
  folder = session_folder / 'compiled'
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
  """Runs of this process, also those of fixtures, end soon.

  They draw fewer texts for their intervals, and their page is shaded by
  attention. To explain predictions takes a third of the time of a tiny
  training, and few tests read it; they have the marker `explains`.
  """
  skipped = (
    'reports.page.run_page._explainer',
    'training.train.compile_explanations',
  )
  if item.get_closest_marker('explains'):
    skipped = ()
  with contextlib.ExitStack() as stack:
    stack.enter_context(mock.patch.object(intervals, 'RESAMPLES', 200))
    for name in skipped:
      stack.enter_context(mock.patch(f'bigru_jax.{name}', lambda *_: None))
    return (yield)


@pytest.fixture(scope='session')
def run_directory(session_folder):
  """The directory of a finished run on `synthetic`; not to be written to."""
  workdir = session_folder / 'run'
  with filelock.FileLock(session_folder / 'run.lock'):
    if not (workdir / 'result.json').exists():
      chaos.survive(workdir, kills=0)
  return workdir
