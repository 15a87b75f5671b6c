"""The spans of tokens in the user's own text."""

import pathlib
import tempfile
import unicodedata

from hypothesis import example, given, settings, strategies as st
import pytest

from bigru_jax.data import text
from bigru_jax.data.encode import encode
from bigru_jax.data.tokenizer import JsonTokenizer, VocabularyTokenizer
from bigru_jax.data.truncation import TRUNCATIONS, Limits

_TEXTS = st.text() | st.text(
  "İIß AΣ’'n't.!?。”\n\u2028\x1c<e1></e1>br好ก한🎬é́\r\t "
  'ieê\u0301\u0302\u0307\u0323\u0338\u0344\u212a\u0958\u0921\u093c\u093f'
  '\u09c7\u09be\u1112\u1161\u11ab\U0001d15e\u2000\ud800'
)


def _vocabulary(name):
  return VocabularyTokenizer(name, [text.PAD, text.UNK])


def _json(kind):
  """A tokenizer of the tokenizers package that splits `kind` of text."""
  tokenizers = pytest.importorskip('tokenizers')
  if kind == 'bytes':
    letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    model = tokenizers.models.BPE({c: i for i, c in enumerate(letters)}, [])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
      add_prefix_space=False
    )
  else:
    model = tokenizers.models.WordLevel({'[UNK]': 0}, '[UNK]')
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = (
      tokenizers.normalizers.NFC()
      if kind == 'composed'
      else tokenizers.normalizers.Lowercase()
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'tokenizer.json')
    tokenizer.save(str(path))
    return JsonTokenizer(path)


def _check(spans, given_text):
  """Checks that spans are increasing, disjoint and inside the text."""
  before = 0
  for start, end in spans:
    assert before <= start <= end <= len(given_text)
    before = end


@pytest.mark.parametrize('name', list(text.TOKENIZERS))
@given(_TEXTS)
@example('İİ <e1>İ</e1>ΑΣ. Β don’t 好看')
@example(' ')
def test_a_span_holds_its_token(name, given_text):
  tokenizer = _vocabulary(name)
  tokens, _, spans = tokenizer.encode(given_text, with_spans=True)
  _check(spans, given_text)
  if tokens == [text.UNK] and not given_text.strip():
    assert spans == [(0, 0)]
    return
  assert len(spans) == len(tokens)
  covered = ''.join(given_text[start:end] for start, end in spans)
  assert covered == ''.join(given_text.split())
  rules = text.TOKENIZERS[name]
  waiting, piece = '', ''
  for (start, end), token in zip(spans, tokens):
    # Tokens with a share of the same characters follow each other, and those
    # after the first are empty, or begin where those characters end.
    waiting += token
    piece += given_text[start:end]
    # The characters around a small sigma choose its form at a word's end.
    if rules.normalize(piece).replace('ς', 'σ') == waiting.replace('ς', 'σ'):
      waiting, piece = '', ''
  assert not waiting and not piece


@pytest.mark.parametrize('name', list(text.TOKENIZERS))
@given(_TEXTS)
def test_a_span_of_composed_text_is_the_token(name, given_text):
  given_text = unicodedata.normalize('NFC', given_text)
  tokenizer = _vocabulary(name)
  tokens, _, spans = tokenizer.encode(given_text, with_spans=True)
  for (start, end), token in zip(spans, tokens, strict=True):
    piece = text.TOKENIZERS[name].normalize(given_text[start:end])
    if given_text.strip():
      assert piece.replace('ς', 'σ') == token.replace('ς', 'σ')


@pytest.mark.parametrize('name', list(text.TOKENIZERS))
def test_the_span_of_a_replaced_token_is_the_whole_url_or_user(name):
  tokenizer = VocabularyTokenizer(name, [text.PAD, text.UNK], replaces=True)
  given_text = 'É: (HTTPS://Exämple.org/İ_(b)?c) .@Ann_1, <user>'
  tokens, _, spans = tokenizer.encode(given_text, with_spans=True)
  pieces = [given_text[start:end] for start, end in spans]
  replaced = [x for x in zip(tokens, pieces) if x[0] in (text.URL, text.USER)]
  assert replaced == [
    ('<url>', 'HTTPS://Exämple.org/İ_(b)?c'),
    ('<user>', '@Ann_1'),
    ('<user>', '<user>'),
  ]
  assert ''.join(pieces) == ''.join(given_text.split())


@pytest.mark.parametrize('name', ['words', 'characters'])
@pytest.mark.parametrize(
  'given_text',
  [
    'q\u0307\u0323', 'e\u0301\u0323', 'か\u3099\u3099', 'か\u3099\u0323',
    'か゛\u0307\u0323', '゛\u0301\u0323', 'a q\u0307\u0323\u0301b',
  ],
)  # fmt: skip
def test_no_token_of_a_decomposed_text_has_an_empty_span(name, given_text):
  spans = _vocabulary(name).encode(given_text, with_spans=True)[2]
  _check(spans, given_text)
  assert all(start < end for start, end in spans)


@pytest.mark.parametrize('kind', ['words', 'bytes'])
@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=['Cs'])))
def test_spans_of_a_tokenizer_json(kind, given_text):
  tokenizer = _json(kind)
  spans = tokenizer.encode(given_text, with_spans=True)[2]
  _check(spans, given_text)
  assert len(spans) == len(tokenizer.encode(given_text)[0])
  covered = ''.join(given_text[start:end] for start, end in spans)
  assert ''.join(covered.split()) == ''.join(given_text.split())


def test_spans_of_a_composing_tokenizer_json_include_the_marks():
  given_text = (
    'Le cafe\u0301 e\u0301te\u0301 a\u0301\u0323b \u1112\u1161\u11ab!'
  )
  spans = _json('composed').encode(given_text, with_spans=True)[2]
  pieces = [given_text[start:end] for start, end in spans]
  assert pieces == [*given_text[:-1].split(), '!']


def test_the_first_token_gets_a_character_of_several_bytes():
  assert _json('bytes').encode('é!', with_spans=True)[2] == [
    (0, 1),
    (1, 1),
    (1, 2),
  ]


@pytest.mark.parametrize('keep', list(TRUNCATIONS))
@pytest.mark.parametrize('hierarchical', [False, True])
@given(_TEXTS)
@example('  One  here.\r\nTwo, İ don’t!  好。看 <br> 3 4 5 6')
def test_spans_are_those_of_the_tokens_that_are_kept(
  keep, hierarchical, given_text
):
  limits = Limits(5, keep, hierarchical, 3, 2)
  given_text = unicodedata.normalize('NFC', given_text)
  tokenizer = _vocabulary('whitespace')
  encoded = encode(given_text, tokenizer, limits, with_spans=True)
  _check(encoded.spans, given_text)
  pieces = [given_text[start:end] for start, end in encoded.spans]
  assert (pieces if given_text.strip() else [text.UNK]) == encoded.tokens


@pytest.mark.parametrize(
  'given_text, pieces',
  [
    ('Don’t STOP!', ['Do', 'n’t', 'STOP', '!']),
    ('She’s İyi', ['She', '’s', 'İyi']),
    ('这是 iPhone！', ['这', '是', 'iPhone', '！']),
    ('ÇOK İYİ film', ['ÇOK', 'İYİ', 'film']),
    ('A <e1>cup</e1>.', ['A', '<e1>', 'cup', '</e1>', '.']),
    ('فيلم جميل', ['فيلم', 'جميل']),
    ('Cafe\u0301s!', ['Cafe\u0301s', '!']),
    ('I\u0307yi \u0130yi.', ['I\u0307yi', '\u0130yi', '.']),
    (' \u0301e\u0301 e\u0301', ['\u0301e\u0301', 'e\u0301']),
    ('\u1112\u1161\u11ab\u1112 \u212a', ['\u1112\u1161\u11ab\u1112', '\u212a']),
    (
      'a\u0301\u0323<e1>e\u0301</e1>',
      ['a\u0301\u0323', '<e1>', 'e\u0301', '</e1>'],
    ),
  ],
)
def test_the_span_of_each_word_is_its_own_text(given_text, pieces):
  spans = _vocabulary('words').encode(given_text, with_spans=True)[2]
  assert [given_text[start:end] for start, end in spans] == pieces


def test_the_span_of_each_character_is_its_own_text():
  given_text = 'e\u0301\u0958\u093f \u2000\u0323\u0301x'
  spans = _vocabulary('characters').encode(given_text, with_spans=True)[2]
  # NFC makes two characters of U+0958; the second has none of its own.
  pieces = ['e\u0301', '\u0958', '', '\u093f', '\u0323', '\u0301', 'x']
  assert [given_text[start:end] for start, end in spans] == pieces
