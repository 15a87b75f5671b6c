"""Shows the weights of a text's tokens as numbers, or in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import regex

from bigru_jax.explain.attributions import UNSIGNED

# Backgrounds of xterm's 256 colours from light to dark, blue and orange.
# The contrast of black letters is at least 5 to 1.
_FOR, _AGAINST = (189, 153, 117, 75, 33), (230, 223, 222, 215, 208)
_SHADE, _PLAIN = '\x1b[38;5;16;48;5;{}m', '\x1b[0m'
_UNDERLINE = '\x1b[4m'
LEAST = 0.5 / len(_FOR)  # The smallest weight that is marked.
BLANK = '(empty text)'
# Control characters in a text could move the cursor or set colours.
_CONTROL = regex.compile(r'[\p{Cc}\p{Cs}--[\n\t]]', regex.VERSION1)


def shades(answer: dict[str, Any]) -> list[float]:
  """Returns a number from -1 to 1 for each token; empty without weights.

  It is the token's `attribution`, of an answer that has some, divided by the
  largest absolute value of the text: a positive one speaks for the explained
  label, and a negative one against it. Otherwise it is the attention, from 0 on
  and divided by its largest value: the mean weight over the heads, or with
  label-wise attention the weight of the first predicted label. In a
  hierarchical model, the weight of a word is multiplied by the root of its
  sentence's weight, as in Yang et al., 2016,
  https://aclanthology.org/N16-1174, section 3.3.

  Args:
    answer: a prediction from `Run.predict` or `Run.explain`.
  """
  if 'attribution' in answer:
    weights_T = np.array(answer['attribution'])
    return (weights_T / max(np.abs(weights_T).max(initial=0), 1e-12)).tolist()
  weights_KxT = np.array(answer['attention'].get('words', []))
  if not weights_KxT.size:
    return []
  weights_T = _merge_heads(answer, weights_KxT)
  if 'sentences' in answer['attention']:
    weights_S = _merge_heads(answer, np.array(answer['attention']['sentences']))
    weights_T = weights_T * np.repeat(np.sqrt(weights_S), answer['sentences'])
  return (weights_T / max(weights_T.max(), 1e-12)).tolist()


def _merge_heads(answer: dict[str, Any], weights: np.ndarray) -> np.ndarray:
  heads, label = answer.get('attention_labels'), answer['label']
  first = label if isinstance(label, str) else next(iter(label), None)
  if heads and first in heads:
    return weights[heads.index(first)]
  return weights.mean(axis=0)


def colored(text: str, answer: dict[str, Any]) -> str:
  """Returns a text for a terminal, with tokens shaded by their weight.

  Args:
    text: the text.
    answer: its prediction, from `Run.predict` or `Run.explain`.

  Returns:
    The label and the probability, how to read the colours, which names the
    probability of an explained label that is not predicted, then the text with
    ANSI escape sequences: blue, or for a negative weight orange and underlined.
    Control characters in the text are replaced.
  """
  how = reading(answer, 'blue', 'underlined orange')
  return _marked(text, answer, how, _color)


def signed(text: str, answer: dict[str, Any]) -> str:
  """Returns a text like `colored`, with numbers in place of colours."""
  how = reading(answer, '+', '-')
  how = f'{how}; the largest weight is 1' if how else ''
  return _marked(text, answer, how, lambda x, shade: f'{x}[{shade:+.2f}]')


def reading(answer: dict[str, Any], positive: str, negative: str) -> str:
  """Returns how to read the weights; empty without attributions.

  Args:
    answer: see `shades`.
    positive, negative: the names of their marks.
  """
  if 'attribution' not in answer:
    return ''
  method = answer['method'].replace('_', ' ')
  if answer['method'] in UNSIGNED:
    return f'{positive} shows the {method}'
  label = answer['explained_label']
  if label not in _predicted(answer):
    label = _with_probability(answer, label)
  return f'{positive} speaks for {label}, {negative} against it ({method})'


def _marked(
  text: str,
  answer: dict[str, Any],
  how: str,
  mark: Callable[[str, float], str],
) -> str:
  """Returns the lines of `colored`, with the heavier tokens marked."""
  last_end, parts = 0, []
  for (start, end), shade in zip(answer['spans'], shades(answer)):
    token = _printable(text[start:end])
    parts.append(_printable(text[last_end:start]))
    parts.append(mark(token, shade) if abs(shade) >= LEAST and token else token)
    last_end = end
  parts.append(_printable(text[last_end:]) if text.strip() else BLANK)
  lines = _printable(headline(answer)), _printable(how), ''.join(parts)
  return '\n'.join(filter(None, lines)) + '\n'


def _color(token: str, shade: float) -> str:
  backgrounds = _FOR if shade >= 0 else _AGAINST
  color = backgrounds[int(abs(shade) * len(backgrounds) - 0.5)]
  line = _UNDERLINE if shade < 0 else ''
  return f'{line}{_SHADE.format(color)}{token}{_PLAIN}'


def headline(answer: dict[str, Any]) -> str:
  """Returns the predicted label or labels, with their probabilities."""
  labels = _predicted(answer)
  return ', '.join(_with_probability(answer, x) for x in labels) or 'no label'


def _predicted(answer: dict[str, Any]) -> Sequence[str]:
  label = answer['label']
  return [label] if isinstance(label, str) else label


def _with_probability(answer: dict[str, Any], label: str) -> str:
  return f'{label} ({answer["probabilities"][label]:.2f})'


def _printable(text: str) -> str:
  return _CONTROL.sub('\ufffd', text)
