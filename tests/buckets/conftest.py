"""A bucket of each kind, in which each test has a folder of its own."""

import uuid

import pytest
import servers

from bigru_jax.buckets.bucket import Bucket


@pytest.fixture(scope='session', params=['s3', 'gs'])
def server(request):
  """The scheme and the address of a server that runs."""
  with servers.started(request.param) as address:
    yield request.param, address


@pytest.fixture
def name(server):
  """The name of a run in a bucket."""
  scheme, address = server
  with servers.reached_at(scheme, address):
    yield f'{scheme}://{servers.BUCKET}/{uuid.uuid4().hex[:8]}/run'


@pytest.fixture
def bucket(name):
  """The folder of a run in a bucket."""
  return Bucket(name, 'workdir')


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """A cache that is empty."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
