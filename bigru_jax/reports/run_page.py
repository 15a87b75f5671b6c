"""The page that a run ends with, of the outputs of its last evaluation."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

import jax
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data import sources
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.encode import encode, kept_spans
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.sources import Corpus
from bigru_jax.evaluation.calibration import Calibration
from bigru_jax.evaluation.evaluation import Evaluation
from bigru_jax.inference.predictions import fields_of, make_answers
from bigru_jax.models.classifier import Outputs
from bigru_jax.reports.page import note_on_test, write_page
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.examples import find_examples
from bigru_jax.runtime import distributed
from bigru_jax.tasks import Task

# The most texts and tokens of a page that is written without being asked for;
# with several heads each token has as many weights, so there are fewer tokens.
_TEXTS, _TOKENS = 10_000, 400_000
_log = logging.getLogger(__name__)


class PageOutputs:
  """The model's outputs for the texts of the page.

  Attributes:
    every: the page shows every so many-th text of the split.
    batches: of each batch, which of these texts it has, and their `Outputs`,
      as NumPy arrays.
  """

  def __init__(self, split: EncodedSplit, config: Config, task: Task) -> None:
    heads = config.pooling_entry.num_weights(config.num_heads, task.num_outputs)
    weights = heads * int(split.table['tokens'].lengths.sum())
    self.every = max(1, -(-len(split) // _TEXTS), -(-weights // _TOKENS))
    self.batches: list[tuple[np.ndarray, Any]] = []

  def add(self, rows: np.ndarray, outputs: Outputs) -> None:
    """Keeps what the page shows of a batch; see `steps.evaluate`."""
    places = np.flatnonzero(rows % self.every == 0)
    if len(places):  # On all processes or on none, for they share the rows.
      kept = jax.tree.map(lambda x: x[places], parallel.fetch(outputs))
      self.batches.append((rows[places] // self.every, kept))


def write_run_page(
  workdir: pathlib.Path,
  config: Config,
  data: Dataset,
  task: Task,
  calibration: Calibration,
  evaluation: Evaluation,
  outputs: PageOutputs,
  corpus: Corpus | None,
) -> None:
  """Writes report.html, without a new prediction.

  A failure is logged, for the run is complete without its page. Of several
  processes, the main one writes it.

  Args:
    workdir: the run directory, with all its other files.
    config, data, task, calibration: of the run.
    evaluation: on its test split.
    outputs: for texts of that.
    corpus: its data set in memory, if it has one.
  """
  if not distributed.is_main():
    return
  try:
    lines = run_files.read_predictions(workdir, 'test')
    note = note_on_test(len(lines), outputs.every)
    examples = find_examples(
      lines[:: outputs.every], sources.read(config, corpus), data.identity
    )
    texts = [example.text for example in examples]
    limits = config.limits
    kept, _ = encode(texts, data.tokenizer, limits)
    spans = [kept_spans(text, data.tokenizer, limits) for text in texts]
    answers: dict[int, dict[str, Any]] = {}
    probabilities_NxC = evaluation.probabilities[:: outputs.every]
    for indices, (logits_BxC, attention, heads_BxK) in outputs.batches:
      answers |= make_answers(
        indices,
        (probabilities_NxC[indices], logits_BxC, attention, heads_BxK),
        task=task,
        labels=data.labels,
        thresholds=calibration.thresholds,
        texts=texts,
        kept=kept,
        spans=spans,
        fields=fields_of(config),
      )
    write_page(
      workdir / 'report.html',
      workdir,
      texts,
      [answers[i] for i in range(len(texts))],
      [example.label for example in examples],
      [f'{example.source}, row {example.row}' for example in examples],
      note,
    )
  except Exception as error:  # A tokenizer of a library raises its own.
    _log.warning(
      'report.html is not written: %s: %s', type(error).__name__, error
    )
