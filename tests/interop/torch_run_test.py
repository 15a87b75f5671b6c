"""Run directories from PyTorch programs, with the programs' predictions.

The programs' state dicts and logits are in the golden files.
"""

import json
import random

import golden
import jax
import numpy as np
import pytest
import tokenizers

import bigru_jax
from bigru_jax.data.tokenizer import JsonTokenizer
from bigru_jax.interop.torch import (
  classifier_from_torch,
  read_state_dict,
  write_state_dict,
)
from bigru_jax.interop.torch_run import read_vocabulary, write_run

WORDS = ['the', '<unk>', 'good', '<pad>', 'bad', 'film', 'not']  # By id.
TEXTS = ['the good film', 'not a bad film , the film', '', 'bad']


@pytest.fixture
def state():
  """The state dict of a program."""
  return golden.read_state('additive')


def _check(run):
  """Checks that a run predicts for `TEXTS` what its program predicted."""
  program = golden.read('additive')
  probabilities = jax.nn.softmax(program['logits'])
  for text, ids, expected, prediction in zip(
    TEXTS, program['tokens'], probabilities, run.predict(TEXTS), strict=True
  ):
    words = [WORDS[i] for i in ids if WORDS[i] != '<pad>']
    assert [x if x in WORDS else '<unk>' for x in text.split() or ['']] == words
    found = [prediction['probabilities'][label] for label in 'xyz']
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('as_json', [True, False])
@pytest.mark.parametrize(
  'suffix',
  ['.safetensors', pytest.param('.pt', marks=pytest.mark.compare('torch'))],
)
def test_a_run_predicts_what_the_program_predicts(
  as_json, suffix, state, tmp_path
):
  weights = tmp_path / f'model{suffix}'
  write_state_dict(state, weights)
  vocabulary = tmp_path / ('words.json' if as_json else 'words.txt')
  ids = {word: i for i, word in enumerate(WORDS)}
  vocabulary.write_text(json.dumps(ids) if as_json else '\n'.join(WORDS) + '\n')
  write_run(
    tmp_path / 'run',
    read_state_dict(weights),
    read_vocabulary(vocabulary),
    ['x', 'y', 'z'],
  )
  run = bigru_jax.load(tmp_path / 'run')
  assert run.tokenizer.vocabulary[:4] == ['<pad>', '<unk>', 'the', 'good']
  assert (run.config.num_layers, run.config.hidden_size) == (2, 4)
  _check(run)
  with pytest.raises(ValueError, match='output=.*already contains a run'):
    write_run(tmp_path / 'run', state, WORDS, ['x', 'y', 'z'])


def test_one_output_is_the_logit_of_the_second_label(tmp_path):
  state, logits = golden.read_state('dot'), golden.read('dot')['logits']
  vocabulary = ['pad' if word == '<pad>' else word for word in WORDS]
  write_run(tmp_path, state, vocabulary, ['no', 'yes'], padding='')
  answers = bigru_jax.load(tmp_path).predict(TEXTS)
  found = [answer['probabilities']['yes'] for answer in answers]
  np.testing.assert_allclose(found, jax.nn.sigmoid(logits)[:, 0], atol=1e-5)


# A line break within and alone, whatever else ends a line in Python, nothing,
# and the special tokens' names where others are special.
ODD = [
  'film', '[UNK]', 'good', 'film\r', 'x\ry', 'x', '\n', 'a\nb', 'a', 'b', ' ',
  '\u2028', 'a\u2029b', '\x85', 'c\x0bd', '\x0c', '\x1c', 'n\x00l', '',
   '\ufeff', '<pad>', '[PAD]', '<unk>', 'y',
]  # fmt: skip


@pytest.mark.parametrize('name', ['words.json', 'words.txt', ''])
def test_tokens_with_line_breaks_change_no_prediction(
  name, state, tmp_path, caplog
):
  words = list(ODD)
  if name == 'words.txt':  # Which cannot hold line feeds.
    words = [word for word in words if '\n' not in word]
  vocabulary, path = words, tmp_path / name
  ids = {word: i for i, word in enumerate(words)}
  if name:
    content = json.dumps(ids) if 'json' in name else '\n'.join(words) + '\n'
    path.write_bytes(content.encode('utf-8', 'surrogatepass'))
    vocabulary = read_vocabulary(path)
  vectors = np.random.default_rng(0).normal(size=(len(words), 5))
  state['embedding.weight'] = vectors.astype(np.float32)
  write_run(
    tmp_path / 'run', state, vocabulary, ['x', 'y', 'z'],
    tokenizer='whitespace', padding='[PAD]', unknown='[UNK]',
  )  # fmt: skip
  never = sum(word.split() != [word] for word in words)
  message = f'{never} of {len(words) - 2} tokens can never occur with'
  assert f'{message} tokenizer=whitespace, such as ' in caplog.text
  draw = random.Random(0)
  drawn = [*words, 'other']
  drawn.remove('[PAD]')  # A program may mask it at any position.
  texts = [
    draw.choice(' \r\n\u2028').join(draw.choices(drawn, k=8)) for _ in range(30)
  ] + ['']
  assert {'[UNK]', '<pad>', '<unk>', 'n\x00l'} <= set(' '.join(texts).split())
  answers = bigru_jax.load(tmp_path / 'run').predict(texts)
  tokens = np.zeros((len(texts), 16), np.int32)  # A token may be two words.
  lengths = np.ones(len(texts), np.int32)
  for i, text in enumerate(texts):
    text_ids = [ids.get(word, 1) for word in text.split()] or [1]
    tokens[i, : len(text_ids)], lengths[i] = text_ids, len(text_ids)
  # The same weights with the program's own ids.
  model = bigru_jax.Classifier(len(words), 3, 5, 4, 2, 'additive')
  variables = {'params': classifier_from_torch(state)}
  batch = {'tokens': tokens, 'lengths': lengths}
  expected = jax.nn.softmax(model.apply(variables, batch).logits)
  found = [list(answer['probabilities'].values()) for answer in answers]
  np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('end', ['', '\r\n'])
def test_a_vocabulary_with_windows_line_ends_is_read(end, tmp_path):
  path = tmp_path / 'words.txt'
  path.write_bytes(b'\xef\xbb\xbf' + ('\r\n'.join(WORDS) + end).encode())
  assert read_vocabulary(path) == WORDS


def test_a_cased_vocabulary_is_not_read_as_lower_case(state, tmp_path, caplog):
  labels = ['x', 'y', 'z']
  cased = ['The', '<unk>', 'Good', '<pad>', 'Bad', 'Film', 'Not']
  message = (
    "5 of 5 tokens can never occur with tokenizer=words, such as 'The', "
    "'Good', 'Bad'; with tokenizer=whitespace 5 can"
  )
  with pytest.raises(ValueError, match=message):
    write_run(tmp_path / 'words', state, cased, labels)
  assert not list(tmp_path.iterdir())
  write_run(tmp_path / 'some', state, [*cased[:-1], 'not'], labels)
  assert '4 of 5 tokens can never occur with tokenizer=words' in caplog.text
  caplog.clear()
  write_run(tmp_path / 'all', state, cased, labels, tokenizer='whitespace')
  assert 'never' not in caplog.text


def test_a_tokenizer_json_gives_the_vocabulary(state, tmp_path):
  path = tmp_path / 'tokenizer.json'
  ids = {word: i for i, word in enumerate(WORDS)}
  made = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, '<unk>'))
  made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  made.save(str(path))
  write_run(
    tmp_path / 'run', state, JsonTokenizer(path).tokens(),
    ['x', 'y', 'z'], tokenizer=str(path),
  )  # fmt: skip
  _check(bigru_jax.load(tmp_path / 'run'))
  with pytest.raises(ValueError, match='differs from that of tokenizer='):
    write_run(
      tmp_path / 'other', state, WORDS[::-1], ['x', 'y', 'z'],
      tokenizer=str(path),
    )  # fmt: skip


@pytest.mark.parametrize(
  'changed, message',
  [
    ({'vocabulary': WORDS[:-1]}, '6 tokens, and embedding.weight has 7 rows'),
    ({'vocabulary': [*WORDS[:-1], 'the']}, "'the' occurs twice"),
    ({'vocabulary': [*WORDS[:-1], 'a\ud800']}, r"'a\\ud800' holds a lone surr"),
    ({'vocabulary': [*WORDS[:-1], 5]}, 'token 6 is 5, not a text'),
    (
      {'vocabulary': ['[A]', '<unk>', '[B]', '<pad>', '', 'C', 'D\n']},
      "5 of 5 tokens can never .* '\\[A\\]', .*tokenizer=whitespace 3 can",
    ),
    ({'padding': '[PAD]'}, r'padding=\[PAD\]: no such token'),
    ({'unknown': 'UNK'}, 'unknown=UNK: no such token'),
    ({'labels': ['x', 'y']}, 'labels=x,y: give 3 different names'),
    ({'labels': ['x', 'y', 'y']}, 'labels=x,y,y: give 3 different names'),
    ({'labels': [1, 2, 3]}, 'labels=1,2,3: give 3 different names'),
  ],
)
def test_a_run_that_does_not_match_is_refused(
  changed, message, state, tmp_path
):
  values = {'vocabulary': WORDS, 'labels': ['x', 'y', 'z'], **changed}
  with pytest.raises(ValueError, match=message):
    write_run(tmp_path, state, **values)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('content', ['[]', '{"a": 1}', '{"a": "0"}', '{'])
def test_a_file_that_is_not_a_vocabulary_is_refused(content, tmp_path):
  path = tmp_path / 'words.json'
  path.write_text(content)
  with pytest.raises(ValueError, match='vocabulary=.*words.json: '):
    read_vocabulary(path)


def test_a_duplicate_token_in_json_is_named(tmp_path):
  path = tmp_path / 'words.json'
  path.write_text('{"a": 0, "a": 1, "b": 0}')
  with pytest.raises(ValueError, match="words.json: names 'a' twice"):
    read_vocabulary(path)
  with pytest.raises(ValueError, match='vocabulary=.* is a folder: name a fi'):
    read_vocabulary(tmp_path)


def test_a_token_that_is_not_in_nfc_is_named(state, tmp_path, caplog):
  words = ['cafe\u0301', '<unk>', 'Good', '<pad>', *WORDS[4:]]
  write_run(tmp_path / 'x', state, words, list('xyz'))
  assert "such as 'cafe\u0301' (not in NFC), 'Good'" in caplog.text


def test_a_token_in_two_rows_is_named(tmp_path):
  path = tmp_path / 'words.txt'
  path.write_text('<pad>\n<unk>\nfilm\nfilm\n')
  with pytest.raises(ValueError, match="row 4: 'film' is already in row 3"):
    read_vocabulary(path)
