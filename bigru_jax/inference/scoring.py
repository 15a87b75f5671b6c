"""Evaluates the predictions of labelled texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bigru_jax.evaluation import steps
from bigru_jax.evaluation.evaluation import Evaluation, evaluate_logits
from bigru_jax.inference.predictor import Predictor


def evaluate_texts(
  predictor: Predictor,
  texts: list[str],
  columns: dict[str, Any],
  origin_of: Callable[[int], str],
) -> Evaluation:
  """Returns the evaluation of texts; see `Run.evaluate`.

  Args:
    predictor: predicts the texts.
    texts: at least one text.
    columns: the labels and weights, from `label_ids.to_columns`.
    origin_of: the origin of a text by its index, for messages.
  """
  encoder, task = predictor.encoder, predictor.task
  params, encoded = encoder.encode(predictor.params, texts, origin_of)
  split = encoder.split(encoded.ids, columns['label']).with_columns(**columns)
  _, eval_step = predictor.steps_for(len(params['embedding']))
  metrics, logits_NxC = steps.evaluate(
    eval_step, params, task, split, predictor.batch_size, predictor.mesh
  )
  return evaluate_logits(
    task,
    predictor.labels,
    split.label_array(),
    logits_NxC,
    predictor.calibration,
    metrics,
    predictor.calibrated,
    split.example_weights(),
  )
