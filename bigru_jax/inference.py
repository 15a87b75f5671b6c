"""Predictions of a trained run: a batch of texts to labels and attention."""

import functools
import pathlib

import jax
import numpy as np

from bigru_jax import checkpoints, losses, runs, steps
from bigru_jax.data import batching, text


class Predictor:
  """The best model of a run directory.

  Args:
    workdir: the run.
    batch_size: texts a batch.

  Raises:
    FileNotFoundError, ValueError: the directory is no run, or a damaged one.
  """

  def __init__(self, workdir, batch_size=64):
    workdir = pathlib.Path(workdir)
    self._batch_size = batch_size
    self.config = runs.read_config(workdir)
    self.labels = runs.read_labels(workdir)
    self._tokenize, self._shown, self._vocabulary, size = runs.read_tokenizer(
      workdir, self.config
    )
    self._model = steps.make_model(self.config, size, len(self.labels))
    params = steps.abstract_params(self._model)
    self._params = checkpoints.restore_best_params(workdir, params)

  @functools.partial(jax.jit, static_argnums=0)
  def _apply(self, params, tokens_BxT, lengths_B):
    logits_BxC, alpha_BxT = self._model.apply(
      {'params': params}, tokens_BxT, lengths_B
    )
    return losses.probabilities(logits_BxC, self.config.loss), alpha_BxT

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
    no_labels = np.zeros(len(texts), np.int32)
    answers = [None] * len(texts)
    for length, rows in plan:
      batch = batching.padded_batch(
        encoded, no_labels, rows, length, self._batch_size
      )
      found, alpha = jax.device_get(
        self._apply(self._params, batch['tokens'], batch['lengths'])
      )
      for i, row in enumerate(rows):
        shown = self._shown(texts[row])[: self.config.max_length]
        answers[row] = {
          'label': self.labels[int(found[i].argmax())],
          'probabilities': dict(zip(self.labels, found[i].tolist())),
          'attention': list(
            zip(shown or [text.UNK], alpha[i, : batch['lengths'][i]].tolist())
          ),
        }
    return answers
