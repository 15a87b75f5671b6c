"""What a program that has no bigru_jax must know to use an exported model."""

from __future__ import annotations

import json
from typing import Any

import bigru_jax
from bigru_jax.data import text
from bigru_jax.inference.run import Run

_WORD = r'\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d'
_NO_SPACES = (
  r'\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}'
)
_LETTERS = rf'[[{_WORD}]--[{_NO_SPACES}]]+'
_END = rf'(?![{_WORD}])'
_CLITIC = rf"'(?:s|m|d|ll|re|ve){_END}"
_MARKER = r'</?e[12]>'
# Python's white space, which `\s` of other languages is not.
_NOT_SPACE = (
  r'[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
)
# The tokens of `text.TOKENIZERS` as all matches of a regular expression that
# ECMAScript (flag v) and Python's `regex` (flag V1) read alike.
_PATTERNS = {
  'words': '|'.join(
    [
      _MARKER,
      rf"{_LETTERS}(?=n't{_END})",
      rf"n't{_END}",
      _CLITIC,
      rf"{_LETTERS}(?:[\-.']{_LETTERS})*?(?={_CLITIC})",
      rf"{_LETTERS}(?:[\-.']{_LETTERS})*",
      r'\.{2,}',
      _NOT_SPACE,
    ]
  ),
  'whitespace': rf'{_MARKER}|(?:(?!{_MARKER}){_NOT_SPACE})+',
  'characters': rf'{_MARKER}|{_NOT_SPACE}',
}


def describe(run: Run) -> dict[str, Any]:
  """The description of a run's model, values that `json.dumps` takes.

  Returns:
    `version` of bigru_jax; `model`, `task`, `attention` as in the
    configuration; `labels`, the classes' names by index; `temperature` and
    `thresholds`, see `evaluation.Calibration`; `limits`, what is kept of a
    text, see `data.limits.Limits`; `tokenizer`, see `tokenizer_rules`, or of a
    tokenizer.json its content, `json`, and `shift`, which is added to its ids;
    and `vocabulary`, the tokens by id, of which 0 is padding and 1 an unknown
    token, or None with a tokenizer.json.
  """
  config, limits = run.config, run.config.limits
  kept = ['max_length']
  if limits.hierarchical:
    kept = ['max_sentences', 'max_sentence_length']
  return {
    'version': bigru_jax.__version__,
    'model': config.model,
    'task': config.task,
    'attention': config.attention,
    'labels': run.labels,
    'temperature': run.calibration.temperature,
    'thresholds': run.calibration.thresholds,
    'limits': {name: getattr(limits, name) for name in (*kept, 'truncate')},
    'tokenizer': _tokenizer(run),
    'vocabulary': run.tokenizer.vocabulary,
  }


def _tokenizer(run: Run) -> dict[str, Any]:
  if run.config.tokenizer in text.TOKENIZERS:
    return tokenizer_rules(run.config.tokenizer)
  content = (run.workdir / 'tokenizer.json').read_text('utf-8')
  return {'json': json.loads(content), 'shift': 2}


def tokenizer_rules(name: str) -> dict[str, Any]:
  """How a tokenizer of `text.TOKENIZERS` makes a text tokens.

  Returns:
    Its `name`; `lowercase`, whether the text is first lower-cased; `normalize`,
    the normal form of Unicode that it is then brought to, and once more after
    the pairs of `replace` are replaced; and `pattern`, whose matches are the
    tokens, a regular expression of ECMAScript with the flag v and of Python's
    `regex` with the flag V1.
  """
  lowercase = text.TOKENIZERS[name].lowercase
  return {
    'name': name,
    'lowercase': lowercase,
    'normalize': 'NFC',
    'replace': [['\u2019', "'"], ['i\u0307', 'i']] if lowercase else [],
    'pattern': _PATTERNS[name],
  }
