"""Four XLA host devices for every test, and one run that several look at."""

import chaos
import pytest

from bigru_jax import sharding

sharding.use_cpu_devices(4)


@pytest.fixture(scope='session')
def run(tmp_path_factory):
  """The directory of a run on `synthetic` that ended; not to be written to."""
  workdir = tmp_path_factory.mktemp('run')
  chaos.survive(workdir, kills=0)
  return workdir
