"""Sentences on a model for readers who decide and do not program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import math
from typing import Any

from bigru_jax.reports.page.answers import (
  BORDERS,
  Answer,
  interval_of,
  listed,
  weakest_labels,
)

_FEW = 100  # A share of fewer texts is called a rough guess.
_LISTED = 6  # More labels are not all named.
_LISTED_WEAK = 3
_NEAR = 0.02  # A difference of probabilities that does not matter.


def what_it_does(labels: Sequence[str], is_multi_label: bool) -> str:
  """Returns a sentence on the task of a model."""
  are_few = len(labels) <= _LISTED
  names = listed(labels if are_few else labels[:3], 'and')
  names = f': {names}' if are_few else f', such as {names}'
  count = len(labels)
  if is_multi_label:
    does = f'gives it any of {count} labels, or none{names}'
  elif count == 2:
    does = f'answers {listed(labels, "or")}'
  else:
    does = f'answers with one of {count} labels{names}'
  return f'The model reads a text and {does}.'


def on_quality(
  shares: Sequence[dict[str, Any]], count: int, which: str, is_multi_label: bool
) -> list[str]:
  """Returns sentences on how good a model is.

  Args:
    shares: the result of `answers.shares_of_right`.
    count: the number of texts.
    which: what the texts are, such as "test texts".
    is_multi_label: whether a text may have several labels.
  """
  own, alone = shares[0], shares[1]
  right = 'exactly right' if is_multi_label else 'right'
  interval = ''
  if own['low'] is not None:
    interval = (
      f' (95 % interval {_rounded(own["low"])} to {percent(own["high"])})'
    )
  sentences = [
    f'On {count:,} {which}, it is {right} on '
    f'{percent(own["value"])}{interval}.',
    f'{alone["name"]}, the commonest answer, would be {right} on '
    f'{percent(alone["value"])}.',
  ]
  if own['value'] <= alone['value']:
    sentences.append(
      'The model is no better than that; but where one label is rare, it '
      'matters more how well each label is found (see the mistakes below).'
    )
  if count < _FEW:
    sentences.append(f'With {texts(count)} only, these shares are rough.')
  return sentences


def on_baseline(own: dict[str, Any], baseline: dict[str, Any]) -> list[str]:
  """Returns a sentence that compares a model with the linear one.

  Args:
    own: the model's entry of `shares_of_right`.
    baseline: the result of `baseline.describe_baseline`.
  """
  other, difference = baseline['share']['value'], baseline['difference']
  simpler = f'A linear model, which is simpler, is right on {percent(other)}'
  if not difference:
    return [f'{simpler}.']
  points = 100 * abs(own['value'] - other)
  low, high = 100 * difference['low'], 100 * difference['high']
  interval = (
    '95 % interval of this model minus the linear one: '
    f'{low:.1f} to {high:.1f} points'.replace('-', '−')
  )
  if low <= 0 <= high:
    verdict = 'which of the two is better cannot be said'
  else:
    verdict = f'{"worse" if low > 0 else "better"} by {points:.1f} points'
  return [f'{simpler}: {verdict} ({interval}).']


def on_labels(answers: Sequence[Answer]) -> str:
  """Returns a sentence on the labels of a multi-label task, one by one."""
  predicted = sum(len(answer.predicted) for answer in answers)
  true = sum(len(answer.gold or ()) for answer in answers)
  hits = sum(len((x.gold or frozenset()) & {*x.predicted}) for x in answers)
  parts = []
  if predicted:
    parts.append(
      f'{percent(hits / predicted)} of the labels it gives are right'
    )
  if true:
    parts.append(f'it finds {percent(hits / true)} of the true ones')
  sentence = ', and '.join(parts)
  return f'Label by label: {sentence}.' if parts else ''


def on_trust(
  parts: Sequence[dict[str, Any]],
  answers: Sequence[Answer],
  is_multi_label: bool,
) -> list[str]:
  """Returns sentences on when to trust a model.

  Args:
    parts: the result of `answers.bands`.
    answers: the answers, with true labels.
    is_multi_label: whether a text may have several labels.
  """
  if not parts:
    return ['It gives no label to any of these texts.']
  noun = 'labels' if is_multi_label else 'answers'
  surest, last = parts[0], parts[-1]
  total = sum(part['count'] for part in parts)
  some = f'{surest["count"]:,} of its {total:,} {noun}'
  some += f' ({percent(surest["share"])})'
  if last is surest:
    some = f'all its {total:,} {noun}'
  sentences = [f'It is {surest["name"]} sure of {some}: {_right(surest)}']
  if last is not surest:
    upper = BORDERS[BORDERS.index(last['low_p']) - 1]
    advice = '' if last['value'] >= 0.9 else ' Let a person check these.'
    sentences.append(
      f'It is less than {100 * upper:.0f} % sure of {last["count"]:,}: '
      f'{_right(last)}{advice}'
    )
  stated = [p for answer in answers for p in answer.probabilities]
  mean, right = sum(stated) / total, sum(part['right'] for part in parts)
  within = interval_of(right, total)
  is_near = abs(mean - right / total) < _NEAR
  if is_near:
    verdict = 'what it claims holds on average'
  elif mean > within['high']:
    verdict = 'it is surer than it should be'
  elif mean < within['low']:
    verdict = 'it is better than it claims'
  else:
    verdict = 'with so few texts, the difference may be chance'
  sentences.append(
    f'On average it is {percent(mean)} sure and {percent(right / total)} of '
    f'its {noun} are right: {verdict}.'
  )
  return sentences


def on_failures(
  answers: Sequence[Answer], labels: Sequence[str], is_multi_label: bool
) -> list[str]:
  """Returns sentences on mistakes and on the labels with the lowest F1."""
  wrong = [answer for answer in answers if not answer.is_right]
  sentences = ['It made no mistake on these texts.']
  if wrong:
    are = 'is' if len(wrong) == 1 else 'are'
    sentences = [f'Of {len(answers):,} answers, {len(wrong):,} {are} wrong.']
  if len(wrong) > 1 and not is_multi_label:
    pairs = Counter((*(x.gold or ()), *x.predicted) for x in wrong)
    (gold, predicted), count = pairs.most_common(1)[0]
    sentences[0] += (
      f' The commonest mistake ({count:,} of them) is to answer “{predicted}” '
      f'where “{gold}” is true.'
    )
  scores = weakest_labels(answers, labels)
  if wrong and len(scores) > _LISTED_WEAK:
    sentences.append(
      f'Of the {len(scores)} labels of these texts, the model knows these '
      'three worst:'
    )
  if wrong:
    sentences += [
      f'“{score.label}”: it finds {percent(score.recall)} of the '
      f'{texts(score.count)} with this label'
      + (
        ' and never gives it.'
        if score.precision is None
        else f'; where it answers “{score.label}”, it is right in '
        f'{percent(score.precision)} of cases.'
      )
      for score in scores[:_LISTED_WEAK]
    ]
  return sentences


def texts(count: int) -> str:
  """Returns a number of texts."""
  return f'{count:,} text{"s" * (count != 1)}'


def _right(band: dict[str, Any]) -> str:
  are = 'is' if band['right'] == 1 else 'are'
  return f'{band["right"]:,} of these ({percent(band["value"])}) {are} right.'


def percent(share: float) -> str:
  """Returns a share in percent."""
  return f'{_rounded(share)} %'


def _rounded(share: float) -> str:
  """Returns a share as `charts.js` rounds it, with halves up."""
  return f'{math.floor(10 * (100 * share) + 0.5) / 10:.1f}'
