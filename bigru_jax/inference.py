"""Predictions of a trained run: a batch of texts to labels and attention."""

import contextlib
import pathlib

import jax
import numpy as np

from bigru_jax import checkpoints, runs, sharding, steps
from bigru_jax.data import batching, text


class Predictor:
  """The best model of a run directory.

  Args:
    workdir: the run.
    batch_size: texts a batch, split over the devices.

  Raises:
    FileNotFoundError, ValueError: the directory is no run, or a damaged one; or
      the devices do not divide the batch.
  """

  def __init__(self, workdir, batch_size=64):
    workdir = pathlib.Path(workdir)
    self._batch_size = batch_size
    self.config = runs.read_config(workdir)
    self.labels = runs.read_labels(workdir)
    self._tokenize, self._shown, self._vocabulary, size = runs.read_tokenizer(
      workdir, self.config
    )
    self._mesh = sharding.make_mesh(batch_size)
    model = steps.make_model(self.config, size, len(self.labels))
    params = steps.abstract_params(model, self._mesh)
    self._params = checkpoints.restore_best_params(workdir, params)
    self._step = steps.make_predict_step(model, self.config.loss, self._mesh)

  def __call__(self, texts):
    """Predicts every text, in order; batches are made of like lengths.

    Returns:
      A list of dicts: `label`, `probabilities` by label, and `attention`, a
      list of (token, weight) over the text's tokens.
    """
    # Lone surrogates are no characters; they become the replacement one.
    texts = [t.encode('utf-8', 'replace').decode('utf-8') for t in texts]
    encoded = text.encode(
      texts, self._tokenize, self._vocabulary, self.config.max_length
    )
    if not texts:
      return []
    # Rounded, so that later calls and processes find their programs compiled.
    buckets = batching.choose_buckets(batching.round_up(encoded.lengths))
    plan = batching.epoch_plan(encoded.lengths, buckets, self._batch_size)
    batches = batching.prefetch(self._batches(encoded, plan))
    with contextlib.closing(batches):
      # All are under way before the host waits for the first.
      found = [self._step(self._params, *batch) for batch in batches]
    answers = [None] * len(texts)
    for (_, rows), (probabilities, alpha) in zip(plan, jax.device_get(found)):
      for i, row in enumerate(rows):
        shown = self._shown(texts[row])[: self.config.max_length]
        answers[row] = {
          'label': self.labels[int(probabilities[i].argmax())],
          'probabilities': dict(zip(self.labels, probabilities[i].tolist())),
          'attention': list(zip(shown or [text.UNK], alpha[i].tolist())),
        }
    return answers

  def _batches(self, encoded, plan):
    """Tokens and lengths of each batch, on the mesh."""
    no_labels = np.zeros(len(encoded.lengths), np.int32)
    for length, rows in plan:
      batch = batching.padded_batch(
        encoded, no_labels, rows, length, self._batch_size
      )
      arrays = batch['tokens'], batch['lengths']
      yield sharding.place_batch(arrays, self._mesh)
