"""Explains the predictions of a run: adds attributions to its answers."""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import Any

import jax

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.explain.attributions import (
  ATTRIBUTIONS,
  integrated_gradients,
  methods_of,
)
from bigru_jax.explain.positions import Batch
from bigru_jax.explain.predictions import TrainedModel, over_split

METHOD = 'integrated_gradients'  # The default; it says how exact its sums are.


def check_method(method: str, pooling: str) -> None:
  """Raises ValueError if models with a pooling have no such attribution."""
  if method not in ATTRIBUTIONS:
    raise ValueError(f'method={method}: choose {", ".join(ATTRIBUTIONS)}')
  if method not in methods_of(pooling):
    raise ValueError(
      f'method={method}: pooling={pooling} has no weights; choose '
      f'{", ".join(methods_of(pooling))}'
    )


def check_label(label: str | None, labels: Sequence[str]) -> None:
  """Raises ValueError if a run does not have the label to explain."""
  if label is not None and label not in labels:
    raise ValueError(f'label={label}: choose {", ".join(labels)}')


def labels_to_explain(
  answers: Sequence[dict[str, Any]], labels: Sequence[str], label: str | None
) -> list[str]:
  """Returns the label of each answer that is explained.

  It is the predicted one; or with several labels the most probable one of those
  that are predicted, or of all if none is.

  Args:
    answers: predictions, from `Run.predict`.
    labels: the classes' names.
    label: the label to explain in all texts instead.
  """
  if label is not None:
    return [label] * len(answers)
  return [
    answer['label']
    if isinstance(answer['label'], str)
    else max(answer['label'] or labels, key=answer['probabilities'].__getitem__)
    for answer in answers
  ]


def with_attributions(
  answers: Sequence[dict[str, Any]],
  explained_labels: Sequence[str],
  method: str,
  trained: TrainedModel,
  split: EncodedSplit,
  batch_size: int,
) -> list[dict[str, Any]]:
  """Returns the answers with what explains them; see `Run.explain`.

  Args:
    answers: predictions, from `Run.predict`.
    explained_labels: see `labels_to_explain`.
    method: a name that `check_method` accepts.
    trained: the model.
    split: the texts; their labels are the indices of those explained.
    batch_size: the maximal number of texts per batch.
  """
  step = functools.partial(_explain, method=method)
  results = over_split(step, trained, split, batch_size)
  errors = results.get('completeness_error')
  return [
    {
      **answer,
      'method': method,
      'explained_label': label,
      'attribution': results['attribution'][i].tolist(),
      **({} if errors is None else {'completeness_error': float(errors[i])}),
    }
    for i, (answer, label) in enumerate(zip(answers, explained_labels))
  ]


@functools.partial(jax.jit, static_argnames='method')
def _explain(
  trained: TrainedModel, batch: Batch, key: jax.Array, method: str
) -> dict[str, jax.Array]:
  del key
  inputs = trained, batch, batch['labels']
  if method != 'integrated_gradients':
    return {'attribution': ATTRIBUTIONS[method](*inputs)}
  weights_BxT, error_B = integrated_gradients(*inputs)
  return {'attribution': weights_BxT, 'completeness_error': error_B}
