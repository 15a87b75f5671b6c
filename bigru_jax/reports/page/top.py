"""The top of a page: what a model does, how good it is, when to trust it.

`top.js` draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
import datetime
import pathlib
from typing import Any

from bigru_jax.config import Config
from bigru_jax.evaluation.calibration import read_calibration
from bigru_jax.reports.page import answers as counts, sentences
from bigru_jax.reports.page.answers import Answer
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import WITHOUT_DATA

_FEW = 50  # Thresholds that were chosen on fewer texts have a warning.
_ADVICE = 'another sample of texts could give another threshold.'


def make_top(
  workdir: pathlib.Path,
  data: dict[str, Any],
  texts: dict[str, Any],
  baseline: dict[str, Any] | None,
  source: str,
) -> dict[str, Any]:
  """Returns the sentences and numbers of the top.

  Args:
    workdir: the run directory.
    data: the result of `page.describe`.
    texts: the result of `packing.pack_texts`.
    baseline: the result of `baseline.describe_baseline`, or None.
    source: the name of what the texts are, or '' for the run's test split.

  Raises:
    FileNotFoundError, ValueError: the run is corrupt.
  """
  labels, is_multi_label = data['labels'], data['is_multi_label']
  top: dict[str, Any] = {
    'title': _title(data, source),
    'what': sentences.what_it_does(labels, is_multi_label),
    'made': how_made(data),
    'examples': counts.choose_examples(texts),
  }
  is_tested = not source and bool(data['tested'])
  answers = counts.answers_of_texts(texts, labels)
  if is_tested:
    lines = run_files.read_predictions(workdir, 'test')
    answers = counts.answers_of_lines(lines)
  if not answers:
    return top
  top['bands'] = counts.bands(answers)
  if any(answer.gold is None for answer in answers):
    top['given'] = counts.given_labels(answers, labels)
    top['quality'] = [
      f'It answered {sentences.texts(len(answers))}. How many answers are '
      'right cannot be said, because the true labels are not known.',
      *_on_other_model(data),
    ]
    return top
  tested = data['tested'] if is_tested else {}
  return top | _judged(answers, data, tested, baseline, source)


def _judged(
  answers: Sequence[Answer],
  data: dict[str, Any],
  tested: dict[str, Any],
  baseline: dict[str, Any] | None,
  source: str,
) -> dict[str, Any]:
  """Returns what is known of answers with true labels.

  Args:
    answers: the answers.
    data, baseline, source: see `make_top`.
    tested: `data['tested']` if they are those of the test, else empty.
  """
  labels, is_multi_label = data['labels'], data['is_multi_label']
  shares = counts.shares_of_right(
    answers, is_multi_label, tested.get('accuracy'), tested.get('interval')
  )
  which = f'texts of {source}' if source else 'texts'
  if tested:
    which = 'test texts, which training never saw'
  quality = sentences.on_quality(shares, len(answers), which, is_multi_label)
  if tested and counts.is_weighted(answers, tested['accuracy']):
    are_stored = any(answer.weight != 1 for answer in answers)
    these = 'These shares count' if are_stored else 'This share counts'
    quality.append(
      f'{these} the weights of the texts; in all others on this page, each '
      'text counts once.'
    )
  if is_multi_label:
    quality.append(sentences.on_labels(answers))
  if tested and baseline:
    shares.insert(1, baseline['share'])
    quality += sentences.on_baseline(shares[0], baseline)
  if source:
    quality += _on_other_model(data)
  return {
    'quality': quality,
    'shares': shares,
    'trust': sentences.on_trust(counts.bands(answers), answers, is_multi_label),
    'failures': sentences.on_failures(answers, labels, is_multi_label),
  }


def _title(data: dict[str, Any], source: str) -> str:
  if source:
    return f'Answers for the texts of {source}'
  if data['name'] in WITHOUT_DATA:
    return 'A model that sorts texts'
  return f'Model trained on {data["name"]}'


def how_made(data: dict[str, Any]) -> str:
  """Returns sentences on when, by what and on what a model was trained."""
  splits = (data['diagnostics'] or {}).get('splits', {})
  count = f'{splits["train"]["texts"]:,} texts' if 'train' in splits else ''
  if data['name'] not in WITHOUT_DATA:
    made = f'It was trained on {f"{count} of " * bool(count)}{data["name"]}.'
  else:
    made = WITHOUT_DATA[data['name']]
    made = f'{made[:-1]}, of {count}.' if count else made
  if not data['finished']:
    return f'{made} The version of bigru_jax was {data["version"]}.'
  moment = datetime.datetime.fromisoformat(data['finished'])
  when = f'{moment.day} {moment:%B %Y, %H:%M} UTC'
  return f'{made} bigru_jax {data["version"]} finished it on {when}.'


def _on_other_model(data: dict[str, Any]) -> list[str]:
  """Returns a sentence on the test of a model that is shown on other texts."""
  accuracy = (data['tested'] or {}).get('accuracy')
  if accuracy is None:
    return []
  exactly = 'exactly ' if data['is_multi_label'] else ''
  return [
    f'On its own {data["tested"]["examples"]:,} test texts the model was '
    f'{exactly}right on {sentences.percent(accuracy)}. Other texts may be '
    'harder.'
  ]


def thresholds(
  workdir: pathlib.Path, config: Config, diagnostics: dict[str, Any] | None
) -> dict[str, Any] | None:
  """Returns a sentence on the thresholds, and with several labels a table.

  Returns:
    `sentence`; `rows` (label, threshold, validation texts that have it), if
    each label has its own; `warning`, a sentence if they were chosen on few
    texts, or None; `at_half`, whether all are one half. None where the most
    probable class is predicted.
  """
  labels = run_files.read_labels(workdir)
  calibration = read_calibration(workdir, labels, config.task)
  values = calibration.thresholds
  if not values:
    return None
  split = (diagnostics or {}).get('splits', {}).get('validation', {})
  texts = split.get('texts')
  counts_of = dict(zip(labels, split.get('labels', ())))
  rows = [(x, p, counts_of.get(x)) for x, p in zip(labels, values)]
  on = 'validation' if texts is None else f'{texts:,} validation texts'
  warning = _warning(texts)
  if config.task != 'multi_label':
    positive = calibration.positive_label
    sentence = (
      f'The prediction is {positive} where its probability is at least '
      f'{values[0]:.3f}, the threshold with the best {config.threshold_metric} '
      f'on {on}, so it may be the less probable label.'
    )
    row = positive, values[0], counts_of.get(positive)
    warning, rows = warning or _warning_of_rare([row]), []
  elif config.threshold == 'fixed':
    sentence = 'A text gets each label whose probability is at least 0.5.'
    warning, rows = None, []
  elif config.threshold == 'tuned':
    sentence = (
      f'A text gets each label whose probability is at least {values[0]:.3f}, '
      f'the threshold that was best on {on}; all counts of this page use it.'
    )
    rows = []
  else:
    sentence = (
      'A text gets each label whose probability reaches a threshold of its '
      f'own, the best on {on}; all counts of this page use these thresholds.'
    )
    warning = warning or _warning_of_rare(rows)
  return {
    'sentence': sentence,
    'rows': rows,
    'warning': warning,
    'at_half': all(value == 0.5 for value in values),
  }


def _warning(texts: int | None) -> str | None:
  """Returns a warning where thresholds were chosen on few texts, or None."""
  if texts is None or texts >= _FEW:
    return None
  return f'{texts:,} validation texts are few: {_ADVICE}'


def _warning_of_rare(rows: Sequence[tuple[str, float, Any]]) -> str | None:
  """Returns a warning where few texts have a label, or None."""
  rare = [
    f'“{label}” ({count:,})'
    for label, _, count in rows
    if count is not None and count < _FEW
  ]
  if not rare:
    return None
  return f'Fewer than {_FEW} validation texts have {", ".join(rare)}: {_ADVICE}'
