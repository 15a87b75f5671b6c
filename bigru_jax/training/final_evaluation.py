"""Evaluates a trained run on validation and test, and makes its report."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Any

import jax
import numpy as np
from scipy import special

import bigru_jax
from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.splits import Table
from bigru_jax.evaluation.calibration import (
  TEMPERATURE_BOUNDS,
  Calibration,
  fit_temperature,
)
from bigru_jax.evaluation.curves import decision_curves
from bigru_jax.evaluation.diagnostics import diagnose
from bigru_jax.evaluation.evaluation import Evaluation, evaluate_logits
from bigru_jax.evaluation.intervals import intervals_of
from bigru_jax.metrics import names_in
from bigru_jax.metrics.thresholds import fit_thresholds
from bigru_jax.reports.page.run_page import PageOutputs
from bigru_jax.tasks import MultiLabel, Task
from bigru_jax.training.fit import Progress
from bigru_jax.training.trainer import Trainer

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """The results of a run at its end.

  Attributes:
    evaluation: the evaluation of `test` by the best model.
    calibration: the calibration that was fitted on validation.
    result: the content of result.json.
    diagnostics: the content of diagnostics.json.
    predictions: the lines of predictions-<split>.jsonl by split.
    outputs: the model's outputs for the texts of the page, if it has one.
  """

  evaluation: Evaluation
  calibration: Calibration
  result: dict[str, Any]
  diagnostics: dict[str, Any]
  predictions: dict[str, list[dict[str, Any]]]
  outputs: PageOutputs | None = None

  def files(self) -> dict[str, Any]:
    """Returns the contents of the run's files by name."""
    predictions = {
      f'predictions-{name}.jsonl': lines
      for name, lines in self.predictions.items()
    }
    return predictions | {
      'calibration.json': dataclasses.asdict(self.calibration),
      'diagnostics.json': self.diagnostics,
      'result.json': self.result,
    }

  def log_line(self) -> dict[str, Any]:
    """Returns the line of metrics.jsonl."""
    best = {
      'step': self.result['best_step'],
      'epoch': self.result['best_epoch'],
    }
    return {**best, 'split': 'test', **self.result['test']}


def test(
  trainer: Trainer, task: Task, data: Dataset, progress: Progress
) -> Report:
  """Evaluates the best model on validation and test, and calibrates it.

  Args:
    trainer: the trainer, with the parameters of the best epoch.
    task: the task.
    data: the run's data.
    progress: the progress at the end of training.
  """
  config, best = trainer.config, progress.best
  assert best is not None
  logits, metrics = {}, {}
  outputs = PageOutputs(data.splits['test'], config, task)
  for name, on_batch in (('validation', None), ('test', outputs.add)):
    metrics[name], logits[name] = trainer.evaluate(
      data.splits[name], with_attention=name == 'test', on_batch=on_batch
    )
  report = make_report(config, task, data, logits, metrics)
  report.result.update(
    best_epoch=best['epoch'],
    best_step=best['step'],
    **_without_unseen(trainer, task, report.calibration, data),
    **costs(trainer, progress),
  )
  return dataclasses.replace(report, outputs=outputs)


def make_report(
  config: Config,
  task: Task,
  data: Dataset,
  logits: dict[str, np.ndarray],
  metrics: dict[str, dict[str, Any]],
) -> Report:
  """Calibrates a model on its validation logits, and reports on both splits.

  Args:
    config, task, data: those of the run.
    logits: the logits of `validation` and `test`.
    metrics: the metrics of these splits, see `evaluation.evaluate_logits`.
  """
  labels = {name: data.splits[name].label_array() for name in logits}
  calibration = _calibrate(
    config, task, logits['validation'], data.splits['validation']
  )
  evaluations = {
    name: evaluate_logits(
      task,
      data.labels,
      labels[name],
      logits[name],
      calibration,
      metrics[name],
      weights=data.splits[name].example_weights(),
    )
    for name in logits
  }
  return Report(
    evaluation=evaluations['test'],
    calibration=calibration,
    result={
      'version': bigru_jax.__version__,
      'finished': datetime.datetime.now(datetime.UTC).isoformat(
        timespec='seconds'
      ),
      'dataset': data.name,
      'validation': evaluations['validation'].metrics,
      'test': evaluations['test'].metrics,
      'temperature': calibration.temperature,
      'intervals': {'test': _intervals(config, evaluations['test'])},
      'test_report': evaluations['test'].report,
    },
    diagnostics={
      **diagnose(data, evaluations['test']),
      'curves': decision_curves(
        task,
        data.labels,
        labels['test'],
        logits['test'],
        evaluations['test'].predictions,
        calibration.thresholds,
        data.splits['test'].example_weights(),
      ),
    },
    predictions={
      name: _lines(evaluation, data.splits[name].table)
      for name, evaluation in evaluations.items()
    },
  )


def _intervals(
  config: Config, evaluation: Evaluation
) -> dict[str, dict[str, Any]]:
  """Returns the intervals of the metrics by which a run is judged."""
  assert evaluation.scored is not None
  names = {'accuracy', 'macro_f1', config.select_by, *names_in(config.metrics)}
  intervals = intervals_of(evaluation.scored, names)
  return {name: dataclasses.asdict(x) for name, x in intervals.items()}


def _lines(evaluation: Evaluation, table: Table) -> list[dict[str, Any]]:
  """Returns the lines of a predictions file."""
  return evaluation.answers(
    table['row'].tolist(),
    table['source'].tolist(),
    ids=table.columns.get('id', ()),
  )


def _calibrate(
  config: Config, task: Task, logits_NxC: np.ndarray, split: EncodedSplit
) -> Calibration:
  """Fits the temperature by cross entropy, and chooses the thresholds."""
  labels, weights = split.label_array(), split.example_weights()
  target = split.table.columns.get('target')
  temperature = fit_temperature(task, logits_NxC, labels, target, weights)
  if temperature in TEMPERATURE_BOUNDS:
    _log.warning(
      'the temperature is at its bound, %.3g: validation has too few texts or '
      'mistakes to calibrate probabilities',
      temperature,
    )
  setting, metric = config.threshold, config.threshold_metric
  if isinstance(task, MultiLabel):
    probabilities = special.expit(logits_NxC.astype(np.float64))
    thresholds = fit_thresholds(setting, labels, probabilities, metric, weights)
    return Calibration(temperature, thresholds)
  if task.positive is None:
    return Calibration(temperature)
  thresholds = ()
  if setting == 'tuned':
    thresholds = fit_thresholds(
      setting,
      (labels == task.positive)[:, None],
      special.expit(task.log_odds(logits_NxC))[:, None],
      metric,
      weights,
    )
  return Calibration(temperature, thresholds, task.labels[task.positive])


def _without_unseen(
  trainer: Trainer, task: Task, calibration: Calibration, data: Dataset
) -> dict[str, Any]:
  """Returns the test metrics with unseen words as <unk>, if they may differ.

  In `test` these words have their pretrained vectors, as in predictions while
  the file of vectors exists, and the vectors of their n-grams.
  """
  if not data.vectors and not trainer.config.char_embeddings:
    return {}
  split = data.splits['test'].mask_unseen(data.seen)
  metrics, logits_NxC = trainer.evaluate(split, with_attention=True)
  evaluation = evaluate_logits(
    task,
    data.labels,
    split.label_array(),
    logits_NxC,
    calibration,
    metrics,
    weights=split.example_weights(),
  )
  return {'test_without_vectors_of_unseen_words': evaluation.metrics}


def costs(trainer: Trainer, progress: Progress) -> dict[str, Any]:
  """Returns the times, rates and sizes of training."""
  config, train = trainer.config, trainer.splits['train']
  seconds = max(progress.train_seconds, 1e-9)
  plan = train.plan(config.batch_size, config.seed)
  return {
    'train_seconds': round(progress.train_seconds, 3),
    'examples_per_second': round(progress.examples / seconds, 1),
    'tokens_per_second': round(progress.tokens / seconds, 1),
    'compile_seconds': round(trainer.compile_seconds, 3),
    'save_seconds': round(progress.save_seconds, 3),
    'nonfinite_steps': sum(
      line.get('nonfinite_steps', 0) for line in progress.lines
    ),
    'padding_fraction': train.padding_fraction(plan, config.batch_size),
    'parameters': sum(
      parameter.size for parameter in jax.tree.leaves(trainer.state.params)
    ),
  }
