"""Writes the answers of an evaluation beside the correct labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bigru_jax.config import Config
from bigru_jax.data import sources
from bigru_jax.evaluation.evaluation import Evaluation
from bigru_jax.inference.prediction_table import (
  DEFAULT_CSV_FIELDS,
  label_writer,
  prediction_columns,
)


def mistakes_of(
  evaluation: Evaluation,
  answers: list[dict[str, Any]],
  texts: list[str],
  number: int,
) -> str:
  """Returns the most confident mistakes as text, one paragraph each.

  Args:
    evaluation: the evaluation.
    answers: its answers.
    texts: the text of each answer.
    number: the maximal number of mistakes.
  """
  paragraphs = []
  for i in evaluation.mistakes()[:number]:
    answer = answers[i]
    predicted, correct = (
      [names] if isinstance(names, str) else names
      for names in (answer['prediction'], answer['label'])
    )
    probabilities = answer['probabilities']
    prediction = ', '.join(
      f'{name} ({probabilities.get(name, 0):.3f})' for name in predicted
    )
    paragraphs.append(
      f'{answer["source"]}, row {answer["row"]}: {prediction or "no label"}, '
      f'but it is {", ".join(correct) or "no label"}\n  {texts[i]}'
    )
  return '\n'.join(paragraphs) or 'no mistakes'


def csv_rows(
  config: Config, labels: list[str], answers: list[dict[str, Any]]
) -> Iterator[list[Any]]:
  """Yields the answers in the columns of `bigru predict`'s output."""
  separator = sources.label_separator(config)
  columns = prediction_columns(labels, separator, DEFAULT_CSV_FIELDS)
  write_label = label_writer(labels, separator)
  origin = [x for x in ('id', 'source', 'row') if x in answers[0]]
  yield [*origin, 'label', *columns]
  predictions = {
    'label': [answer['prediction'] for answer in answers],
    'probabilities': np.array(
      [[*x['probabilities'].values()] for x in answers]
    ),
    'empty': [answer['empty'] for answer in answers],
  }
  cells = zip(*(column(predictions) for column in columns.values()))
  for answer, added in zip(answers, cells):
    label = write_label(answer['label'])
    yield [*(answer[name] for name in origin), label, *added]
