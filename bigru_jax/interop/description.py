"""Describes an exported model to programs without bigru_jax."""

from __future__ import annotations

import json
from typing import Any

import bigru_jax
from bigru_jax.data import text, token_patterns
from bigru_jax.data.labels import named_columns
from bigru_jax.inference.run import Run
from bigru_jax.rundir.examples import name_of_data


def describe(run: Run) -> dict[str, Any]:
  """Returns a description of a run's model that `json.dumps` takes.

  Returns:
    `version`, that of bigru_jax; `data`, see `examples.name_of_data`, empty for
    a run that is not finished; `model`, `task` and `attention`, the pooling,
    as in the configuration; `attention_heads`, the names of the heads of joined
    poolings, else empty; `labels`, the classes' names by index;
    `text_columns`, the columns of the texts, which are joined by `separator`;
    `temperature` and `thresholds`, see `evaluation.Calibration`;
    `positive_label`, that of two classes, else empty; `limits`, see
    `data.truncation.Limits`, whose `keep` is called `truncate` here;
    `tokenizer`, see `tokenizer_rules`, or for a tokenizer.json its content
    `json` and the number `shift` to add to its ids; and `vocabulary`, the
    tokens by id, where 0 is padding and 1 an unknown token, or None with a
    tokenizer.json.
  """
  config, limits = run.config, run.config.limits
  sizes = ['max_length']
  if limits.hierarchical:
    sizes = ['max_sentences', 'max_sentence_length']
  return {
    'version': bigru_jax.__version__,
    'data': _name_of_data(run),
    'model': config.model,
    'task': config.task,
    'attention': config.pooling,
    'attention_heads': config.head_names,
    'labels': run.labels,
    'text_columns': named_columns('text_column', config.text_column),
    'separator': f' {text.SEPARATOR} ',
    'temperature': run.calibration.temperature,
    'thresholds': run.calibration.thresholds,
    'positive_label': _positive_label(run),
    'limits': {
      **{name: getattr(limits, name) for name in sizes},
      'truncate': limits.keep,
    },
    'tokenizer': _tokenizer(run),
    'vocabulary': run.tokenizer.vocabulary,
  }


def _name_of_data(run: Run) -> str:
  try:
    return name_of_data(run.workdir, run.config)
  except FileNotFoundError:
    return ''


def _positive_label(run: Run) -> str:
  positive = run.task.positive
  return '' if positive is None else run.labels[positive]


def _tokenizer(run: Run) -> dict[str, Any]:
  if run.config.tokenizer in text.TOKENIZERS:
    return tokenizer_rules(
      run.config.tokenizer, run.config.replace_urls_and_users
    )
  content = (run.workdir / 'tokenizer.json').read_text('utf-8')
  return {'json': json.loads(content), 'shift': 2}


def tokenizer_rules(name: str, replaces: bool = False) -> dict[str, Any]:
  """Returns the rules by which a tokenizer of `text.TOKENIZERS` splits a text.

  Args:
    name: the tokenizer's name.
    replaces: whether it replaces URLs and user names.

  Returns:
    Its `name`; `lowercase`, whether the text is first lower-cased; `normalize`,
    the Unicode normal form that is then applied, and applied again after
    `replace`; `replace`, pairs of a string and its replacement;
    `replace_patterns`, pairs of a regular expression and the string that
    replaces its matches after that, in this order; and `pattern`, a regular
    expression whose matches are the tokens. The expressions are for ECMAScript
    with the flag v and for Python's `regex` with the flag V1.

  Raises:
    ValueError: the tokenizer has no such pattern.
  """
  tokenizer = text.TOKENIZERS[name]
  if not tokenizer.pattern:
    raise ValueError(f'tokenizer={name} has no pattern to export')
  lowercase, pattern = tokenizer.lowercase, tokenizer.pattern
  replace_patterns = list[list[str]]()
  if replaces:
    pattern = f'{token_patterns.REPLACED}|{pattern}'
    replace_patterns = [
      [f'{token_patterns.URL}|{text.URL}', f' {text.URL} '],
      [f'{token_patterns.USER}|{text.USER}', f' {text.USER} '],
    ]
  return {
    'name': name,
    'lowercase': lowercase,
    'normalize': 'NFC',
    'replace': [['\u2019', "'"], ['i\u0307', 'i']] if lowercase else [],
    'replace_patterns': replace_patterns,
    'pattern': pattern,
  }
