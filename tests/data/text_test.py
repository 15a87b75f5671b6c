"""Tokenisers, the vocabulary and encoding."""

from hypothesis import given, strategies as st
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


def test_vocabulary_is_by_frequency():
  texts = [['b', 'a', 'b'], ['c', 'a', 'b'], ['<pad>']]
  assert text.build_vocabulary(texts) == ['<pad>', '<unk>', 'b', 'a', 'c']
  assert text.build_vocabulary(texts, max_size=3) == ['<pad>', '<unk>', 'b']
  assert text.build_vocabulary(texts, min_count=2)[2:] == ['b', 'a']


def test_encoding_is_flat_and_cut_and_never_empty():
  encoded = text.encode(
    ['a b', '', 'z a', 'a b a b'], str.split, ['<pad>', '<unk>', 'a', 'b'], 3
  )
  np.testing.assert_array_equal(encoded.tokens, [2, 3, 1, 1, 2, 2, 3, 2])
  np.testing.assert_array_equal(encoded.lengths, [2, 1, 2, 3])
  assert encoded.cut == 1


def test_tokenizer_json(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  path = tmp_path / 'tokenizer.json'
  tokenizer = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({'[UNK]': 0, 'good': 1}, '[UNK]')
  )
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.save(str(path))
  ids, pieces, size = text.load_tokenizer_json(path)
  assert ids('good film') == [3, 2]
  assert pieces('good film') == ['good', '[UNK]']
  assert size == 4
  path.write_text('{}')
  with pytest.raises(ValueError, match='--tokenizer'):
    text.load_tokenizer_json(path)
