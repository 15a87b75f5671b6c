"""The training loop, with validation, selection, early stopping and saving."""

from __future__ import annotations

from collections.abc import Callable, Generator
import contextlib
import dataclasses
import math
from typing import Any

from bigru_jax.config import Config
from bigru_jax.evaluation.scoring import compute_of_epoch, names_of_epoch
from bigru_jax.metrics import METRICS, renamed, shown
from bigru_jax.rundir.checkpoints import Checkpoints
from bigru_jax.rundir.directory import RunDirectory
from bigru_jax.runtime import distributed
from bigru_jax.runtime.preemption import Preempted
from bigru_jax.training.display import Display
from bigru_jax.training.trainer import EpochSummary, Step, Trainer


@dataclasses.dataclass
class Progress:
  """The progress of a run, which each checkpoint saves as JSON.

  Attributes:
    epoch: the current epoch, from 1.
    batch: the number of batches done in it.
    best: the best epoch's validation metrics with its `step` and `epoch`.
    epochs_without_improvement: the number of epochs since the best one.
    lines: the lines of metrics.jsonl.
    train_seconds, examples, tokens: the sums over the finished epochs; see
      `EpochSummary`.
    save_seconds: the time that training has spent waiting for saving.
  """

  epoch: int = 1
  batch: int = 0
  best: dict[str, Any] | None = None
  epochs_without_improvement: int = 0
  lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  train_seconds: float = 0.0
  examples: int = 0
  tokens: int = 0
  save_seconds: float = 0.0

  def is_finished(self, config: Config) -> bool:
    """Returns whether no epoch is left to train."""
    out_of_patience = self.epochs_without_improvement >= config.patience
    return self.epoch > config.epochs or out_of_patience

  def end_epoch(self, summary: EpochSummary, is_best: bool) -> None:
    """Adds an epoch to the sums, and keeps its last line if it is the best."""
    self.train_seconds += summary.seconds
    self.examples += summary.examples
    self.tokens += summary.tokens
    self.epochs_without_improvement += 1
    if is_best:
      self.best = {k: v for k, v in self.lines[-1].items() if k != 'split'}
      self.epochs_without_improvement = 0


def fit(
  trainer: Trainer,
  directory: RunDirectory,
  stop: Callable[[], bool] = lambda: False,
  display: Display | None = None,
) -> Progress:
  """Trains, selects the best epoch by validation, and stops early.

  Args:
    trainer: the trainer, which has the best epoch's parameters at the end.
    directory: the run directory; the run resumes from its last checkpoint.
    stop: called after each step; if it returns True on any process, all
      processes save and exit.
    display: what shows the progress; by default that of `Display()`.

  Raises:
    Preempted: `stop` returned True; the progress is saved.
    ValueError: no epoch had a finite validation loss.
  """
  config, display = trainer.config, display or Display()
  asked_to_stop = stop
  stop = distributed.stop_together(
    lambda: asked_to_stop() or directory.has_failed(), trainer.wait
  )
  with contextlib.closing(directory.open_checkpoints()) as checkpoints:
    progress = _resume(trainer, checkpoints, display)
    # Until `stop` is called for the first time, a signal that
    # `stop_on_signals` receives ends the process; from now on, it saves.
    if stop():
      raise _preempted(progress)
    directory.restart_log(progress.lines)
    remaining_steps = training_steps(trainer, progress, display)
    with contextlib.closing(remaining_steps) as steps:
      for step in steps:
        if step.summary:
          line = _validate(trainer, directory, progress, step, step.summary)
          display.line('%s', line)
        stopping = stop() and not progress.is_finished(config)
        is_due = step.number % config.checkpoint_every == 0
        if step.summary or stopping or is_due:
          progress.save_seconds = checkpoints.seconds
          checkpoints.save(trainer.state, dataclasses.asdict(progress))
        if stopping:
          raise _preempted(progress)
    if progress.best is None:
      raise ValueError(
        'no epoch had a finite validation loss; try a lower learning_rate'
      )
    best_step = progress.best['step']
    trainer.state = checkpoints.restore_best(trainer.state, best_step)
  progress.save_seconds = checkpoints.seconds
  return progress


def training_steps(
  trainer: Trainer, progress: Progress, display: Display
) -> Generator[Step]:
  """Yields after each step of the remaining epochs."""
  config = trainer.config
  while not progress.is_finished(config):
    for step in display.bar(
      trainer.train_epoch(progress.epoch, progress.batch),
      f'epoch {progress.epoch}/{config.epochs}',
      total=trainer.steps_per_epoch,
      done=progress.batch,
    ):
      progress.batch = step.batch
      if step.summary:
        progress.epoch, progress.batch = step.epoch + 1, 0
      yield step
  if progress.epoch <= config.epochs:
    display.line('no improvement in %d epochs: stopping', config.patience)


def _resume(
  trainer: Trainer, checkpoints: Checkpoints, display: Display
) -> Progress:
  """Restores the trainer's state, and returns the progress so far."""
  restored = checkpoints.restore(trainer.state)
  if restored is None:
    return Progress()
  trainer.state, saved_progress = restored
  progress = Progress(**saved_progress)
  checkpoints.seconds += progress.save_seconds
  progress.lines = [renamed(line) for line in progress.lines]
  progress.best = progress.best and renamed(progress.best)
  if progress.is_finished(trainer.config):
    display.line('training is finished: the best model is tested again')
  else:
    display.line(
      'resuming at epoch %d, batch %d', progress.epoch, progress.batch
    )
  return progress


def _preempted(progress: Progress) -> Preempted:
  return Preempted(f'stopped at epoch {progress.epoch}, batch {progress.batch}')


def _validate(
  trainer: Trainer,
  directory: RunDirectory,
  progress: Progress,
  step: Step,
  summary: EpochSummary,
) -> str:
  """Evaluates the validation split, ends the epoch, and describes it."""
  config, metrics = trainer.config, _evaluate_validation(trainer)
  select_by = config.select_by
  is_best = math.isfinite(metrics['loss']) and (
    progress.best is None
    or METRICS[select_by].is_better(
      metrics[select_by], progress.best[select_by]
    )
  )
  for split, values in (
    ('train', summary.metrics()), ('validation', metrics),
  ):  # fmt: skip
    line = {'step': step.number, 'epoch': step.epoch, 'split': split}
    progress.lines.append(line | values)
    directory.log(progress.lines[-1])
  names = [
    name
    for name, metric in METRICS.items()
    if name in metrics and (metric.brief or name == select_by)
  ]
  if config.metrics:
    names = [*shown(metrics, config.metrics)]
  progress.end_epoch(summary, is_best)
  scores = '  '.join(f'{name} {metrics[name]:.4f}' for name in names)
  tokens_per_second = summary.metrics()['tokens_per_second']
  return (
    f'epoch {step.epoch:2}  train loss {summary.loss:.4f}  validation {scores}'
    f'  {tokens_per_second:.0f} tokens/s{"  * best" if is_best else ""}'
  )


def _evaluate_validation(trainer: Trainer) -> dict[str, Any]:
  """Returns the metrics of validation that are known after an epoch."""
  task, split = trainer.task, trainer.splits['validation']
  names = names_of_epoch(trainer.config, task, split)
  metrics, logits_NxC = trainer.evaluate(split, keep_logits=bool(names))
  return metrics | compute_of_epoch(task, split, logits_NxC, names)
