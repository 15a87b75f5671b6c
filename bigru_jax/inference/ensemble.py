"""Averages the probabilities of trained runs, for example one per seed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
import dataclasses
import itertools
import os
from typing import Any

import numpy as np
import pyarrow as pa

from bigru_jax.data.memory import check_texts, column
from bigru_jax.evaluation.evaluation import (
  Evaluation,
  evaluate_probabilities,
)
from bigru_jax.inference.label_ids import to_columns
from bigru_jax.inference.load import load
from bigru_jax.inference.overview import describe_data, describe_scores
from bigru_jax.inference.predictions import Predictions, choose_fields, names_of
from bigru_jax.inference.predictor import Predictor
from bigru_jax.inference.run import BATCH_SIZE, Run
from bigru_jax.inference.tables import TABLE_FIELDS, predict_table
from bigru_jax.losses import Activation
from bigru_jax.rundir import files as run_files, published
from bigru_jax.runtime import facts
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import Task

_FIELDS = 'label', 'probabilities', 'truncated', 'empty', 'members'


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnsemblePredictor:
  """The predictors of several runs; see `Predictor`.

  Attributes:
    members: the predictors.
    task, labels: those of the first run.
    thresholds, fields: see `Ensemble`.
  """

  members: list[Predictor]
  task: Task
  labels: list[str]
  thresholds: np.ndarray
  fields: list[str]

  def predict(self, texts: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the answers of `Ensemble.predict`."""
    return list(self.stream(texts))

  def stream(self, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yields the answers of `Ensemble.predict`, in constant memory."""
    for predictions in self.chunks(texts):
      yield from predictions.answers()

  def chunks(self, texts: Iterable[str]) -> Iterator[Predictions]:
    """Yields the predictions of chunks of texts as columns."""
    copies = itertools.tee(
      check_texts(texts, self.members[0].num_texts), len(self.members)
    )
    streams = [x.chunks(copy) for x, copy in zip(self.members, copies)]
    yield from map(self._mean, zip(*streams))

  def no_predictions(self) -> Predictions:
    """Returns the predictions of no texts."""
    return self._mean([x.no_predictions() for x in self.members])

  def _mean(self, chunks: Sequence[Predictions]) -> Predictions:
    """Returns the mean of the predictions of each run."""
    members = [predictions.columns for predictions in chunks]
    stacked = np.stack([x['probabilities'] for x in members])
    probabilities_NxC = stacked.mean(0, dtype=np.float64)
    classes = self.task.decide(probabilities_NxC, self.thresholds)
    columns = {
      'label': names_of(classes, self.labels),
      'probabilities': probabilities_NxC,
      'truncated': list(map(any, zip(*(x['truncated'] for x in members)))),
      'empty': members[0]['empty'],
      'members': list(map(list, zip(*(x['label'] for x in members)))),
    }
    return dataclasses.replace(chunks[0], columns=columns).only(self.fields)

  def warm_up(self) -> None:
    """Compiles the programs of all runs; see `Predictor.warm_up`."""
    for predictor in self.members:
      predictor.warm_up()


class Ensemble:
  """The mean of the probabilities of several runs.

  Lakshminarayanan et al., 2017, https://arxiv.org/abs/1612.01474.

  The thresholds are the means of the runs' thresholds. If only some runs of two
  classes have one, the others count with 0.5. A mean of probabilities has no
  temperature, so it cannot be calibrated.

  Attributes:
    members: the runs.
    config, labels: those of the first run; all have its task, labels and
      activation.
    fields: the names of the fields of its predictions; see `predict`.
  """

  def __init__(self, members: Sequence[Run]) -> None:
    """Combines runs of one task, loss and list of labels.

    Args:
      members: the runs.

    Raises:
      ValueError: there are none, or they differ in task, activation or labels;
        or some have a threshold of another positive label.
    """
    self.members = list(members)
    if not self.members:
      raise ValueError('members: there is no run')
    first = self.members[0]
    self.fields = list(_FIELDS)
    self.config, self.labels = first.config, first.labels
    self._task = first.task
    for run in self.members[1:]:
      if _kind(run) != _kind(first):
        raise ValueError(
          f'workdir={run.workdir}: its task, activation or labels are not '
          f'those of {first.workdir}'
        )
    self._thresholds = _mean_thresholds(self.members)

  def __repr__(self) -> str:
    """Returns its data, and the directory and the scores of each run."""
    return facts.as_text(self._title(), self._facts())

  def _repr_html_(self) -> str:
    return facts.as_html(self._title(), self._facts())

  def _title(self) -> str:
    count = len(self.members)
    return f'Ensemble of {count} run{"s" * (count > 1)}'

  def _facts(self) -> dict[str, str]:
    scores = {
      str(run.workdir): describe_scores(run.workdir, run.config)
      for run in self.members
    }
    first = self.members[0]
    return describe_data(first.workdir, self.config, self.labels) | scores

  def __reduce__(self) -> Any:
    """Raises TypeError, since compiled programs belong to this process."""
    raise TypeError(
      'an ensemble cannot be pickled: bigru_jax.load_ensemble(workdirs) '
      'opens it in another process'
    )

  def predict(
    self,
    texts: Sequence[str],
    batch_size: int = BATCH_SIZE,
    fields: Collection[str] | None = None,
  ) -> list[dict[str, Any]]:
    """Predicts every text, in order; see `Run.predict`.

    Returns:
      A dict per text: `label`, `probabilities`, `truncated`, `empty`, and
      `members`, the label of each run; or only the given `fields`. For the
      attention, load a single run.
    """
    return list(self.stream(texts, batch_size, fields))

  def stream(
    self,
    texts: Iterable[str],
    batch_size: int = BATCH_SIZE,
    fields: Collection[str] | None = None,
  ) -> Iterator[dict[str, Any]]:
    """Predicts like `predict`, in chunks and in constant memory."""
    predictor = self.predictor(batch_size, fields, fixed_shapes=False)
    return predictor.stream(texts)

  def predict_table(
    self,
    table: pa.Table | pa.RecordBatch,
    batch_size: int = BATCH_SIZE,
    fields: Collection[str] | None = TABLE_FIELDS,
    text_column: str = '',
  ) -> pa.Table | pa.RecordBatch:
    """Predicts the texts of a PyArrow table; see `Run.predict_table`."""
    predictor = self.predictor(batch_size, fields, fixed_shapes=False)
    column = text_column or self.config.text_column
    return predict_table(predictor, table, column)

  def predictor(
    self,
    batch_size: int = 1,
    fields: Collection[str] | None = None,
    fixed_shapes: bool = True,
  ) -> EnsemblePredictor:
    """Returns what predicts few texts at a time; see `Run.predictor`."""
    return EnsemblePredictor(
      members=[
        run.predictor(
          batch_size, fields=_FIELDS[:-1], fixed_shapes=fixed_shapes
        )
        for run in self.members
      ],
      task=self._task,
      labels=self.labels,
      thresholds=self._thresholds,
      fields=choose_fields(fields, self.fields),
    )

  @single_precision()
  def evaluate(
    self,
    texts: Sequence[str],
    labels: Sequence[Any],
    batch_size: int = BATCH_SIZE,
    origins: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
  ) -> Evaluation:
    """Returns metrics and scores by class of texts; see `Run.evaluate`.

    The loss is the cross entropy of the mean probabilities, without smoothing
    or weights of classes.
    """
    texts, labels = (
      list(check_texts(texts, self.config.num_texts)),
      column(labels, 'labels'),
    )
    evaluations = [
      run.evaluate(texts, labels, batch_size, origins=origins, weights=weights)
      for run in self.members
    ]
    first = self.members[0]
    columns = to_columns(
      labels, weights, self.labels, first.workdir, first.config
    )
    return evaluate_probabilities(
      self._task,
      self.labels,
      evaluations[0].labels,
      np.mean([x.probabilities for x in evaluations], axis=0),
      self._thresholds,
      columns.get('example_weight'),
      columns.get('target'),
    )


def _kind(run: Run) -> tuple[str, Activation, list[str]]:
  return run.config.task, run.task.activation, run.labels


def _mean_thresholds(members: Sequence[Run]) -> np.ndarray:
  """Returns the means of the thresholds; none if no run has any."""
  thresholds = [run.calibration.thresholds for run in members]
  if not any(thresholds):
    return np.array([])
  first = members[0]
  for run in members[1:]:
    if run.task.positive != first.task.positive:
      raise ValueError(
        f'workdir={run.workdir}: its positive label is not that of '
        f'{first.workdir}, so their thresholds have no mean; train both with '
        'the same positive_label'
      )
  return np.mean([values or (0.5,) for values in thresholds], axis=0)


def load_ensemble(
  workdirs: Sequence[str | os.PathLike], embeddings: str = ''
) -> Ensemble:
  """Opens several run directories as one model.

  Args:
    workdirs: the run directories.
    embeddings: see `load`; it is passed to runs that started from vectors.

  Raises:
    FileNotFoundError, ValueError: see `load` and `Ensemble`; or `embeddings` is
      given for runs from files of vectors and for runs from a run.
  """
  paths = list(map(published.find, workdirs))
  configs = [run_files.read_config(path) for path in paths]
  if embeddings and all(
    any(getattr(config, name) for config in configs)
    for name in ('embeddings', 'init_from')
  ):
    raise ValueError(
      f'embeddings={embeddings}: some of the runs started from files, and '
      'others from a run'
    )
  vectors = [embeddings if x.embeddings or x.init_from else '' for x in configs]
  return Ensemble(list(map(load, paths, vectors)))
