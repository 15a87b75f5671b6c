"""Tokenisers, the vocabulary and encoding."""

import re
import unicodedata

from hypothesis import assume, given, strategies as st
import pytest

from bigru_jax.data import text
from bigru_jax.data.tokenizer import (
  JsonTokenizer,
  VocabularyTokenizer,
  build_vocabulary,
  load_tokenizer,
)


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
def test_sentences_are_split_into_words(sentence, tokens):
  assert text.words(sentence) == tokens


def test_characters_split_scripts_without_spaces():
  assert text.characters('好 电影') == ['好', '电', '影']


def _normal(sentence):
  """The normal form of `words`, by its definition."""
  lowered = sentence.lower().replace('\u2019', "'")
  composed = unicodedata.normalize('NFC', lowered).replace('i\u0307', 'i')
  return unicodedata.normalize('NFC', composed)


@given(st.text(st.characters(exclude_categories=['Cc'])))
def test_words_lose_only_white_space(sentence):
  assert ''.join(text.words(sentence)) == ''.join(_normal(sentence).split())


# Characters that compose with what is before them, that change places, that
# become longer under NFC, whose lower case is longer, or that are half of one.
_EQUIVALENTS = (
  'eaIi\u0130\u0131 \u1ebf\u00ea\u0301\u0323\u0307\u0302\u0338\u0344<>='
  '\u212a\u2126\u212b\u0958\u095c\u0921\u093c\u09c7\u09be\u1112\u1161\u11ab'
  '\ud55c\ufb1d\u03a3\u03c3\u03b1\u2000\U0001d15e\ud800\u2019'
)


@pytest.mark.parametrize('name', list(text.TOKENIZERS))
@given(st.text() | st.text(_EQUIVALENTS))
def test_equivalent_texts_have_equal_tokens(name, sentence):
  tokenizer = text.TOKENIZERS[name]
  tokens = tokenizer(sentence)
  for form in ('NFC', 'NFD'):
    assert tokenizer(unicodedata.normalize(form, sentence)) == tokens
  joined = ''.join(tokens)
  # A token may begin with what follows a letter, where a marker ends.
  assert all(unicodedata.is_normalized('NFC', t) for t in tokens) or (
    unicodedata.is_normalized('NFC', joined)
  )


def test_every_character_has_the_tokens_of_its_decomposition():
  for code in range(0x110000):
    character = chr(code)
    decomposed = unicodedata.normalize('NFD', character)
    if decomposed != character:
      for tokenizer in text.TOKENIZERS.values():
        assert tokenizer(character) == tokenizer(decomposed), hex(code)


@pytest.mark.parametrize(
  'sentence, tokens',
  [
    ('Caf\u00e9 cafe\u0301', ['caf\u00e9'] * 2),
    # With a circumflex alone, the tone mark after it, as Windows writes it.
    ('Ti\u1ebfng ti\u00ea\u0301ng tie\u0302\u0301ng', ['ti\u1ebfng'] * 3),
    ('\u0130Y\u0130 I\u0307YI\u0307 i\u0307yi\u0307', ['iyi'] * 3),
    ('\u0915\u093c \u0958', ['\u0915\u093c'] * 2),
    ('\u1112\u1161\u11ab \ud55c', ['\ud55c'] * 2),
    ('\u212aelvin \u2126 \u212b', ['kelvin', '\u03c9', '\u00e5']),
    ('<e1>e\u0301</e1>', ['<e1>', '\u00e9', '</e1>']),
  ],
)
def test_words_are_composed(sentence, tokens):
  assert text.words(sentence) == tokens


def test_characters_are_composed():
  assert text.characters('e\u0301 \u1112\u1161\u11ab') == ['\u00e9', '\ud55c']


@given(st.text(st.characters(max_codepoint=127)) | st.text("ab n't's.-"))
def test_ascii_words_do_not_depend_on_other_scripts(sentence):
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


def test_the_vocabulary_is_sorted_by_frequency():
  counts = {'b': 3, 'c': 1, 'a': 2, '<pad>': 1, 'd': 0}.items()
  assert build_vocabulary(counts) == ['<pad>', '<unk>', 'b', 'a', 'c']
  assert build_vocabulary(counts, max_size=3) == ['<pad>', '<unk>', 'b']
  assert build_vocabulary(counts, min_count=2)[2:] == ['b', 'a']


def test_a_spelt_out_padding_token_is_unknown():
  tokenizer = VocabularyTokenizer('whitespace', ['<pad>', '<unk>', 'a'])
  assert tokenizer.encode('a <pad> <unk>')[1] == [2, 1, 1]


def test_a_tokenizer_gives_tokens_with_their_ids():
  tokenizer = VocabularyTokenizer('words', ['<pad>', '<unk>', 'good'])
  assert tokenizer.encode('Good film') == (['good', 'film'], [2, 1])
  assert tokenizer.encode(' ') == (['<unk>'], [1])
  assert tokenizer.size == 3


def test_texts_match_a_vocabulary_that_is_not_composed():
  vocabulary = ['<pad>', '<unk>', 'cafe\u0301', 'the\u0301', 'th\u00e9',
                'i\u0307yi', 'A\u030a']  # fmt: skip
  words = VocabularyTokenizer('words', vocabulary)
  # A word's own entry comes before that of an equivalent one.
  assert words.encode('CAF\u00c9 th\u00e9 the\u0301 \u0130yi')[1] == [
    2,
    4,
    4,
    5,
  ]
  # Lower-casing makes no capital a token that occurs.
  assert words.encode('\u00c5 \u00e5')[1] == [1, 1]
  cased = VocabularyTokenizer('whitespace', vocabulary)
  assert cased.encode('\u00c5 \u00e5')[1] == [6, 1]


@pytest.mark.parametrize(
  'token',
  ['caf\u00e9', '\U0001f600', '\ud800', 'a\tb', 'a\rb', 'a\r', '\u2028', ''],
)
def test_a_vocabulary_is_saved_and_loaded(tmp_path, token):
  vocabulary = ['<pad>', '<unk>', token]
  VocabularyTokenizer('characters', vocabulary).save(tmp_path)
  loaded = load_tokenizer(tmp_path, 'characters')
  assert loaded.vocabulary == vocabulary


def test_a_wrong_vocabulary_is_named(tmp_path):
  with pytest.raises(
    FileNotFoundError, match='not a run: it has no vocabulary'
  ):
    load_tokenizer(tmp_path, 'words')
  (tmp_path / 'vocabulary.txt').write_text('good\n')
  with pytest.raises(ValueError, match='does not begin with <pad> and <unk>'):
    load_tokenizer(tmp_path, 'words')


def test_a_tokenizer_json_is_read(tmp_path):
  tokenizers = pytest.importorskip('tokenizers')
  path = tmp_path / 'mine.json'
  tokenizer = tokenizers.Tokenizer(
    tokenizers.models.WordLevel({'[UNK]': 0, 'good': 1}, '[UNK]')
  )
  tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  tokenizer.save(str(path))
  ours = JsonTokenizer(path)
  assert ours.encode('good film') == (['good', '[UNK]'], [3, 2])
  assert ours.encode('') == (['<unk>'], [1])
  assert ours.size == 4
  ours.save(tmp_path)
  loaded = load_tokenizer(tmp_path, 'mine.json')
  JsonTokenizer(tmp_path / 'tokenizer.json').save(tmp_path)  # Onto itself.
  assert loaded.encode('good') == ours.encode('good')
  path.write_text('{}')
  with pytest.raises(ValueError, match='tokenizer='):
    JsonTokenizer(path)
  with pytest.raises(FileNotFoundError, match='nowhere.json: no such file'):
    JsonTokenizer('nowhere.json')


@pytest.mark.parametrize(
  'given_text, expected',
  [
    ('see http://t.co/aB1.', 'see <url> .'),
    ('(https://x.org/a_(b)?c=1&d=@e), ok', '( <url> ) , ok'),
    ('[a](www.x.org/b)!', '[ a ] ( <url> ) !'),
    ('<a href="ftp://x.org">', '< a href = " <url> " >'),
    ('看http://t.cn/abc很好', '看 <url> 很 好'),
    ('@ann .@Bob: "@cy_1" @李四', '<user> . <user> : " <user> " @ 李 四'),
    ('me@x.org, RT@ann', 'me @ x.org , rt @ ann'),
    ('http:// www. @ awww.x', 'http : / / www . @ awww.x'),
    ('<url> <user>', '<url> <user>'),
    ('http://x.org<sep>@ann', '<url> <sep> <user>'),
  ],
)
def test_urls_and_users_become_one_token_each(given_text, expected):
  tokens = text.with_replacements(text.words)(given_text)
  assert tokens == expected.split()


def test_training_and_prediction_replace_the_same(tmp_path):
  growing = VocabularyTokenizer('words', replaces=True)
  texts = ['@ann http://x.org fine', '@bob www.y.de/z bad', 'fine']
  ids = [list(x) for x in growing.ids(texts)]
  assert ids[0][:2] == ids[1][:2]
  growing.save(tmp_path)
  loaded = load_tokenizer(tmp_path, 'words', replaces=True)
  assert [loaded.encode(x)[1] for x in texts] == ids
  assert loaded.encode(texts[0])[0] == ['<user>', '<url>', 'fine']


@pytest.mark.parametrize('name', list(text.TOKENIZERS))
def test_the_separator_is_one_token_of_every_tokenizer(name):
  joined = text.join_texts(['a', 'b'])
  for given_text in (joined, 'a<sep>b'):
    assert text.TOKENIZERS[name](given_text) == ['a', '<sep>', 'b']
