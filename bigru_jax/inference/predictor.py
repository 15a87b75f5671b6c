"""Predicts texts, in chunks or one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import itertools
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from bigru_jax.data.encode import EncodedTexts, Ids
from bigru_jax.data.fixed_shapes import make_batch, text_of_each_shape
from bigru_jax.data.memory import check_texts
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.inference.encoding import TextEncoder
from bigru_jax.inference.predictions import Predictions, make_predictions
from bigru_jax.inference.unseen import with_rows
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

_SMALL_BATCHES = 1, 8, 64  # So that few texts are not padded to a whole batch.
CHUNK = 4096  # The number of texts that are predicted at a time.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predictor:
  """Predicts texts with the options that `Run.predictor` was given.

  Several threads may use it at the same time.

  Example:
    >>> predictor = run.predictor()  # doctest: +SKIP
    >>> predictor.warm_up()  # doctest: +SKIP
    >>> predictor.predict(['A gentle, funny film.'])  # doctest: +SKIP

  Attributes:
    params: the parameters, replicated over the devices.
    encoder: encodes the texts.
    steps_for: see `steps.by_vocabulary_size`.
    mesh: the devices.
    task: the task.
    labels: the classes' names, by index.
    head_names: see `ModelConfig.head_names`.
    calibration: see `calibration.Calibration`.
    num_texts: the number of the run's text columns.
    batch_size: the maximum batch size, a multiple of the number of devices.
    calibrated, fields: see `Run.predict`.
    fixed_shapes: see `Run.predictor`. A single text always has a fixed shape.
  """

  params: Any
  encoder: TextEncoder
  steps_for: Callable[[int], tuple[Callable, Callable]]
  mesh: Mesh
  task: Task
  labels: list[str]
  head_names: list[str]
  calibration: Calibration
  num_texts: int
  batch_size: int
  calibrated: bool
  fields: list[str]
  fixed_shapes: bool

  def predict(self, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the answers of `Run.predict`."""
    return list(self.stream(texts))

  def stream(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yields the answers of `Run.predict`, in constant memory."""
    for predictions in self.chunks(texts):
      yield from predictions.answers()

  def chunks(self, texts: Iterable[str]) -> Iterator[Predictions]:
    """Yields the predictions of chunks of texts as columns."""
    texts = check_texts(texts, self.num_texts)
    size = self.batch_size if self.fixed_shapes else CHUNK
    before, first = None, 1
    # The devices compute a chunk while the host works on its neighbours.
    while chunk := list(itertools.islice(texts, size)):
      dispatched = self._dispatch(chunk, first)
      if before:
        yield self._predictions(*before)
      before, first = dispatched, first + len(chunk)
    if before:
      yield self._predictions(*before)

  def no_predictions(self) -> Predictions:
    """Returns the predictions of no texts, with columns as those of any."""
    limits, size = self.encoder.limits, self.mesh.size
    text = text_of_each_shape(limits)[0]
    batch = make_batch(text, limits, size, size, self.encoder.markers)
    predict_step: Any = self.steps_for(len(self.params['embedding']))[0]
    outputs = predict_step.eval_shape(self.params, 1.0, batch)
    arrays = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), outputs)
    _, no_texts = self.encoder.encode(self.params, [], str, self.fields)
    return self._predictions([], no_texts, [(np.arange(0), arrays)])

  @single_precision()
  def warm_up(self) -> None:
    """Compiles the programs for texts of all lengths.

    Programs that are in JAX's cache on disk are loaded from there.
    """
    tables = [self.params]
    if self.encoder.unseen:
      tables.append(with_rows(self.params, []))
    texts = text_of_each_shape(self.encoder.limits)
    for params, text in itertools.product(tables, texts):
      jax.block_until_ready(self._predict_batch(params, text))

  def rounded(self, batch_size: int) -> int:
    """Returns a batch size that the devices can share."""
    return -(-batch_size // self.mesh.size) * self.mesh.size

  @single_precision()
  def _dispatch(
    self, texts: list[str], first: int
  ) -> tuple[list[str], EncodedTexts, list[tuple[np.ndarray, Any]]]:
    """Starts to predict texts; `first` is the number of the first text.

    Returns the arguments of `_predictions` while the devices still compute.
    """
    params, encoded_texts = self.encoder.encode(
      self.params, texts, lambda i: f'text {first + i}', self.fields
    )
    ids = encoded_texts.ids
    if self.fixed_shapes or len(texts) == 1:
      outputs = self._predict_batch(params, ids)
      return texts, encoded_texts, [(np.arange(len(texts)), outputs)]
    no_labels = np.zeros(len(texts), np.int32)
    split = self.encoder.split(ids, no_labels)
    split = split.with_num_shards(self.mesh.size)
    sizes = [*map(self.rounded, _SMALL_BATCHES), self.batch_size]
    outputs = []
    for shape, indices in split.plan(self.batch_size):
      size = next(n for n in sizes if n >= len(indices))
      batch = split.batch(indices, shape, size)
      outputs.append((indices, self._step(params, batch)))
    return texts, encoded_texts, outputs

  def _predict_batch(self, params: Any, texts: Ids) -> Any:
    """Returns the outputs of a batch of a fixed shape, on the devices."""
    size = self.batch_size if self.fixed_shapes else self.rounded(1)
    encoder = self.encoder
    batch = make_batch(
      texts, encoder.limits, size, self.mesh.size, encoder.markers
    )
    return self._step(params, batch)

  def _step(self, params: Any, batch: dict[str, np.ndarray]) -> Any:
    predict_step, _ = self.steps_for(len(params['embedding']))
    temperature = self.calibration.temperature if self.calibrated else 1.0
    return predict_step(params, temperature, batch)

  @single_precision()
  def _predictions(
    self,
    texts: list[str],
    encoded_texts: EncodedTexts,
    outputs: list[tuple[np.ndarray, Any]],
  ) -> Predictions:
    """Returns the predictions of a chunk, in the order of its texts."""
    if 'attention' not in self.fields:  # It is not copied from the devices.
      outputs = [(i, (p, logits, {}, x)) for i, (p, logits, _, x) in outputs]
    return make_predictions(
      # Of one text, `jax.device_get` would take a twentieth of the time.
      jax.tree.map(np.asarray, outputs),
      task=self.task,
      labels=self.labels,
      head_names=self.head_names,
      thresholds=self.calibration.thresholds,
      texts=texts,
      encoded_texts=encoded_texts,
      fields=self.fields,
    )
