"""Small TFDS sets that the tests prepare: features, labels, file formats."""

import json
import pathlib

import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data import sources


def test_a_set_with_the_features_of_sst2_is_read(tmp_path):
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
  options = {'dataset': 'tfds:glue_like/sst2', 'data_dir': str(tmp_path)}
  splits = sources.read(Config(**options))
  assert list(splits) == ['train', 'validation']  # Test has no labels.
  assert len(splits['validation']) == 10
  for example in splits['train']:
    index = int(example.text.split()[1])
    assert example.label == ('negative', 'positive')[index % 2]
  with pytest.raises(ValueError, match='text_column=idx'):
    sources.read(Config(**options, text_column='idx'))


def _prepare_tfds(folder, features, examples):
  """Prepares a TFDS set called `rated`, and returns its folder."""
  import tensorflow_datasets as tfds

  with tfds.core.registered.skip_registration():

    class Rated(tfds.core.GeneratorBasedBuilder):
      VERSION = tfds.core.Version('1.0.0')

      def _info(self):
        return tfds.core.DatasetInfo(
          builder=self, features=tfds.features.FeaturesDict(features)
        )

      def _split_generators(self, dl_manager):
        del dl_manager
        return {'train': self._generate_examples()}

      def _generate_examples(self):
        yield from enumerate(examples)

  builder = Rated(data_dir=folder, file_format='array_record')
  builder.download_and_prepare()
  return pathlib.Path(builder.data_dir)


def _read_rated(folder, **options):
  return sources.read(
    Config(dataset='tfds:rated', data_dir=str(folder), **options)
  )['train']


@pytest.mark.parametrize('kind', ['Scalar', 'Tensor'])
def test_integer_labels_are_read(tmp_path, kind):
  from tensorflow_datasets import features

  shape = {'shape': ()} if kind == 'Tensor' else {}
  stars = getattr(features, kind)(dtype=np.int32, **shape)
  _prepare_tfds(
    tmp_path,
    {'review': features.Text(), 'stars': stars, 'score': np.float32},
    [{'review': f'film {i}', 'stars': i - 1, 'score': 0.5} for i in range(12)],
  )
  train = _read_rated(tmp_path, label_column='stars')
  assert sorted((x.text, x.label) for x in train) == sorted(
    (f'film {i}', str(i - 1)) for i in range(12)
  )
  # A number may be an index, so it is a label only where it is named.
  with pytest.raises(ValueError, match="label_column=label: .* 'stars', 'rev"):
    _read_rated(tmp_path)
  with pytest.raises(ValueError, match='label_column=score: '):
    _read_rated(tmp_path, label_column='score')


def test_text_labels_are_read(tmp_path):
  from tensorflow_datasets import features

  texts = {'body': features.Text(), 'topic': features.Text()}
  examples = [
    {'body': f'item {topic}', 'topic': f' {topic}\n'} for topic in ('é', 'b')
  ]
  _prepare_tfds(tmp_path / 'right', texts, examples)
  train = _read_rated(tmp_path / 'right', label_column='topic')
  assert sorted(x.label for x in train) == ['b', 'é']
  assert all(x.text == f'item {x.label}' for x in train)
  _prepare_tfds(tmp_path / 'wrong', texts, [{'body': 'item', 'topic': ' '}])
  with pytest.raises(
    ValueError,
    match="tfds:rated/train, row 1: column 'topic' is empty",
  ):
    _read_rated(tmp_path / 'wrong', label_column='topic')


def test_a_set_prepared_as_tfrecord_is_named(tmp_path):
  from tensorflow_datasets import features

  folder = _prepare_tfds(
    tmp_path,
    {'text': features.Text(), 'label': features.ClassLabel(names=['a', 'b'])},
    [{'text': 'film', 'label': 'a'}],
  )
  # TFRecord files are written by TensorFlow; what names the format is enough.
  info = json.loads((folder / 'dataset_info.json').read_text())
  assert info['fileFormat'] == 'array_record'
  info['fileFormat'] = 'tfrecord'
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  with pytest.raises(ValueError, match='is prepared as tfrecord in') as error:
    _read_rated(tmp_path)
  assert 'without a network' not in str(error.value)
  assert (
    f'tfds convert_format --dataset_version_dir={folder} '
    '--out_file_format=array_record'
  ) in str(error.value)
  # As this command leaves a folder: with files in both formats.
  info['alternativeFileFormats'] = ['array_record']
  (folder / 'dataset_info.json').write_text(json.dumps(info))
  assert [x.label for x in _read_rated(tmp_path)] == ['a']


def test_several_texts_are_joined_with_their_weights_and_ids(tmp_path):
  from tensorflow_datasets import features

  _prepare_tfds(
    tmp_path,  # Like glue/mrpc, and a weight and a key.
    {
      'idx': np.int32,
      'key': features.Text(),
      'label': features.ClassLabel(names=['no', 'yes']),
      'sentence1': features.Text(),
      'sentence2': features.Text(),
      'share': np.float32,
    },
    [
      {
        'idx': i, 'key': f'k{i}', 'label': i % 2, 'sentence1': f'first {i}',
        'sentence2': 'second', 'share': i / 4,
      }
      for i in range(6)
    ],
  )  # fmt: skip
  train = _read_rated(
    tmp_path,
    text_column='sentence1,sentence2',
    weight_column='share',
    id_column='key',
  )
  assert sorted((x.id, x.text, x.label, x.weight) for x in train) == [
    (f'k{i}', f'first {i} <sep> second', ['no', 'yes'][i % 2], i / 4)
    for i in range(6)
  ]
  train = _read_rated(tmp_path, text_column='sentence2', id_column='idx')
  assert sorted((x.id, x.text) for x in train) == [
    (str(i), 'second') for i in range(6)
  ]
  for options, message in (
    (
      {},
      'text_column=text: .*sentence.*sentence.* to choose from, or several',
    ),
    ({'text_column': 'sentence1,body'}, 'text_column=body: '),
    ({'text_column': 'key', 'weight_column': 'label'}, 'weight_column=label: '),
    ({'text_column': 'key', 'id_column': 'id'}, 'id_column=id: '),
  ):
    with pytest.raises(ValueError, match=message):
      _read_rated(tmp_path, **options)
