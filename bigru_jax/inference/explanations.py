"""Explains any number of texts, in chunks."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
from typing import Any

from flax import linen as nn
import numpy as np

from bigru_jax.explain.predictions import make_trained
from bigru_jax.explain.texts import (
  check_label,
  check_method,
  labels_to_explain,
  with_attributions,
)
from bigru_jax.inference.predictor import CHUNK, Predictor


def stream_explanations(
  predictor: Predictor,
  model: nn.Module,
  texts: Iterator[str],
  method: str,
  label: str | None,
) -> Iterator[dict[str, Any]]:
  """Yields the answers of `Run.explain`, in constant memory.

  Args:
    predictor: predicts the texts.
    model: the run's.
    texts, method, label: see `Run.explain`.

  Raises:
    ValueError: see `Run.explain`.
  """
  check_method(method, predictor.encoder.pooling)
  check_label(label, predictor.labels)
  predicted_texts, texts = itertools.tee(texts)
  answers = predictor.stream(predicted_texts)
  while chunk := list(itertools.islice(answers, CHUNK)):
    labels = labels_to_explain(chunk, predictor.labels, label)
    ids = np.array([predictor.labels.index(x) for x in labels], np.int32)
    params, encoded_texts = predictor.encoder.encode(
      predictor.params,
      list(itertools.islice(texts, len(chunk))),
      str,  # The texts have passed all checks.
    )
    trained = make_trained(model, predictor.task, params)
    split = predictor.encoder.split(encoded_texts.ids, ids)
    yield from with_attributions(
      chunk, labels, method, trained, split, predictor.batch_size
    )
