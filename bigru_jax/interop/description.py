"""What a program that has no bigru_jax must know to use an exported model."""

from __future__ import annotations

import json
from typing import Any

import bigru_jax
from bigru_jax.data import text
from bigru_jax.inference.run import Run


def describe(run: Run) -> dict[str, Any]:
  """The description of a run's model, values that `json.dumps` takes.

  Returns:
    `version` of bigru_jax; `model`, `task`, `attention`, its pooling, as in the
    configuration; `labels`, the classes' names by index; `temperature` and
    `thresholds`, see `evaluation.Calibration`; `limits`, what is kept of a
    text, see `data.truncation.Limits`, whose `keep` is `truncate` here;
    `tokenizer`, see `tokenizer_rules`, or of a tokenizer.json its content,
    `json`, and `shift`, which is added to its ids; and `vocabulary`, the tokens
    by id, of which 0 is padding and 1 an unknown token, or None with a
    tokenizer.json.
  """
  config, limits = run.config, run.config.limits
  sizes = ['max_length']
  if limits.hierarchical:
    sizes = ['max_sentences', 'max_sentence_length']
  return {
    'version': bigru_jax.__version__,
    'model': config.model,
    'task': config.task,
    'attention': config.pooling,
    'labels': run.labels,
    'temperature': run.calibration.temperature,
    'thresholds': run.calibration.thresholds,
    'limits': {
      **{name: getattr(limits, name) for name in sizes},
      'truncate': limits.keep,
    },
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

  Raises:
    ValueError: the tokenizer has no such pattern.
  """
  tokenizer = text.TOKENIZERS[name]
  if not tokenizer.pattern:
    raise ValueError(f'tokenizer={name} has no pattern, which an export needs')
  lowercase = tokenizer.lowercase
  return {
    'name': name,
    'lowercase': lowercase,
    'normalize': 'NFC',
    'replace': [['\u2019', "'"], ['i\u0307', 'i']] if lowercase else [],
    'pattern': tokenizer.pattern,
  }
