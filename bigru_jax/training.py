"""The loop: batches, epochs, evaluation, and what is kept of it."""

import collections
import contextlib
import dataclasses
import logging
import time

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from bigru_jax import metrics, optimizers, preemption, sharding, steps
from bigru_jax.data import batching
from bigru_jax.data.text import Encoded

_IN_FLIGHT = 4  # Steps that may be running before the host looks at one.
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Split:
  """Encoded examples with their labels and length buckets."""

  encoded: Encoded
  labels: np.ndarray
  buckets: list

  def plan(self, batch_size, seed=None, epoch=0):
    return batching.epoch_plan(
      self.encoded.lengths, self.buckets, batch_size, seed, epoch
    )


def batches(split, plan, batch_size, mesh):
  """The plan's batches on the mesh, made ahead of time on a thread."""

  def make():
    for length, rows in plan:
      batch = batching.padded_batch(
        split.encoded, split.labels, rows, length, batch_size
      )
      yield sharding.place_batch(batch, mesh)

  return batching.prefetch(make())


def evaluate(eval_step, state, split, num_classes, batch_size, mesh):
  """Loss, accuracy and macro F1 over every example of a split, once each."""
  zeros = jax.tree.map(
    lambda x: np.stack([x] * mesh.size), metrics.Sums.zeros(num_classes)
  )
  sums = sharding.place_batch(zeros, mesh)
  plan = split.plan(batch_size)
  with contextlib.closing(batches(split, plan, batch_size, mesh)) as made:
    for batch in made:
      sums = eval_step(state, sums, batch)
  return metrics.figures(jax.tree.map(lambda x: np.sum(x, axis=0), sums))


class Trainer:
  """The steps of one run, and what it has seen so far.

  Attributes:
    state: the `TrainState`, replicated on the mesh.
    compile_seconds: spent on compiling, one program a batch shape.
    train_seconds: spent in the training loop, compilation left out.
  """

  def __init__(self, config, mesh, params, apply_fn, splits, num_classes):
    self.config, self.mesh, self.splits = config, mesh, splits
    self.num_classes = num_classes
    train = splits['train']
    weights_C = steps.class_weights(
      config.class_weights, train.labels, num_classes
    )
    self.steps_per_epoch = len(train.plan(config.batch_size, config.seed))
    total = self.steps_per_epoch * config.epochs
    optimizer = optimizers.make_optimizer(
      config.optimizer,
      optimizers.schedule(
        config.schedule, config.learning_rate, config.warmup, total
      ),
      config.weight_decay,
      config.clip_norm,
      config.freeze_embeddings,
    )
    state = steps.TrainState.create(
      apply_fn=apply_fn,
      params=params,
      tx=optimizer,
      loss_sum=jnp.float32(0),
      bad_steps=jnp.int32(0),
      skipped=jnp.int32(0),
    ).replace(step=jnp.int32(0))
    self.state = sharding.place_state(state, mesh)
    self._jitted_step = steps.make_train_step(config, mesh, weights_C)
    self.eval_step = steps.make_eval_step(config, mesh, weights_C)
    self._programs = {}
    self.compile_seconds = 0.0
    self.train_seconds = 0.0
    self.tokens_seen = self.examples_seen = 0

  def _program(self, batch):
    """The training step for a batch's shape, compiled at its first use."""
    length = batch['tokens'].shape[1]
    if length not in self._programs:
      start = time.perf_counter()
      lowered = self._jitted_step.lower(self.state, batch)
      self._programs[length] = lowered.compile()
      self.compile_seconds += time.perf_counter() - start
    return self._programs[length]

  def evaluate(self, name):
    return evaluate(
      self.eval_step,
      self.state,
      self.splits[name],
      self.num_classes,
      self.config.batch_size,
      self.mesh,
    )

  def train_epoch(self, epoch, first=0, after_step=lambda done: None):
    """Trains through an epoch's plan.

    Args:
      epoch: counted from 1.
      first: the batch to begin with, above 0 in a resumed epoch.
      after_step: called with the number of batches done in this epoch.

    Returns:
      The epoch's mean loss and skipped steps; examples and tokens a second of
      what was trained here.

    Raises:
      ValueError: --max_bad_steps in a row had a loss or gradient that is not
        finite.
    """
    split, size = self.splits['train'], self.config.batch_size
    plan = split.plan(size, self.config.seed, epoch)
    lengths = split.encoded.lengths
    if not first:
      self.state = sharding.place_state(
        self.state.replace(loss_sum=np.float32(0), skipped=np.int32(0)),
        self.mesh,
      )
    start, compiled_before = time.perf_counter(), self.compile_seconds
    running = collections.deque()
    made = batches(split, plan[first:], size, self.mesh)
    with contextlib.closing(made):
      bar = tqdm(
        made,
        desc=f'epoch {epoch}',
        total=len(plan),
        initial=first,
        unit='batch',
        leave=False,
        disable=None,  # Only on a terminal.
      )
      for done, batch in enumerate(bar, first + 1):
        self.state, bad_steps = self._program(batch)(self.state, batch)
        running.append((done, bad_steps))
        if len(running) > _IN_FLIGHT:
          self._check(epoch, plan, *running.popleft())
        after_step(done)
    while running:
      self._check(epoch, plan, *running.popleft())
    skipped = int(self.state.skipped)
    mean = float(self.state.loss_sum) / max(len(plan) - skipped, 1)
    seconds = time.perf_counter() - start
    seconds -= self.compile_seconds - compiled_before
    rows = np.concatenate([np.zeros(0, int), *(r for _, r in plan[first:])])
    self.train_seconds += seconds
    self.examples_seen += len(rows)
    self.tokens_seen += int(lengths[rows].sum())
    return {
      'loss': mean,
      'skipped_steps': skipped,
      'examples_per_second': round(len(rows) / seconds, 1),
      'tokens_per_second': round(float(lengths[rows].sum()) / seconds, 1),
    }

  def _check(self, epoch, plan, done, bad_steps):
    """Raises where too many steps in a row were skipped."""
    limit = self.config.max_bad_steps
    if int(bad_steps) >= limit:
      step = (epoch - 1) * len(plan) + done
      _, rows = plan[done - 1]
      raise ValueError(
        f'--max_bad_steps={limit}: the loss or its gradient was not finite in '
        f'so many steps in a row, up to step {step}, whose batch holds the '
        f'training examples {sorted(rows.tolist())}; the last good checkpoint '
        'stays; try a lower --learning_rate'
      )


def fit(trainer, saved, log_factory, stop=lambda: False):
  """Trains, keeps the best by validation, stops early, restores the best.

  Args:
    trainer: a `Trainer`.
    saved: the run's `checkpoints.Checkpoints`; where it has one, the run goes
      on from there.
    log_factory: lines so far -> a log with `add(line)` and `lines`.
    stop: asked after every step whether to save and leave.

  Returns:
    The best epoch's validation figures with its `epoch` and `step`, and the
    log. The trainer's parameters are the best epoch's.

  Raises:
    preemption.Preempted: `stop` said so; what was done is saved.
  """
  config = trainer.config
  progress = {'epoch': 1, 'batch': 0, 'best': None, 'waited': 0, 'lines': []}
  resumed = saved.restore(trainer.state)
  if resumed is not None:
    trainer.state, progress = resumed
    _log.info(
      'resuming at epoch %d, batch %d', progress['epoch'], progress['batch']
    )
  log = log_factory(progress['lines'])

  def checkpoint(batches_done):
    progress.update(batch=batches_done, lines=log.lines)
    saved.save(trainer.state, progress)

  def leave():
    saved.wait()
    raise preemption.Preempted(
      f'stopped at epoch {progress["epoch"]}, batch {progress["batch"]}'
    )

  def after_step(done):
    if done == trainer.steps_per_epoch:
      return  # Evaluated first, and saved then.
    step = (progress['epoch'] - 1) * trainer.steps_per_epoch + done
    if stop() or step % config.checkpoint_every == 0:
      checkpoint(done)
    if stop():
      leave()

  while progress['epoch'] <= config.epochs:
    if progress['waited'] >= config.patience:
      _log.info('no better epoch in %d: stopping', config.patience)
      break
    if stop():
      leave()
    epoch = progress['epoch']
    trained = trainer.train_epoch(epoch, progress['batch'], after_step)
    found = trainer.evaluate('validation')
    step = {'step': int(trainer.state.step), 'epoch': epoch}
    log.add({**step, 'split': 'train', **trained})
    log.add({**step, 'split': 'validation', **found})
    better = _is_better(found, progress['best'], config.select_by)
    _log.info(
      'epoch %2d  train loss %.4f  validation loss %.4f  accuracy %.4f  '
      '%.0f tokens/s%s',
      epoch, trained['loss'], found['loss'], found['accuracy'],
      trained['tokens_per_second'], '  *' if better else '',
    )  # fmt: skip
    if better:
      progress.update(best={**step, **found}, waited=0)
    else:
      progress['waited'] += 1
    progress['epoch'] += 1
    checkpoint(0)
  best = progress['best']
  trainer.state = saved.restore_best(trainer.state, best['step'])
  return best, log


def _is_better(found, best, select_by):
  if best is None:
    return True
  if select_by == 'accuracy':
    return found['accuracy'] > best['accuracy']
  return found['loss'] < best['loss']
