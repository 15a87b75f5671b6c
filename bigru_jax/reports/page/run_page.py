"""Writes the page at the end of a run, from outputs of its last evaluation."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from typing import Any

import jax
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.encode import encode_texts
from bigru_jax.data.prepare import Dataset
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.evaluation.evaluation import Evaluation, label_names
from bigru_jax.explain import choice
from bigru_jax.explain.predictions import TrainedModel
from bigru_jax.inference.predictions import fields_of, make_predictions
from bigru_jax.models.classifier import Outputs
from bigru_jax.reports.page.page import note_on_test, write_page
from bigru_jax.reports.page.shading import Attribute
from bigru_jax.rundir import files as run_files
from bigru_jax.runtime import distributed
from bigru_jax.tasks import Task

# The maximal number of weights on the page; each token has one weight per head.
_TOKENS = 400_000
_log = logging.getLogger(__name__)


class PageOutputs:
  """The model's outputs for the texts of the page.

  Attributes:
    indices: the indices of these texts in the test split.
    batches: for each batch, the indices of its texts on the page, and their
      `Outputs` as NumPy arrays.
  """

  def __init__(self, split: EncodedSplit, config: Config, task: Task) -> None:
    heads = config.pooling_entry.num_weights(config.num_heads, task.num_outputs)
    indices = np.flatnonzero([x is not None for x in split.table['text']])
    weights = heads * int(split.table['tokens'].lengths[indices].sum())
    self.indices = indices[:: max(1, -(-weights // _TOKENS))]
    self._is_shown = np.isin(np.arange(len(split)), self.indices)
    self.batches: list[tuple[np.ndarray, Any]] = []

  def add(self, indices: np.ndarray, outputs: Outputs) -> None:
    """Keeps the outputs for the page's texts of a batch."""
    positions = np.flatnonzero(self._is_shown[indices])
    # All processes do this or none, because they share the indices.
    if len(positions):
      outputs = jax.tree.map(lambda x: x[positions], parallel.fetch(outputs))
      self.batches.append((indices[positions], outputs))


def compile_explanations(
  config: Config, data: Dataset, trained: TrainedModel
) -> None:
  """Compiles what `write_run_page` explains with; see `compile_ahead`."""
  indices = PageOutputs(data.splits['test'], config, trained.task).indices
  sample, _ = _explained_splits(config, data, indices)
  choice.compile_ahead(trained, sample, choice.page_methods(config.pooling))


def write_run_page(
  workdir: pathlib.Path,
  config: Config,
  data: Dataset,
  task: Task,
  calibration: Calibration,
  evaluation: Evaluation,
  outputs: PageOutputs,
  trained: TrainedModel | None = None,
) -> None:
  """Writes report.html and faithfulness.json, in the main process.

  A failure is only logged, because the run is complete without its page.

  Args:
    workdir: the run directory, with all its other files.
    config, data, task, calibration: those of the run.
    evaluation: the evaluation on the test split.
    outputs: the outputs for test texts, so that nothing is predicted again.
    trained: the model that explains the predictions; None for a page that is
      shaded by attention alone, without faithfulness.json.
  """
  if not distributed.is_main():
    return
  try:
    table, indices = data.splits['test'].table, outputs.indices
    attribute = None
    if trained:
      attribute = _explainer(workdir, config, data, trained, indices)
    texts = [table['text'][i] for i in indices]
    batches = [
      (
        np.searchsorted(indices, batch),
        (evaluation.probabilities[batch], logits_BxC, attention, heads_BxK),
      )
      for batch, (logits_BxC, attention, heads_BxK) in outputs.batches
    ]
    predictions = make_predictions(
      batches,
      task=task,
      labels=data.labels,
      head_names=config.head_names,
      thresholds=calibration.thresholds,
      texts=texts,
      encoded_texts=encode_texts(
        texts,
        data.tokenizer,
        config.limits,
        with_tokens=True,
        with_spans=True,
      ),
      fields=fields_of(config),
    )
    write_page(
      workdir / 'report.html',
      workdir,
      texts,
      predictions.answers(),
      [label_names(evaluation.labels[i], data.labels) for i in indices],
      [table.place(i) for i in indices],
      note_on_test(len(table), len(indices)),
      attribute=attribute,
    )
  except Exception as error:  # Tokenizers of libraries raise their own errors.
    _log.warning(
      'report.html is not written: %s: %s', type(error).__name__, error
    )


def _explainer(
  workdir: pathlib.Path,
  config: Config,
  data: Dataset,
  trained: TrainedModel,
  indices: np.ndarray,
) -> Attribute:
  """Returns what explains the page's texts and writes faithfulness.json."""

  def attribute(order):
    methods = choice.page_methods(config.pooling)
    sample, page_texts = _explained_splits(config, data, indices)
    chosen = choice.choose(trained, sample, methods, config.seed)
    attributions = choice.attributions_within(
      trained, page_texts, methods, order
    )
    attributions.pop('attention', None)  # The page has that of each head.
    path = workdir / 'faithfulness.json'
    run_files.write_json(path, dataclasses.asdict(chosen))
    return attributions

  def attribute_or_warn(order):
    try:
      return attribute(order)
    except Exception as error:  # Of XLA, for example if memory is short.
      name = type(error).__name__
      _log.warning('the predictions are not explained: %s: %s', name, error)
      return {}

  return attribute_or_warn


def _explained_splits(
  config: Config, data: Dataset, indices: np.ndarray
) -> tuple[EncodedSplit, EncodedSplit]:
  """Returns the texts that attributions are compared on, and the page's."""
  test = data.splits['test']
  methods = choice.page_methods(config.pooling)
  return choice.with_same_shapes(
    choice.sample(data.splits['validation'], methods, config.seed),
    dataclasses.replace(test, table=test.table.take(indices)),
  )
