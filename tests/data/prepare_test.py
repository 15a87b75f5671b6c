"""Preparing the data of a configuration, up to encoded splits."""

import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest

from bigru_jax.config import Config
from bigru_jax.data.class_weights import class_weights, weigh_classes
from bigru_jax.data.encode import encode
from bigru_jax.data.prepare import prepare

CORPUS = {
  'train': (['a good film', 'a bad film', 'bad'] * 4, ['1', '0', '0'] * 4),
  'validation': (['good', 'an odd film'], ['1', '0']),
  'test': (['strange but bad'], ['0']),
}


def test_a_corpus_in_memory_is_encoded():
  data = prepare(Config(max_length=2), CORPUS)
  assert data.labels == ['0', '1']
  assert list(data.splits) == ['train', 'validation', 'test']
  train = data.splits['train']
  # `film` is never among the first two tokens, which are those in training.
  vocabulary = ['<pad>', '<unk>', 'a', 'bad', 'good']
  assert data.tokenizer.vocabulary == vocabulary
  assert train.table['label'].tolist() == [1, 0, 0] * 4
  assert train.table['tokens'].values[:5].tolist() == [2, 4, 2, 3, 3]
  assert train.buckets == [2]  # A second shape would not pay.
  assert (train.table['weight'] == 1).all()
  assert data.notes == [
    'train: 12 rows, 2 classes, 0 missing or blank texts, '
    '8 truncated at max_length=2, 9 duplicates; 0.0% unknown words',
    'validation: 2 rows, 2 classes, 0 missing or blank texts, '
    '1 truncated at max_length=2, 0 duplicates, 0 that are also in train '
    '(0.0%); 66.7% unknown words',
    'test: 1 rows, 1 classes, 0 missing or blank texts, '
    '1 truncated at max_length=2, 0 duplicates, 0 that are also in train '
    '(0.0%); 100.0% unknown words',
  ]


def test_a_hierarchical_corpus_is_encoded_by_sentences(tmp_path):
  corpus = {
    'train': (['Good. A film!', 'Bad. Bad, I said. No.', 'Bad'], list('100')),
    'validation': (['Odd'], ['1']),
    'test': (['Bad. Good'], ['0']),
  }
  config = Config(model='hierarchical', max_sentences=2, max_sentence_length=3)
  data = prepare(config, corpus)
  train = data.splits['train']
  assert train.table['sentences'].lengths.tolist() == [2, 2, 1]
  # `Bad, I` of `Bad, I said.` is the second and last sentence.
  assert train.table['sentences'].values.tolist() == [2, 3, 2, 3, 1]
  assert train.table['tokens'].lengths.tolist() == [5, 5, 1]
  assert train.buckets == [2] and train.sentence_length == 3
  assert 'said' not in data.tokenizer.vocabulary
  assert data.notes[0] == (
    'train: 3 rows, 2 classes, 1.7 sentences per text, 0 missing or blank '
    'texts, 1 truncated at max_sentences=2, 0 duplicates; 0.0% unknown words'
  )
  flat = prepare(Config(), corpus)
  assert 'sentences' not in flat.splits['train'].table


def test_a_tokenizer_json_reads_sentences_as_a_prediction_does(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  words = {'[UNK]': 0, 'good': 1, 'bad': 2, '.': 3, 'x': 4}
  tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, '[UNK]'))
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.save(str(tmp_path / 'mine.json'))
  texts = ['good . x x x x . bad', '', 'bad']
  corpus = {'train': (texts, list('101')), 'test': (texts, list('101'))}
  corpus['validation'] = corpus['test']
  config = Config(
    model='hierarchical', max_sentences=2, max_sentence_length=3,
    keep='tail', tokenizer=str(tmp_path / 'mine.json'),
  )  # fmt: skip
  data = prepare(config, corpus)
  train = data.splits['train']
  encoded = [encode(text, data.tokenizer, config.limits) for text in texts]
  assert [x.tokens for x in encoded] == [['x', '.', 'bad'], ['<unk>'], ['bad']]
  assert train.table['tokens'].values.tolist() == [6, 5, 4, 1, 4]
  assert sum((x.ids for x in encoded), []) == [6, 5, 4, 1, 4]
  assert train.table['sentences'].values.tolist() == [2, 1, 1, 1]
  assert sum((x.sentences for x in encoded), []) == [2, 1, 1, 1]


def test_the_vocabulary_respects_its_limits():
  def vocabulary(**options):
    return prepare(Config(**options), CORPUS).tokenizer.vocabulary

  # In train, `good` occurs four times, and the other words eight times.
  assert vocabulary(max_vocabulary=4) == ['<pad>', '<unk>', 'a', 'bad']
  assert vocabulary(min_count=5) == ['<pad>', '<unk>', 'a', 'bad', 'film']


def test_splits_that_a_corpus_lacks_are_held_out():
  texts = [f'text {i}' for i in range(200)]
  data = prepare(Config(), {'train': (texts, [i % 2 for i in range(200)])})
  assert sum(len(split) for split in data.splits.values()) == 200
  assert data.labels == ['0', '1']
  assert len(data.splits['test']) == len(data.splits['validation']) == 20


@pytest.mark.parametrize(
  'corpus, message',
  [
    (
      {'test': (['a'], ['b'])},
      "corpus has the splits 'test'; it needs 'train'",
    ),
    ({**CORPUS, 'dev': (['a'], ['b'])}, "corpus has the splits .*'dev'"),
    (
      {'train': (['a', 'b'], ['c'])},
      r"corpus\['train'\]: 2 texts but 1 labels",
    ),
    (
      {'train': (['a', 3], ['c', 'd'])},
      "'train'.*, row 2: 'text' is not a text: 3",
    ),
  ],
)
def test_a_wrong_corpus_is_named(corpus, message):
  with pytest.raises(ValueError, match=message):
    prepare(Config(), corpus)


def test_the_identity_follows_texts_labels_and_files(tmp_path):
  def identity(corpus=CORPUS, **options):
    return prepare(Config(embedding_size=2, **options), corpus).identity

  before = identity()
  texts, labels = CORPUS['train']
  corrected = identity({**CORPUS, 'train': (texts, ['0', *labels[1:]])})
  assert set(before) == {'train', 'validation', 'test'}
  assert {n for n in before if before[n] != corrected[n]} == {'train'}
  path = tmp_path / 'v.txt'
  path.write_text('good 1 2\nstrange 3 4\n')
  first = identity(embeddings=str(path))
  path.write_text('good 1 2\nstrange 3 5\n')
  second = identity(embeddings=str(path))
  assert {n for n in first if first[n] != second[n]} == {'embeddings'}


def test_words_of_other_splits_are_added_if_they_have_vectors(tmp_path):
  path = tmp_path / 'v.txt'
  path.write_text('good 1 2\nstrange 3 4\nabsent 5 6\n')
  data = prepare(Config(embeddings=str(path), embedding_size=2), CORPUS)
  assert data.tokenizer.vocabulary[-1] == 'strange'
  assert 'odd' not in data.tokenizer.vocabulary
  assert set(data.vectors) == {'good', 'strange'}


@pytest.mark.parametrize(
  'options, message',
  [
    ({'tokenizer': 'x'}, "tokenizer='x': choose words, whitespace, charact"),
    (
      {'tokenizer': 'x.json', 'embeddings': 'v'},
      'embeddings=v needs a tokeniz',
    ),
    ({'tokenizer': 'x.json'}, 'tokenizer=x.json: no such file'),
    ({'embeddings': 'nowhere'}, 'embeddings=nowhere: no such file'),
  ],
)
def test_wrong_settings_are_named(options, message):
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    prepare(Config(**options), CORPUS)


def test_class_weights_are_computed_or_refused():
  counts = np.array([3, 1])
  np.testing.assert_allclose(class_weights('balanced', counts), [2 / 3, 2])
  np.testing.assert_allclose(class_weights('balanced', counts, 6), [1, 5])
  np.testing.assert_array_equal(class_weights('1,2.5', counts), [1, 2.5])
  for bad in ('1', '1,x', '1,-1', 'ballanced', 'inf,1', 'nan,1', '0,0'):
    with pytest.raises(ValueError, match='class_weights'):
      class_weights(bad, counts)


def test_class_weights_reach_the_examples():
  data = weigh_classes(prepare(Config(), CORPUS), 'balanced')
  table = data.splits['train'].table
  by_class = [table['weight'][table['label'] == c].sum() for c in range(2)]
  np.testing.assert_allclose(by_class[0], by_class[1])


def test_a_tokenizer_json_is_part_of_the_identity(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  path = tmp_path / 'tokenizer.json'
  tokenizers.Tokenizer(
    tokenizers.models.WordLevel({'[UNK]': 0, 'good': 1}, '[UNK]')
  ).save(str(path))
  data = prepare(dataclasses.replace(Config(), tokenizer=str(path)), CORPUS)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  assert data.identity['tokenizer'] == digest
  assert data.tokenizer.vocabulary is None


def test_the_data_modules_do_not_import_jax():
  code = 'import sys, bigru_jax.data.prepare; print("jax" in sys.modules)'
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True
  )
  assert done.stdout.strip() == 'False', done.stderr


def test_multi_label_texts_are_encoded():
  config = Config(task='multi_label')
  train = ['a|b', '', ['b', 'a'], None, np.array(['c'])]
  texts = ['one two', 'three', 'four', 'five', 'six']
  corpus = {'train': (texts, train), 'test': (['one', 'two'], ['c', []])}
  corpus['validation'] = corpus['test']
  data = weigh_classes(prepare(config, corpus), 'balanced')
  assert data.labels == ['a', 'b', 'c']
  split = data.splits['train']
  assert split.label_array().astype(int).tolist() == [
    [1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1],
  ]  # fmt: skip
  batch = split.batch(np.array([4, 0]), 2, 3)
  assert batch['labels'].astype(int).tolist() == [
    [0, 0, 1], [1, 1, 0], [0, 0, 0],
  ]  # fmt: skip
  assert batch['weights'].tolist() == [1, 1, 0]
  # Negative over positive texts.
  np.testing.assert_allclose(data.label_weights, [3 / 2, 3 / 2, 4])


def test_several_labels_per_text_need_the_task():
  corpus = {'train': (['one', 'two'], [['a', 'b'], ['a']])}
  with pytest.raises(ValueError, match=r"corpus\['train'\], row 1: 'label' is"):
    prepare(Config(), corpus)
  with pytest.raises(ValueError, match='row 1: several labels need task=multi'):
    prepare(Config(dataset='synthetic_multi_label'))


def test_a_label_that_training_lacks_is_named():
  corpus = {'train': (['one', 'two'], ['a', '']), 'test': (['x'], ['a|z'])}
  with pytest.raises(
    ValueError, match="'test'], row 1: training has no label 'z"
  ):
    prepare(Config(task='multi_label'), corpus)
  with pytest.raises(ValueError, match="'train']: training has no label"):
    prepare(Config(task='multi_label'), {'train': (['one'], [''])})


def test_folds_cover_a_corpus_and_remember_the_rows():
  texts = [f'text {i}' for i in range(40)]
  corpus = {'train': (texts, [i % 2 for i in range(40)])}
  rows = []
  for fold in range(4):
    data = prepare(Config(folds=4, fold=fold), corpus)
    rows += data.splits['test'].table['row'].tolist()
    assert set(data.splits['test'].table['source']) == {"corpus['train']"}
    assert data.notes[0] == f'test is fold {fold} of 4: 10 of 40 examples'
  assert sorted(rows) == list(range(1, 41))


@pytest.mark.parametrize('task', ['single_label', 'multi_label'])
def test_a_long_tail_of_labels_is_logged_and_weighted(task):
  texts = [f'text {i}' for i in range(40)]
  corpus = {'train': (texts, [f'label {i}' for i in range(40)])}
  data = weigh_classes(prepare(Config(task=task), corpus), 'balanced')
  assert [len(split) for split in data.splits.values()] == [32, 4, 4]
  assert data.notes[2] == (
    'rare labels: 40 of 40 occur in one split only, and 8 do not occur in '
    'train, so that the model cannot learn them'
  )
  assert len(data.labels) == 40 and np.isfinite(data.label_weights).all()
