"""The training loop: epochs, evaluation, selection, early stopping."""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import contextlib
import dataclasses
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from flax import linen as nn
import jax
from jax.sharding import Mesh
import numpy as np
from tqdm import tqdm

from bigru_jax import optimizers, parallel
from bigru_jax.data.batching import EncodedSplit, Plan
from bigru_jax.evaluation.steps import empty_metrics, evaluate, make_eval_step
from bigru_jax.models.classifier import Outputs
from bigru_jax.rundir import files as run_files
from bigru_jax.rundir.checkpoints import Checkpoints
from bigru_jax.runtime import distributed
from bigru_jax.runtime.cores import cores
from bigru_jax.runtime.preemption import Preempted
from bigru_jax.tasks import Task, make_loss_fn
from bigru_jax.training.compiled import Programs
from bigru_jax.training.regularizers import regularized
from bigru_jax.training.state import TrainState
from bigru_jax.training.step import make_train_step

if TYPE_CHECKING:
  from bigru_jax.config import Config

_IN_FLIGHT = 4  # Steps dispatched before the host waits for one.
_COSTS = 'train_seconds', 'examples', 'tokens'
_log = logging.getLogger(__name__)


class Trainer:
  """The steps of one run, and what they have cost so far.

  `trained_words` is that of `optimizers.make_optimizer`.

  Attributes:
    splits: `train`, `validation` and `test`.
    state: the `TrainState` on the mesh.
    steps_per_epoch: batches of an epoch.
    train_seconds: spent in the training loop, without waiting for compilation.
    examples, tokens: trained on, padding left out.
  """

  def __init__(
    self,
    config: Config,
    mesh: Mesh,
    model: nn.Module,
    params: Any,
    task: Task,
    splits: dict[str, EncodedSplit],
    trained_words: int | None = None,
  ) -> None:
    self.config, self._mesh = config, mesh
    self.splits = {
      name: split.sharded(mesh.size) for name, split in splits.items()
    }
    self._task = task
    self._share = parallel.share_of_batch(mesh)
    self.steps_per_epoch = len(
      splits['train'].plan(config.batch_size, config.seed)
    )
    optimizer = optimizers.make_optimizer(
      config.optimizer,
      optimizers.make_schedule(
        config.schedule,
        config.learning_rate,
        config.warmup,
        self.steps_per_epoch * config.epochs,
      ),
      weight_decay=config.weight_decay,
      clip_norm=config.clip_norm,
      freeze_embeddings=config.freeze_embeddings,
      embedding_learning_rate_factor=config.embedding_learning_rate_factor,
      trained_words=trained_words,
    )
    self.state = self._place(
      TrainState.create(params, optimizer, averaged=config.ema_decay > 0)
    )
    model = model.clone(embedding_axis=parallel.embedding_axis(params, mesh))
    loss_fn = regularized(
      make_loss_fn(model, task),
      task,
      config.embedding_size,
      adversarial=config.adversarial,
      virtual_adversarial=config.virtual_adversarial,
      attention_penalty=config.attention_penalty,
    )
    self._compiler = ThreadPoolExecutor(cores())
    self._train_step = Programs(
      make_train_step(
        loss_fn,
        optimizer,
        mesh,
        config.seed,
        weight_drop_rate=config.weight_drop,
        ema_decay=config.ema_decay,
      ),
      self._compiler,
    )
    self._eval_step = Programs(
      make_eval_step(model, task, mesh), self._compiler
    )
    self._attention_step = Programs(
      make_eval_step(model, task, mesh, with_attention=True), self._compiler
    )
    self.train_seconds = 0.0
    self.examples = self.tokens = 0

  @property
  def compile_seconds(self) -> float:
    """Spent on waiting for compilation, one program per batch shape."""
    steps = self._train_step, self._eval_step, self._attention_step
    return sum(step.seconds for step in steps)

  def compile_ahead(self) -> None:
    """Starts to compile all programs, in the order in which they are used."""
    batch_size, seed = self.config.batch_size, self.config.seed
    metrics = empty_metrics(self._task, self._mesh)
    used = [('train', seed), ('validation', None), ('test', None)]
    for name, shuffled in used:
      split = self.splits[name]
      plan = split.plan(batch_size, shuffled, 1)
      for shape, rows in dict(plan[::-1]).items():
        batch = parallel.place_batch(
          split.share(rows, shape, batch_size, *self._share), self._mesh
        )
        if name == 'train':
          self._train_step.compile_ahead(self.state, batch)
        else:
          # The test split is evaluated with attention, see `evaluate`.
          step = self._attention_step if name == 'test' else self._eval_step
          step.compile_ahead(self.state.evaluated_params, metrics, batch)

  def close(self) -> None:
    """Ends the compiling threads; one still in XLA would abort the exit."""
    self._compiler.shutdown(cancel_futures=True)

  def evaluate(
    self,
    split: EncodedSplit,
    keep_logits: bool = True,
    on_batch: Callable[[np.ndarray, Outputs], None] | None = None,
  ) -> tuple[dict[str, Any], np.ndarray]:
    """The metrics of a split, and its logits; see `steps.evaluate`.

    `on_batch` is given the attention, too.
    """
    return evaluate(
      self._attention_step if on_batch else self._eval_step,
      self.state.evaluated_params,
      self._task,
      split,
      self.config.batch_size,
      self._mesh,
      keep_logits,
      on_batch,
    )

  def train_epoch(
    self,
    epoch: int,
    first: int = 0,
    after_step: Callable[[int], None] = lambda done: None,
  ) -> dict[str, Any]:
    """Trains through an epoch's plan.

    Args:
      epoch: counted from 1.
      first: the batch to begin with, above 0 in a resumed epoch.
      after_step: called with the number of batches done in this epoch.

    Returns:
      The epoch's mean `loss` and its `nonfinite_steps`; `examples_per_second`
      and `tokens_per_second` of what was trained here.

    Raises:
      ValueError: max_nonfinite_steps in a row had a loss or gradient that is
        not finite.
    """
    split, batch_size = self.splits['train'], self.config.batch_size
    plan = split.plan(batch_size, self.config.seed, epoch)
    if not first:
      self.state = self._place(
        self.state.replace(loss_sum=np.float32(0), nonfinite=np.int32(0))
      )
    start, compiled_before = time.perf_counter(), self.compile_seconds
    batches = parallel.prefetch_to_mesh(
      (
        split.share(rows, shape, batch_size, *self._share)
        for shape, rows in plan[first:]
      ),
      self._mesh,
    )
    in_flight: collections.deque = collections.deque()
    with contextlib.closing(batches):
      progress_bar = tqdm(
        batches,
        desc=f'epoch {epoch}',
        total=len(plan),
        initial=first,
        unit='batch',
        leave=False,
        disable=None if self._share[0] == 0 else True,  # On a terminal.
      )
      for done, batch in enumerate(progress_bar, first + 1):
        self.state, nonfinite = self._train_step(self.state, batch)
        in_flight.append((done, nonfinite))
        if len(in_flight) > _IN_FLIGHT:
          self._check_finite(epoch, plan, *in_flight.popleft())
        after_step(done)
    while in_flight:
      self._check_finite(epoch, plan, *in_flight.popleft())
    skipped = int(self.state.nonfinite)
    loss = float(self.state.loss_sum) / max(len(plan) - skipped, 1)
    seconds = time.perf_counter() - start
    seconds -= self.compile_seconds - compiled_before
    rows = np.concatenate(
      [np.zeros(0, np.int32), *(r for _, r in plan[first:])]
    )
    tokens = int(split.encoded.lengths[rows].sum())
    self.train_seconds += seconds
    self.examples += len(rows)
    self.tokens += tokens
    return {
      'loss': loss,
      'nonfinite_steps': skipped,
      'examples_per_second': round(len(rows) / seconds, 1),
      'tokens_per_second': round(tokens / seconds, 1),
    }

  def _place(self, state: TrainState) -> TrainState:
    return parallel.place(state, parallel.shardings(state, self._mesh))

  def _check_finite(
    self,
    epoch: int,
    plan: Plan,
    done: int,
    consecutive_nonfinite: jax.Array,
  ) -> None:
    """Raises where too many consecutive steps were not finite."""
    limit = self.config.max_nonfinite_steps
    if int(consecutive_nonfinite) >= limit:
      step = (epoch - 1) * len(plan) + done
      _, rows = plan[done - 1]
      raise ValueError(
        f'max_nonfinite_steps={limit}: the loss or its gradient was not finite '
        f'in {limit} consecutive steps, up to step {step}, whose batch holds '
        f'the training examples {sorted(rows.tolist())}; the last good '
        'checkpoint stays; try a lower learning_rate'
      )


@dataclasses.dataclass
class Progress:
  """How far a run is; saved as JSON with every checkpoint.

  Attributes:
    epoch: the one in training, from 1.
    batch: batches done in it.
    best: the best epoch's validation metrics with its `step` and `epoch`.
    epochs_without_improvement: since the best one.
    lines: those of metrics.jsonl.
    train_seconds, examples, tokens: see `Trainer`; of the epochs that ended.
  """

  epoch: int = 1
  batch: int = 0
  best: dict[str, Any] | None = None
  epochs_without_improvement: int = 0
  lines: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  train_seconds: float = 0.0
  examples: int = 0
  tokens: int = 0


def fit(
  trainer: Trainer,
  saved: Checkpoints,
  open_log: Callable[[list[dict[str, Any]]], run_files.MetricsLog],
  stop: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, Any], run_files.MetricsLog]:
  """Trains, selects the best epoch by validation, and stops early.

  Args:
    trainer: its parameters are the best epoch's in the end.
    saved: the run's checkpoints; where it has one, the run resumes from it.
    open_log: opens the log that holds the lines so far.
    stop: asked after every step whether to save and exit; where it says so on
      one of several processes, all of them do.

  Returns:
    The best epoch's validation metrics with its `epoch` and `step`, and the
    log.

  Raises:
    Preempted: `stop` said so; what was done is saved.
  """
  config, progress = trainer.config, Progress()
  stop = distributed.stop_together(
    stop, lambda: jax.block_until_ready(trainer.state)
  )
  resumed = saved.restore(trainer.state)
  if resumed:
    trainer.state, progress = resumed[0], Progress(**resumed[1])
    for name in _COSTS:
      setattr(trainer, name, getattr(progress, name))
    _log.info('resuming at epoch %d, batch %d', progress.epoch, progress.batch)

  def save(batches_done):
    progress.batch, progress.lines = batches_done, log.lines
    for name in _COSTS:
      setattr(progress, name, getattr(trainer, name))
    saved.save(trainer.state, dataclasses.asdict(progress))

  def leave():
    saved.wait()
    raise Preempted(
      f'stopped at epoch {progress.epoch}, batch {progress.batch}'
    )

  def after_step(done):
    if done == trainer.steps_per_epoch:
      return  # The epoch is evaluated before it is saved.
    step = (progress.epoch - 1) * trainer.steps_per_epoch + done
    stopping = stop()
    if stopping or step % config.checkpoint_every == 0:
      save(done)
    if stopping:
      leave()

  if stop():
    leave()
  log = open_log(progress.lines)  # From here on, a signal saves.
  while progress.epoch <= config.epochs:
    if progress.epochs_without_improvement >= config.patience:
      _log.info('no improvement in %d epochs: stopping', config.patience)
      break
    trained = trainer.train_epoch(progress.epoch, progress.batch, after_step)
    validated, _ = trainer.evaluate(
      trainer.splits['validation'], keep_logits=False
    )
    at = {'step': int(trainer.state.step), 'epoch': progress.epoch}
    log.add({**at, 'split': 'train', **trained})
    log.add({**at, 'split': 'validation', **validated})
    improved = _improves(validated, progress.best, config.select_by)
    shown = ['loss', 'accuracy']
    shown += [config.select_by] if config.select_by not in shown else []
    _log.info(
      'epoch %2d  train loss %.4f  validation %s  %.0f tokens/s%s',
      progress.epoch,
      trained['loss'],
      '  '.join(f'{name} {validated[name]:.4f}' for name in shown),
      trained['tokens_per_second'],
      '  *' if improved else '',
    )
    if improved:
      progress.best = {**at, **validated}
      progress.epochs_without_improvement = 0
    else:
      progress.epochs_without_improvement += 1
    progress.epoch += 1
    save(0)
    if progress.epoch <= config.epochs and stop():
      leave()
  best = progress.best
  if best is None:
    raise ValueError(
      'no epoch had a finite validation loss; try a lower learning_rate'
    )
  trainer.state = saved.restore_best(trainer.state, best['step'])
  return best, log


def _improves(
  validated: dict[str, Any], best: dict[str, Any] | None, select_by: str
) -> bool:
  if not math.isfinite(validated['loss']):
    return False
  if best is None:
    return True
  if select_by == 'loss':
    return validated['loss'] < best['loss']
  return validated[select_by] > best[select_by]
