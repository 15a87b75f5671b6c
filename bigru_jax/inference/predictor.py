"""Predicts any number of texts, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import dataclasses
import itertools
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from bigru_jax import parallel
from bigru_jax.data.batching import Plan
from bigru_jax.data.encode import EncodedText
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.inference.encoding import TextEncoder
from bigru_jax.inference.predictions import make_answers
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

_SMALL_BATCHES = 1, 8, 64  # So that one text is not padded to a whole batch.
CHUNK = 4096  # The number of texts that are predicted at a time.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictor:
  """The steps from texts to answers.

  Attributes:
    encoder: encodes the texts.
    steps_for: see `steps.by_vocabulary_size`.
    mesh: the devices.
    task: the task.
    labels: the classes' names, by index.
    calibration: see `calibration.Calibration`.
  """

  encoder: TextEncoder
  steps_for: Callable[[int], tuple[Callable, Callable]]
  mesh: Mesh
  task: Task
  labels: list[str]
  calibration: Calibration

  def stream(
    self,
    params: Any,
    texts: Iterator[str],
    batch_size: int,
    calibrated: bool,
    fields: list[str],
  ) -> Iterator[dict[str, Any]]:
    """Yields the answers of `Run.predict`, in constant memory."""
    before, first = None, 1
    # The devices compute a chunk while the host works on its neighbours.
    while chunk := list(itertools.islice(texts, CHUNK)):
      dispatched = self._dispatch(
        params, chunk, first, batch_size, calibrated, fields
      )
      if before:
        yield from self._answers(fields, *before)
      before, first = dispatched, first + len(chunk)
    if before:
      yield from self._answers(fields, *before)

  def rounded(self, batch_size: int) -> int:
    """Returns a batch size that the devices can share."""
    return -(-batch_size // self.mesh.size) * self.mesh.size

  @single_precision()
  def _dispatch(
    self,
    params: Any,
    texts: list[str],
    first: int,
    batch_size: int,
    calibrated: bool,
    fields: list[str],
  ) -> tuple[list[str], list[EncodedText], Plan, list[Any]]:
    """Starts to predict texts; `first` is the number of the first text.

    Returns the arguments of `_answers` while the devices still compute.
    """
    no_labels = np.zeros(len(texts), np.int32)
    params, encoded_texts, split = self.encoder.encode(
      params,
      texts,
      lambda i: f'text {first + i}',
      no_labels,
      'spans' in fields,
    )
    split = split.with_num_shards(self.mesh.size)
    sizes = [self.rounded(size) for size in (*_SMALL_BATCHES, batch_size)]
    plan = split.plan(sizes[-1])
    predict_step, _ = self.steps_for(len(params['embedding']))
    temperature = self.calibration.temperature if calibrated else 1.0
    outputs = []
    for shape, indices in plan:
      size = next(n for n in sizes if n >= len(indices))
      batch = split.batch(indices, shape, size)
      batch = parallel.place_batch(batch, self.mesh)
      outputs.append(predict_step(params, batch, temperature))
    return texts, encoded_texts, plan, outputs

  @single_precision()
  def _answers(
    self,
    fields: list[str],
    texts: list[str],
    encoded_texts: list[EncodedText],
    plan: Plan,
    outputs: list[Any],
  ) -> list[dict[str, Any]]:
    """Returns the answers of a chunk, in the order of its texts."""
    if 'attention' not in fields:  # It is not copied from the devices.
      outputs = [(p, logits, {}, heads) for p, logits, _, heads in outputs]
    answers: dict[int, dict[str, Any]] = {}
    for (_, indices), batch_outputs in zip(plan, jax.device_get(outputs)):
      answers |= make_answers(
        indices,
        batch_outputs,
        task=self.task,
        labels=self.labels,
        thresholds=self.calibration.thresholds,
        texts=texts,
        encoded_texts=encoded_texts,
        fields=fields,
      )
    return [answers[i] for i in range(len(texts))]
