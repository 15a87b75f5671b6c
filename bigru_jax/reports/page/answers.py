"""Counts how often answers are right, and chooses examples of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import dataclasses
from typing import Any

from bigru_jax.statistics.intervals import wilson

# The borders of the bands of probabilities, from the surest down.
BORDERS = 0.9, 0.7, 0.5, 0.0


@dataclasses.dataclass(frozen=True)
class Answer:
  """A prediction.

  Attributes:
    gold: the true labels, or None if they are unknown.
    predicted: the predicted labels; exactly one in a single-label task.
    probabilities: those of the predicted labels.
    weight: that of the text.
  """

  gold: frozenset[str] | None
  predicted: tuple[str, ...]
  probabilities: tuple[float, ...]
  weight: float = 1.0

  @property
  def is_right(self) -> bool:
    """Whether exactly the true labels are predicted."""
    return self.gold == frozenset(self.predicted)


def answers_of_lines(lines: Sequence[dict[str, Any]]) -> list[Answer]:
  """Returns the answers of the lines of a predictions file."""
  answers = []
  for line in lines:
    predicted = _tuple(line['prediction'])
    probabilities = line.get('probabilities', {})
    answers.append(
      Answer(
        frozenset(_tuple(line['label'])),
        predicted,
        tuple(probabilities.get(name, 0.0) for name in predicted),
        line.get('weight', 1.0),
      )
    )
  return answers


def answers_of_texts(
  texts: dict[str, Any], labels: Sequence[str]
) -> list[Answer]:
  """Returns the answers of the columns that `packing.pack_texts` returns."""
  answers = []
  for gold, predicted, flat in zip(
    texts['gold'], texts['prediction'], texts['probabilities']
  ):
    p = dict(zip(flat[::2], flat[1::2]))
    ids = _tuple(predicted)
    answers.append(
      Answer(
        None if gold is None else frozenset(labels[c] for c in _tuple(gold)),
        tuple(labels[c] for c in ids),
        tuple(p.get(c, 0) / 1000 for c in ids),
      )
    )
  return answers


def _tuple(value: Any) -> tuple:
  return tuple(value) if isinstance(value, list) else (value,)


def shares_of_right(
  answers: Sequence[Answer],
  is_multi_label: bool,
  accuracy: float | None = None,
  interval: dict[str, float] | None = None,
) -> list[dict[str, Any]]:
  """Returns the share of right answers, and that of the commonest label alone.

  Args:
    answers: those with true labels.
    is_multi_label: whether a text may have several labels.
    accuracy, interval: the stored share, which counts weights if the texts have
      any, and its interval; by default they are counted.

  Returns:
    Dicts of `name`, `value`, `low` and `high`.
  """
  count = len(answers)
  right = sum(answer.is_right for answer in answers)
  if accuracy is None:
    accuracy = right / count
  name = 'This model, exactly right' if is_multi_label else 'This model'
  own = {'name': name, 'value': accuracy, 'low': None, 'high': None}
  if interval:
    own |= {key: interval[key] for key in ('low', 'high')}
  elif not is_weighted(answers, accuracy):
    own |= interval_of(right, count)
  golds: dict[frozenset[str] | None, float] = {}
  for answer in answers:
    golds[answer.gold] = golds.get(answer.gold, 0.0) + answer.weight
  commonest = max(golds, key=golds.__getitem__)
  assert commonest is not None
  always = listed(sorted(commonest), 'and') if commonest else 'no label'
  alone = {
    'name': f'Always answering {always}',
    'value': golds[commonest] / sum(golds.values()),
    'low': None,
    'high': None,
  }
  return [own, alone]


def is_weighted(answers: Sequence[Answer], accuracy: float) -> bool:
  """Returns whether an accuracy is not that of texts that count equally."""
  right = sum(answer.is_right for answer in answers)
  return abs(accuracy - right / len(answers)) > 1e-6


def bands(answers: Sequence[Answer]) -> list[dict[str, Any]]:
  """Returns how often predictions are right, by their probability.

  With several labels, each label that is given counts.

  Returns:
    Dicts of `name`, `low_p`, `count`, `right`, `value` (the share of right ones
    or None without true labels), `low` and `high`, from the surest down.
  """
  known = all(answer.gold is not None for answer in answers)
  pairs = [
    (p, label in (answer.gold or ()))
    for answer in answers
    for label, p in zip(answer.predicted, answer.probabilities)
  ]
  result, upper = [], 2.0
  for border in BORDERS:
    band = [is_right for p, is_right in pairs if border <= p < upper]
    name = f'{100 * border:.0f} to {100 * upper:.0f} %'
    if upper > 1:
      name = f'at least {100 * border:.0f} %'
    elif not border:
      name = f'less than {100 * upper:.0f} %'
    upper = border
    if not band:
      continue
    right = sum(band)
    entry = {
      'name': name, 'low_p': border, 'count': len(band),
      'share': len(band) / len(pairs), 'right': right if known else None,
      'value': right / len(band) if known else None, 'low': None, 'high': None,
    }  # fmt: skip
    result.append(entry | (interval_of(right, len(band)) if known else {}))
  return result


@dataclasses.dataclass(frozen=True)
class LabelScore:
  """How well a model knows a label.

  Attributes:
    label: its name.
    count: the number of texts that have it.
    recall: the share of these to which the model gives it.
    precision: the share of the texts with the prediction that have it, or None.
    f1: the harmonic mean of both.
  """

  label: str
  count: int
  recall: float
  precision: float | None
  f1: float


def weakest_labels(
  answers: Sequence[Answer], labels: Sequence[str]
) -> list[LabelScore]:
  """Returns the scores of the labels that occur, the lowest F1 first."""
  true = Counter(label for x in answers for label in x.gold or ())
  predicted = Counter(label for x in answers for label in x.predicted)
  hits = Counter(
    label for x in answers for label in (x.gold or frozenset()) & {*x.predicted}
  )
  scores = [
    LabelScore(
      label=label,
      count=true[label],
      recall=hits[label] / true[label],
      precision=hits[label] / predicted[label] if predicted[label] else None,
      f1=2 * hits[label] / (true[label] + predicted[label]),
    )
    for label in labels
    if true[label]
  ]
  return sorted(scores, key=lambda score: score.f1)


def choose_examples(texts: dict[str, Any], count: int = 3) -> dict[str, Any]:
  """Chooses typical right answers and sure mistakes, of different labels.

  A typical answer has a median probability among the right ones of its label;
  a mistake a large one. Texts of middling length are preferred, and blank ones
  come last.

  Args:
    texts: the result of `packing.pack_texts`.
    count: the number of examples of each kind.

  Returns:
    `right` and `wrong`: indices of texts. Without true labels, all answers
    count as right.
  """
  groups: dict[str, dict[Any, list[int]]] = {'right': {}, 'wrong': {}}
  for i, is_right in enumerate(texts['right']):
    kind = 'wrong' if is_right == 0 else 'right'
    key = texts['gold' if kind == 'wrong' else 'prediction'][i]
    groups[kind].setdefault(str(key), []).append(i)
  confidence = texts['confidence']

  def is_readable(i: int) -> bool:
    return 20 <= len(texts['text'][i]) <= 400

  examples = {}
  for kind, by_label in groups.items():
    queues = []
    for members in sorted(by_label.values(), key=len, reverse=True):
      target = 1.0
      if kind == 'right':
        target = sorted(confidence[i] for i in members)[len(members) // 2]
      queues.append(
        sorted(
          members,
          key=lambda i: (
            not texts['text'][i].strip(),
            not is_readable(i),
            abs(confidence[i] - target),
            i,
          ),
        )[:count]
      )
    rounds = (queue[k : k + 1] for k in range(count) for queue in queues)
    chosen = [i for members in rounds for i in members]
    chosen.sort(key=lambda i: not texts['text'][i].strip())
    examples[kind] = chosen[:count]
  return examples


def given_labels(
  answers: Sequence[Answer], labels: Sequence[str]
) -> list[dict[str, Any]]:
  """Returns the share of the answers that have each label, as bars."""
  shares: list[dict[str, Any]] = [
    {
      'name': label,
      'value': sum(label in x.predicted for x in answers) / len(answers),
      'low': None,
      'high': None,
    }
    for label in labels
  ]
  return sorted(shares, key=lambda share: -share['value'])[:10]


def interval_of(successes: int, count: int) -> dict[str, float]:
  """Returns `low` and `high` of Wilson's interval of a share."""
  interval = wilson(successes, count)
  return {'low': interval.low, 'high': interval.high}


def listed(labels: Sequence[str], word: str) -> str:
  """Returns labels in quotes, with a word before the last one."""
  *first, last = [f'“{label}”' for label in labels]
  return f'{", ".join(first)} {word} {last}' if first else last
