"""Four XLA host devices for every test, and one run that several look at."""

import chaos
import jax
import pytest

jax.config.update('jax_num_cpu_devices', 4)


@pytest.fixture(scope='session', autouse=True)
def compilation_cache(tmp_path_factory):
  """Programs that several tests compile are compiled once."""
  folder = tmp_path_factory.mktemp('compiled')
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)


@pytest.fixture(scope='session')
def run_directory(tmp_path_factory):
  """The directory of a finished run on `synthetic`; not to be written to."""
  workdir = tmp_path_factory.mktemp('run')
  chaos.survive(workdir, kills=0)
  return workdir
