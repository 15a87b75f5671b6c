"""Tokenisers, the vocabulary and encoding."""

import re

from hypothesis import assume, given, strategies as st
import numpy as np
import pytest

from bigru_jax.data import text


@pytest.mark.parametrize(
  'sentence, tokens',
  [
    ("Don't stop!", ['do', "n't", 'stop', '!']),
    ('She\u2019s here?', ['she', "'s", 'here', '?']),
    ("rock'n'roll, well-made", ["rock'n'roll", ',', 'well-made']),
    ('Wait ... what', ['wait', '...', 'what']),
    ('ÜBER हिन्दी', ['über', 'हिन्दी']),
    ('', []),
    (
      '\u8fd9\u662f iPhone 15\uff01',
      ['\u8fd9', '\u662f', 'iphone', '15', '\uff01'],
    ),
    ('\u30c6\u30b9\u30c8abc', ['\u30c6', '\u30b9', '\u30c8', 'abc']),
  ],
)
def test_words(sentence, tokens):
  assert text.words(sentence) == tokens


def test_characters_serve_scripts_without_spaces():
  assert text.characters('好 电影') == ['好', '电', '影']


@given(st.text(st.characters(exclude_categories=['Cc'])))
def test_words_lose_no_character_but_space(sentence):
  lowered = sentence.lower().replace('\u2019', "'")
  assert ''.join(text.words(sentence)) == ''.join(lowered.split())


@given(st.text(st.characters(max_codepoint=127)) | st.text("ab n't's.-"))
def test_words_of_ascii_stay_the_same_beside_another_script(sentence):
  assert text.words(f'{sentence} \u597d') == [*text.words(sentence), '\u597d']


@pytest.mark.parametrize('name', list(text.TOKENIZERS))
def test_each_marker_of_an_entity_is_one_token(name):
  sentence = "Her <e1>well-made cup</e1>'s <e2>tea</e2>."
  tokens = text.TOKENIZERS[name](sentence)
  assert [t for t in tokens if t in text.MARKERS] == list(text.MARKERS)
  spaced = text.space_markers(sentence)
  assert text.TOKENIZERS[name](spaced) == tokens
  plain = re.sub('|'.join(text.MARKERS), '', spaced)
  without = text.TOKENIZERS[name](plain)
  assert [t for t in tokens if t not in text.MARKERS] == without


@given(st.text('<>/e123 aé'))
def test_markers_change_no_other_text(sentence):
  assume(not any(marker in sentence for marker in text.MARKERS))
  pieces = sentence.split()
  assert text.TOKENIZERS['whitespace'](sentence) == pieces
  assert text.characters(sentence) == [c for piece in pieces for c in piece]
  expected = [t for piece in pieces for t in text._WORDS.findall(piece)]
  assert text.words(sentence) == expected


def test_vocabulary_is_by_frequency():
  counts = {'b': 3, 'c': 1, 'a': 2, '<pad>': 1, 'd': 0}.items()
  assert text.build_vocabulary(counts) == ['<pad>', '<unk>', 'b', 'a', 'c']
  assert text.build_vocabulary(counts, max_size=3) == ['<pad>', '<unk>', 'b']
  assert text.build_vocabulary(counts, min_count=2)[2:] == ['b', 'a']


def test_packed_texts_share_one_array():
  packed = text.pack([[2, 3], [1], [4, 5, 6]])
  np.testing.assert_array_equal(packed.tokens, [2, 3, 1, 4, 5, 6])
  some = packed.take(np.array([2, 0]))
  np.testing.assert_array_equal(some.lengths, [3, 2])
  np.testing.assert_array_equal(some.tokens[some.positions()], [4, 5, 6, 2, 3])


def test_a_spelt_out_padding_token_is_unknown():
  tokenizer = text.VocabularyTokenizer('whitespace', ['<pad>', '<unk>', 'a'])
  assert tokenizer.encode('a <pad> <unk>')[1] == [2, 1, 1]


def test_a_tokenizer_gives_tokens_with_their_ids():
  tokenizer = text.VocabularyTokenizer('words', ['<pad>', '<unk>', 'good'])
  assert tokenizer.encode('Good film') == (['good', 'film'], [2, 1])
  assert tokenizer.encode(' ') == (['<unk>'], [1])
  assert tokenizer.size == 3


@pytest.mark.parametrize(
  'token',
  ['caf\u00e9', '\U0001f600', '\ud800', 'a\tb', 'a\rb', 'a\r', '\u2028', ''],
)
def test_a_vocabulary_is_saved_and_loaded(tmp_path, token):
  vocabulary = ['<pad>', '<unk>', token]
  text.VocabularyTokenizer('characters', vocabulary).save(tmp_path)
  loaded = text.load_tokenizer(tmp_path, 'characters')
  assert loaded.vocabulary == vocabulary


def test_a_wrong_vocabulary_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='no run: it has no vocabulary'):
    text.load_tokenizer(tmp_path, 'words')
  (tmp_path / 'vocabulary.txt').write_text('good\n')
  with pytest.raises(ValueError, match='does not begin with <pad> and <unk>'):
    text.load_tokenizer(tmp_path, 'words')


def test_tokenizer_json(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  path = tmp_path / 'mine.json'
  tokenizer = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({'[UNK]': 0, 'good': 1}, '[UNK]')
  )
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.save(str(path))
  ours = text.JsonTokenizer(path)
  assert ours.encode('good film') == (['good', '[UNK]'], [3, 2])
  assert ours.encode('') == (['<unk>'], [1])
  assert ours.size == 4
  ours.save(tmp_path)
  loaded = text.load_tokenizer(tmp_path, 'mine.json')
  text.JsonTokenizer(tmp_path / 'tokenizer.json').save(tmp_path)  # Onto itself.
  assert loaded.encode('good') == ours.encode('good')
  path.write_text('{}')
  with pytest.raises(ValueError, match='tokenizer='):
    text.JsonTokenizer(path)
  with pytest.raises(FileNotFoundError, match='nowhere.json: no such file'):
    text.JsonTokenizer('nowhere.json')
