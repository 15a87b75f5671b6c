"""Reading texts in one pass, with one process or several."""

import random
import subprocess
import sys

import numpy as np
import pytest

from bigru_jax.data import tabulate, tokenizer_pool
from bigru_jax.data.splits import Example, Split
from bigru_jax.data.tokenizer import VocabularyTokenizer
from bigru_jax.data.truncation import Limits


def _split(pairs, name='train.csv'):
  texts, labels = map(list, zip(*pairs)) if pairs else ([], [])
  return Split(texts, labels, list(range(2, len(texts) + 2)), name)


FLAT = Limits(max_length=5)
HIERARCHICAL = Limits(
  hierarchical=True, max_sentences=3, max_sentence_length=4, keep='both'
)


def _read(limits=FLAT, *, replaces=False, **splits):
  tokenizer = VocabularyTokenizer('words', replaces=replaces)
  tables, labels, digests = tabulate.read_splits(splits, tokenizer, limits)
  return tables, labels, tokenizer.vocabulary, digests


def _texts(table, vocabulary):
  words = np.array(vocabulary, object)
  tokens = table['tokens']
  return [
    ' '.join(words[tokens.values[start : start + length]])
    for start, length in zip(tokens.starts, tokens.lengths)
  ]


def test_texts_become_ids_by_the_order_of_occurrence():
  pairs = [('A good film', 'x'), ('', 'y'), ('a bad film, a bad one', 'x')]
  tables, labels, vocabulary, _ = _read(train=_split(pairs))
  train = tables['train']
  assert vocabulary[:5] == ['<pad>', '<unk>', 'a', 'good', 'film']
  assert _texts(train, vocabulary) == ['a good film', '<unk>', 'a bad film , a']
  assert train['truncated'].tolist() == [False, False, True]
  assert train['blank'].tolist() == [False, True, False]
  assert labels == ['x', 'y'] and train['label'].tolist() == [0, 1, 0]
  assert len(set(train['digest'].tolist())) == 3


def test_the_sentences_of_a_text_are_truncated():
  pairs = [
    ('One two. Three four five six. Seven!\nEight. Nine', 'x'),
    ('', 'y'),
    ('Ten.', 'x'),
  ]
  tables, _, vocabulary, _ = _read(HIERARCHICAL, train=_split(pairs))
  train = tables['train']
  # The fifth word of a sentence and its period are a sentence of their own.
  assert _texts(train, vocabulary) == [
    'one two . three four five six nine', '<unk>', 'ten .',
  ]  # fmt: skip
  sentences = train['sentences']
  assert sentences.lengths.tolist() == [3, 1, 1]
  assert sentences.flat().tolist() == [3, 4, 1, 1, 2]
  assert train['truncated'].tolist() == [True, False, False]
  taken = train.take(np.array([2, 0]))['sentences']
  assert taken.flat().tolist() == [2, 3, 4, 1]
  assert 'sentences' not in _read(train=_split(pairs))[0]['train']


@pytest.mark.parametrize('limits', [FLAT, HIERARCHICAL])
@pytest.mark.parametrize('processes, replaces', [(2, False), (3, True)])
def test_processes_do_not_change_the_texts(
  monkeypatch, processes, replaces, limits
):
  rng = random.Random(0)
  words = ['. W', "don't", '\u597d\u7535', '\ud800']
  words += [f'w{i}' for i in range(500)] + ['@ann', 'http://x.org/a']
  texts = [' '.join(rng.choices(words, k=9)) for _ in range(400)]
  pairs = [(text, str(i % 2)) for i, text in enumerate(texts)]
  alone, _, vocabulary_alone, digests_alone = _read(
    limits, replaces=replaces, train=_split(pairs)
  )
  assert ('<url>' in vocabulary_alone) == replaces
  # So that each process gets many small chunks, the first one too.
  monkeypatch.setattr(tokenizer_pool, '_PAYS', 1000)
  monkeypatch.setattr(tabulate, '_CHUNK', 200)
  monkeypatch.setattr(tabulate, 'cores', lambda: processes)
  several, _, vocabulary, digests = _read(
    limits, replaces=replaces, train=_split(pairs)
  )
  assert set(vocabulary) == set(vocabulary_alone)
  assert _texts(several['train'], vocabulary) == _texts(
    alone['train'], vocabulary_alone
  )
  assert digests == digests_alone
  for name in ('label', 'digest', 'truncated', 'blank'):
    np.testing.assert_array_equal(several['train'][name], alone['train'][name])
  if limits.hierarchical:
    found, expected = several['train']['sentences'], alone['train']['sentences']
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_array_equal(found.flat(), expected.flat())


def test_a_process_that_dies_raises_one_clear_error(monkeypatch):
  monkeypatch.setattr(tokenizer_pool, '_PAYS', 0)
  pool = tokenizer_pool.TokenizerPool(VocabularyTokenizer('words'), FLAT, 2)

  def chunks():
    yield ['a']
    for worker in pool._workers:
      worker._process.kill()
    for _ in range(9):
      yield ['b']

  with pytest.raises(OSError, match='tokenizing process ended with status -9'):
    list(pool.encode(chunks()))
  pool.close()


@pytest.mark.parametrize(
  'change, message',
  [
    ({'train': [('a', 'x'), ('b', 'x')]}, "single class, 'x'"),
    ({'test': [('a', 'x'), ('b', 'odd')]}, "test.csv, row 3: .* label 'odd'"),
    ({'validation': []}, 'validation has no examples'),
  ],
)
def test_splits_that_cannot_be_trained_on_are_refused(change, message):
  pairs = {
    name: [('a', 'x'), ('b', 'y')] for name in ('train', 'validation', 'test')
  }
  splits = {
    name: _split(rows, f'{name}.csv')
    for name, rows in {**pairs, **change}.items()
  }
  with pytest.raises(ValueError, match=message):
    _read(**splits)


def test_the_digest_is_of_texts_and_labels_in_order():
  pairs = [('a', 'x'), ('b', 'y'), ('\ud800', 'x')]

  def digest(pairs, name='train.csv'):
    return _read(train=_split(pairs, name))[3]['train']

  digests = {
    digest(variant)
    for variant in (
      pairs,
      pairs[::-1],
      [('a', 'y'), *pairs[1:]],
      [('ax', 'z'), *pairs[1:]],
      [('a ', 'x'), *pairs[1:]],
      pairs[:2],
    )
  }
  assert len(digests) == 6
  assert digest(pairs) == digest(pairs, 'elsewhere.csv')


def test_many_tokens_are_collected_without_a_limit():
  text = ' '.join(map(str, range(5)))
  examples = (Example(text, str(i % 2), 'generated', i) for i in range(120_000))
  tables, *_ = _read(train=examples)
  tokens = tables['train']['tokens'].values
  np.testing.assert_array_equal(tokens, np.tile(np.arange(2, 7), 120_000))


def test_the_texts_of_a_page_are_those_of_test_or_of_its_source():
  train = _split([('a b', 'x'), ('c', 'y'), ('d', 'x')])
  alone, *_ = _read(train=train)
  assert alone['train']['text'].tolist() == ['a b', 'c', 'd']
  tables, *_ = _read(train=train, test=_split([('e', 'x')]))
  assert 'text' not in tables['train']
  assert tables['test']['text'].tolist() == ['e']


def test_many_texts_are_kept_as_a_sample_of_bounded_size(monkeypatch):
  monkeypatch.setattr(tabulate, '_KEPT', 20_000)
  texts = [f'text {i % 900}' for i in range(1000)]
  tables, *_ = _read(
    train=_split([(x, str(i % 2)) for i, x in enumerate(texts)])
  )
  sample = tables['train']['text']
  kept = np.flatnonzero([text is not None for text in sample])
  assert 30 < len(kept) <= 100
  assert all(sample[i] == texts[i] for i in kept)
  # Equal texts are in it or not.
  assert [x is None for x in sample[:100]] == [x is None for x in sample[900:]]


@pytest.mark.slow
def test_a_large_file_takes_no_more_than_twice_its_size_of_memory(tmp_path):
  path = tmp_path / 'large.csv'
  rng = np.random.default_rng(0)
  words = [f'word{i}' for i in range(20_000)]
  with path.open('w') as file:
    file.write('text,label\n')
    for row in range(60_000):
      chosen = ' '.join(words[i] for i in rng.integers(0, 20_000, 200))
      file.write(f'"{chosen}, {row}",{row % 2}\n')
  code = f"""
import pathlib, re
def peak():
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) * 1024
from bigru_jax.config import Config
from bigru_jax.data.prepare import prepare
before = peak()
data = prepare(Config(train={str(path)!r}))
print(sum(map(len, data.splits.values())), peak() - before)
"""
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  rows, grown = map(int, done.stdout.split())
  size = path.stat().st_size
  assert rows == 60_000 and size > 100e6
  assert grown < 2 * size


def test_a_split_without_labels_has_the_same_texts():
  pairs = [('A good film', 'x'), ('', 'y'), ('a bad film, a bad one', 'x')]
  texts = _split([('a NEW film', ''), ('', '')], 'reviews.csv')
  tables, labels, vocabulary, digests = _read(
    train=_split(pairs), unlabelled=texts
  )
  unlabelled = tables['unlabelled']
  assert _texts(unlabelled, vocabulary) == ['a new film', '<unk>']
  assert unlabelled['blank'].tolist() == [False, True]
  assert unlabelled['source'].tolist() == ['reviews.csv'] * 2
  assert 'label' not in unlabelled and 'label' in tables['train']
  assert labels == ['x', 'y']
  alone, alone_digests = _read(train=_split(pairs))[::3]
  assert _texts(alone['train'], vocabulary) == _texts(
    tables['train'], vocabulary
  )
  assert digests == alone_digests | {'unlabelled': digests['unlabelled']}
