"""Small made-up data of the form of those that the papers' rows read."""

import gzip
import shutil

import numpy as np
import pyarrow
from pyarrow import parquet
from scripts import ROOT

from experiments.papers import film_vectors, lexicon_vectors

FIXTURES = ROOT / 'tests' / 'fixtures'
# More flags of run.py, for these data.
SMALL = ['--epochs=1', '--hidden_size=8', '--batch_size=4']


def write(folder):
  """A data folder with TREC, MR, SST, and vectors of 100 numbers."""
  for name in ('trec', 'mr'):
    (folder / name).mkdir(parents=True)
    for path in (FIXTURES / name).iterdir():
      grow(path, folder / name / path.name)
  shutil.copytree(FIXTURES / 'sst', folder / 'sst' / 'trees')
  (folder / 'glove').mkdir()
  for name, word, size in (
    ('glove.6B.100d.txt', 'film', 100),
    (film_vectors.NAME, 'plot', 2),
    (lexicon_vectors.NAME, 'good', 2),
  ):
    lines = [f'{x}{" 0.1" * size}' for x in ('the', word)]
    (folder / 'glove' / name).write_text('\n'.join(lines) + '\n')


def grow(source, target, header=0):
  """Copies a file whose lines stand there four times, each a little longer.

  So few lines are in a fixture that nothing could be held out of them.
  """
  lines = source.read_text('latin-1').splitlines()
  grown = lines[:header] + [
    f'{line} {"again " * i}'.rstrip()
    for line in lines[header:]
    if line
    for i in range(4)
  ]
  target.write_text('\n'.join(grown) + '\n', 'latin-1')


def write_dataset(name, folder):
  """A folder with the files of a data set that has none of its own above."""
  folder.mkdir()
  reviews = [
    (1 + i % 5, f'We came on day {i}. It was {"so " * (i % 5)}good!')
    for i in range(60)
  ]
  if name == 'movie_reviews':
    text = ''.join(
      f'"{1 if label > 2 else -1}","{review}\n"\n' for label, review in reviews
    )
    with gzip.open(folder / 'polarity-1500.csv.gz', 'wt') as file:
      file.write(text)
  elif name == 'semeval2010':
    relations = 'Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Other'
    for file, count in (('TRAIN_FILE.TXT', 40), ('TEST_FILE_FULL.TXT', 12)):
      lines = [
        f'{i}\t"The <e1>storm</e1> {"and " * i}<e2>flood</e2> ."\r\n'
        f'{relations[i % 3]}\r\nComment:\r\n\r\n'
        for i in range(1, count + 1)
      ]
      (folder / file).write_text(''.join(lines), newline='')
  elif name == 'hotel_reviews':
    write_parquet(folder / 'hotel_reviews.parquet', reviews)
  else:
    write_parquet(folder / 'train.parquet', reviews)
    write_parquet(folder / 'test.parquet', reviews[:20])


def write_parquet(path, examples):
  """Writes labels and texts as the columns of a Parquet file."""
  labels, texts = zip(*examples)
  parquet.write_table(pyarrow.table({'text': texts, 'label': labels}), path)


def prepare_tfds(folder, name):
  """Prepares a made-up TFDS set with the name and form of a real one."""
  import tensorflow_datasets as tfds

  glue = name == 'glue'
  names = ['negative', 'positive'] if glue else ['1', '2']
  text = 'sentence' if glue else 'text'

  def _info(self):
    features = {
      text: tfds.features.Text(), 'label': tfds.features.ClassLabel(names=names)
    }  # fmt: skip
    if glue:
      features['idx'] = np.int32
    return tfds.core.DatasetInfo(
      builder=self, features=tfds.features.FeaturesDict(features)
    )

  def _examples(hidden=False):
    for i in range(20):
      label = -1 if hidden else i % 2
      example = {text: f'a {"bad good".split()[i % 2]} film {i}'}
      yield i, {**example, 'label': label, **({'idx': i} if glue else {})}

  def _split_generators(self, dl_manager):
    del dl_manager
    if glue:
      return {
        'train': _examples(), 'validation': _examples(),
        'test': _examples(hidden=True),
      }  # fmt: skip
    return {'train': _examples(), 'test': _examples()}

  with tfds.core.registered.skip_registration():
    made = type(
      'Glue' if glue else 'YelpPolarityReviews',
      (tfds.core.GeneratorBasedBuilder,),
      {
        'VERSION': tfds.core.Version('2.0.0' if glue else '0.2.0'),
        'BUILDER_CONFIGS': [tfds.core.BuilderConfig(name='sst2')] * glue,
        '_info': _info,
        '_split_generators': _split_generators,
        '_generate_examples': lambda self: (),
        '__module__': __name__,
      },
    )
    made(data_dir=folder, file_format='array_record').download_and_prepare()
