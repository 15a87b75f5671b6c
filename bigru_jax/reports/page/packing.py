"""Packs predictions for a page: spans and weights become bytes in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

_PROBABILITIES = 5  # The number of largest probabilities shown for a text.


def pack_texts(
  texts: Sequence[str],
  answers: Sequence[dict[str, Any]],
  golds: Sequence[Any],
  origins: Sequence[str],
  labels: Sequence[str],
) -> dict[str, Any]:
  """Returns the columns of a page's texts.

  Args:
    texts: the texts.
    answers: their predictions, from `Run.predict`.
    golds: the label or labels of each text, or None if it has none.
    origins: the origin of each text.
    labels: the classes' names.

  Returns:
    Lists by name, with one entry per text, for `texts.js`. `tokens` are,
    in base64 with 7 bits per byte, four times the length of each token plus the
    gap before it; after a gap of 3, what exceeds 3 follows. Both are counted in
    UTF-16 units as in JavaScript. `weights` are those of one head after
    another, with 255 for the head's largest weight, which is in `largest`. A
    `place` that differs from the one before it only in its number is that
    number.
    `explained`, the labels that `Run.explain` explains, are only there if the
    answers have them.
  """
  index = {label: i for i, label in enumerate(labels)}
  gold_ids = [_ids(gold, index) for gold in golds]
  predicted_ids = [_ids(answer['label'], index) for answer in answers]
  columns: dict[str, list] = {
    'text': list(texts),
    'place': _places(origins),
    'truncated': [int(answer['truncated']) for answer in answers],
    'gold': gold_ids,
    'prediction': predicted_ids,
    'right': [
      None if gold is None else int(gold == predicted)
      for gold, predicted in zip(gold_ids, predicted_ids)
    ],
    'confidence': [_confidence(x, gold) for x, gold in zip(answers, golds)],
    'probabilities': [_largest(answer, index) for answer in answers],
  }
  if answers and 'explained_label' in answers[0]:
    columns['explained'] = [index[x['explained_label']] for x in answers]
  packed = [_pack(text, x, index) for text, x in zip(texts, answers)]
  names = packed[0] if packed else ('tokens', 'weights', 'largest')
  return columns | {name: [entry[name] for entry in packed] for name in names}


def _places(origins: Sequence[str]) -> list[Any]:
  """Returns the origins, or the numbers in which they differ."""
  places: list[Any] = []
  before = None
  for origin in origins:
    start = origin.rstrip('0123456789')
    number = origin[len(start) :]
    is_number = number and number == str(int(number))
    places.append(int(number) if is_number and start == before else origin)
    before = start
  return places


def pack_attributions(
  answers: Sequence[dict[str, Any]],
  attributions: Mapping[str, Sequence[np.ndarray | None]],
) -> dict[str, Any]:
  """Returns the attributions of a page's texts by method.

  Args:
    answers: the texts' predictions, from `Run.predict`.
    attributions: for each method and text one weight per token, or None.

  Returns:
    By method `weights`, the signed bytes of each text in base64, with 127 for
    the largest absolute weight, which is in `largest`. A text without weights
    has an empty string.
  """
  packed: dict[str, Any] = {}
  for method, of_texts in attributions.items():
    weights, largest = [], []
    for answer, weights_T in zip(answers, of_texts, strict=True):
      content, scale = b'', 0.0
      if weights_T is not None:
        owned_T = _owned(answer, np.asarray(weights_T)[None])[0]
        scale = float(np.abs(owned_T).max(initial=0))
        scaled_T = np.rint(127 * owned_T / max(scale, 1e-12))
        content = scaled_T.astype(np.int8).tobytes()
      weights.append(base64.b64encode(content).decode())
      largest.append(float(f'{scale:.2g}'))
    packed[method] = {'weights': weights, 'largest': largest}
  return packed


def _owned(answer: dict[str, Any], weights_KxT: np.ndarray) -> np.ndarray:
  """Returns the weights of the tokens that have a span.

  The weight of a token without a span is added to the token before it.
  """
  spans = np.array(answer['spans'], np.int64)
  full = spans[:, 1] > spans[:, 0]
  owner = np.maximum(np.cumsum(full) - 1, 0)
  count = int(full.sum())
  owned = [np.bincount(owner, head, count)[:count] for head in weights_KxT]
  return np.array(owned).reshape(len(weights_KxT), count)


def _ids(label: Any, index: dict[str, int]) -> Any:
  if label is None or isinstance(label, str):
    return None if label is None else index[label]
  return [index[name] for name in label]


def _confidence(answer: dict[str, Any], gold: Any) -> float:
  """Returns the probability of a prediction.

  If a text has a list of labels, the result is the largest distance of a
  probability from the truth, or without it the largest probability.
  """
  probabilities = answer['probabilities']
  if isinstance(answer['label'], str):
    return round(probabilities[answer['label']], 4)
  distances = probabilities.values()
  if gold is not None:
    distances = [abs((x in gold) - p) for x, p in probabilities.items()]
  return round(max(distances), 4)


def _largest(answer: dict[str, Any], index: dict[str, int]) -> list[int]:
  """Returns the classes of the largest probabilities, in thousandths."""
  pairs = sorted(answer['probabilities'].items(), key=lambda x: -x[1])
  label = answer['label']
  predicted = {label} if isinstance(label, str) else set(label)
  numbers = []
  for i, (name, p) in enumerate(pairs):
    if i < _PROBABILITIES or name in predicted:
      numbers += [index[name], round(1000 * p)]
  return numbers


def _pack(
  text: str, answer: dict[str, Any], index: dict[str, int]
) -> dict[str, Any]:
  """Packs the spans, weights, heads and sentences of a text."""
  spans = np.array(answer['spans'], np.int64)
  full = spans[:, 1] > spans[:, 0]
  owned = _owned(answer, np.array(answer['attention'].get('words', [])))
  packed: dict[str, Any] = {'tokens': _numbers(_gaps(text, spans[full]))}
  packed['weights'], packed['largest'] = quantized(owned)
  if 'sentences' in answer:
    ends = np.cumsum(answer['sentences'])
    of_all = np.concatenate([[0], np.cumsum(full)])
    packed['sentences'] = np.diff(of_all[np.append(0, ends)]).tolist()
    heads = answer['attention'].get('sentences', [])
    shape = len(heads), len(answer['sentences'])
    packed['sentence_weights'], packed['sentence_largest'] = quantized(
      np.array(heads).reshape(shape)
    )
  if 'attention_labels' in answer:
    packed['head_labels'] = _ids(answer['attention_labels'], index)
  return packed


def _gaps(text: str, spans: np.ndarray) -> list[int]:
  """Returns the numbers of `tokens` in the result of `pack_texts`."""
  flat = spans.ravel()
  if not text.isascii():
    wide = np.array([c > '\uffff' for c in text], np.int64)
    flat = flat + np.concatenate([[0], np.cumsum(wide)])[flat]
  numbers = []
  for gap, length in np.diff(flat, prepend=0).reshape(-1, 2).tolist():
    numbers.append(4 * length + min(gap, 3))
    if gap >= 3:
      numbers.append(gap - 3)
  return numbers


def _numbers(values: Iterable[int]) -> str:
  """Packs integers from 0 with 7 bits per byte, lowest first, in base64."""
  content = bytearray()
  for value in values:
    while value > 127:
      content.append(value & 127 | 128)
      value >>= 7
    content.append(value)
  return base64.b64encode(content).decode()


def quantized(weights_KxT: np.ndarray) -> tuple[str, list[float]]:
  """Returns weights as bytes in base64, 0 to 255, and the largest by head."""
  if not weights_KxT.size:
    return '', [0.0] * len(weights_KxT)
  largest_K = weights_KxT.max(axis=1)
  scale_Kx1 = np.maximum(largest_K, 1e-12)[:, None]
  scaled = np.rint(255 * np.maximum(weights_KxT, 0) / scale_Kx1)
  packed = base64.b64encode(scaled.astype(np.uint8).tobytes()).decode()
  return packed, [float(f'{x:.3g}') for x in largest_K]
