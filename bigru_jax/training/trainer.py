"""The train state of a run and the compiled steps that change it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
import contextlib
import dataclasses
import math
import time
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.batching import EncodedSplit, Plan
from bigru_jax.data.unlabelled import UnlabelledTexts
from bigru_jax.evaluation.steps import empty_metrics, evaluate
from bigru_jax.models.classifier import Outputs
from bigru_jax.runtime.cores import cores
from bigru_jax.training.compiled import CompiledByShape
from bigru_jax.training.program import Program, build_steps
from bigru_jax.training.state import TrainState

# The number of steps that are dispatched before the host waits for one.
_MAX_IN_FLIGHT = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochSummary:
  """The loss and the cost of an epoch.

  Attributes:
    loss: the mean over the epoch's finite steps.
    nonfinite_steps: the number of steps that were skipped.
    seconds: the time since the epoch started or resumed, without compilation.
    examples, tokens: the numbers trained on in this time, without padding, but
      with texts without labels.
  """

  loss: float
  nonfinite_steps: int
  seconds: float
  examples: int
  tokens: int

  def metrics(self) -> dict[str, Any]:
    """Returns the line of metrics.jsonl, without its step and epoch."""
    return {
      'loss': self.loss,
      'nonfinite_steps': self.nonfinite_steps,
      'examples_per_second': round(self.examples / self.seconds, 1),
      'tokens_per_second': round(self.tokens / self.seconds, 1),
    }


class Step(NamedTuple):
  """A finished training step.

  Attributes:
    number: its number in the run, from 1.
    epoch: the number of its epoch, from 1.
    batch: its number in the epoch, from 1.
    summary: the summary of the epoch after its last step; else None.
  """

  number: int
  epoch: int
  batch: int
  summary: EpochSummary | None


class Trainer:
  """The train state and the compiled steps.

  Attributes:
    config: the configuration.
    task: what the labels are.
    splits: `train`, `validation` and, unless a language model has none, `test`.
    unlabelled: texts without labels, of which each step also has a batch.
    state: the `TrainState` on the mesh.
    steps_per_epoch: the number of batches of an epoch.
  """

  def __init__(
    self,
    config: Config,
    program: Program,
    splits: dict[str, EncodedSplit],
    mesh: Mesh,
    unlabelled: UnlabelledTexts | None = None,
  ) -> None:
    self.config, self.task, self._mesh = config, program.task, mesh
    self.splits = {
      name: split.with_num_shards(mesh.size) for name, split in splits.items()
    }
    self.unlabelled = unlabelled
    # Only the last batch of an epoch's longest bucket can be short.
    self.steps_per_epoch = math.ceil(len(splits['train']) / config.batch_size)
    steps = build_steps(config, program, mesh, self.steps_per_epoch)
    self.state = self._place(
      TrainState.create(
        program.params, steps.optimizer, averaged=config.ema_decay > 0
      )
    )
    # What each epoch ends with, since the next one may have another schedule.
    self._catch_up = steps.catch_up
    self._compiler = ThreadPoolExecutor(cores())
    self._train_step = CompiledByShape(steps.train, self._compiler)
    # Keyed by whether the outputs include the attention.
    self._eval_steps = {
      with_attention: CompiledByShape(step, self._compiler)
      for with_attention, step in steps.evaluate.items()
    }

  @property
  def compile_seconds(self) -> float:
    """The time that training spent waiting for compilation."""
    steps = self._train_step, *self._eval_steps.values()
    return sum(step.seconds for step in steps)

  def compile_ahead(self) -> None:
    """Starts compiling all steps, in the order of their use.

    The test split is evaluated with the attention, which the page shows.
    """
    config = self.config
    metrics = empty_metrics(self.task, self._mesh)
    for name, seed in (
      ('train', config.seed), ('validation', None), ('test', None),
    ):  # fmt: skip
      if name not in self.splits:
        continue
      plan = self.splits[name].plan(config.batch_size, seed, 1)
      # One batch of each shape, in the order of first use.
      plan = list(dict(plan[::-1]).items())
      texts = self._unlabelled_plan(plan, 1) if name == 'train' else []
      for batch in self._host_batches(name, plan, texts):
        placed = parallel.place_batch(batch, self._mesh)
        if name == 'train':
          self._train_step.compile_ahead(self.state, placed)
        else:
          self._eval_steps[name == 'test'].compile_ahead(
            self.state.evaluated_params, metrics, placed
          )

  def compile_later(self, compile_programs: Callable[[], None]) -> None:
    """Calls a function on a compiling thread, after the steps are compiled."""
    self._compiler.submit(compile_programs)

  def close(self) -> None:
    """Ends the compiling threads, which would abort the process at exit."""
    self._compiler.shutdown(cancel_futures=True)

  def wait(self) -> None:
    """Waits for the steps in flight."""
    jax.block_until_ready(self.state)

  def evaluate(
    self,
    split: EncodedSplit,
    keep_logits: bool = True,
    with_attention: bool = False,
    on_batch: Callable[[np.ndarray, Outputs], None] | None = None,
  ) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the metrics and logits of a split; see `steps.evaluate`.

    The outputs include the attention if `with_attention` is set.
    """
    return evaluate(
      self._eval_steps[with_attention],
      self.state.evaluated_params,
      self.task,
      split,
      self.config.batch_size,
      self._mesh,
      keep_logits,
      on_batch,
    )

  def train_epoch(self, epoch: int, batches_done: int = 0) -> Generator[Step]:
    """Trains for an epoch, and yields after each step.

    Args:
      epoch: the epoch, from 1.
      batches_done: the number of batches already done, if it is resumed.

    Raises:
      ValueError: the loss or its gradient was not finite in max_nonfinite_steps
        consecutive steps.
    """
    config = self.config
    plan = self.splits['train'].plan(config.batch_size, config.seed, epoch)
    texts = self._unlabelled_plan(plan, epoch)
    if not batches_done:
      self.state = self._place(
        self.state.replace(loss_sum=np.float32(0), nonfinite=np.int32(0))
      )
    start, compiled_before = time.perf_counter(), self.compile_seconds
    in_flight: collections.deque = collections.deque()
    batches = parallel.prefetch_to_mesh(
      self._host_batches('train', plan[batches_done:], texts[batches_done:]),
      self._mesh,
    )
    with contextlib.closing(batches):
      for batch_number, batch in enumerate(batches, batches_done + 1):
        self.state, consecutive_nonfinite = self._train_step(self.state, batch)
        number = (epoch - 1) * len(plan) + batch_number
        in_flight.append((number, consecutive_nonfinite))
        is_last = batch_number == len(plan)
        if is_last and self._catch_up:
          self.state = self._catch_up(self.state)
        while len(in_flight) > (0 if is_last else _MAX_IN_FLIGHT):
          self._check_finite(plan, *in_flight.popleft())
        summary = None
        if is_last:
          compiling = self.compile_seconds - compiled_before
          seconds = time.perf_counter() - start - compiling
          summary = self._summarize(
            plan[batches_done:], texts[batches_done:], seconds
          )
        yield Step(
          number=number, epoch=epoch, batch=batch_number, summary=summary
        )

  def _summarize(
    self, plan: Plan, unlabelled_plan: list[np.ndarray], seconds: float
  ) -> EpochSummary:
    """Returns the summary of an epoch, of which these are the last batches."""
    nonfinite_steps = int(self.state.nonfinite)
    indices = np.concatenate([batch for _, batch in plan])
    tokens = int(self.splits['train'].table['tokens'].lengths[indices].sum())
    if self.unlabelled:
      tokens += self.unlabelled.num_tokens(plan, unlabelled_plan)
    finite_steps = max(self.steps_per_epoch - nonfinite_steps, 1)
    return EpochSummary(
      loss=float(self.state.loss_sum) / finite_steps,
      nonfinite_steps=nonfinite_steps,
      seconds=seconds,
      examples=len(indices) + sum(map(len, unlabelled_plan)),
      tokens=tokens,
    )

  def _unlabelled_plan(self, plan: Plan, epoch: int) -> list[np.ndarray]:
    """Returns the texts without labels beside each batch, if there are any."""
    if not self.unlabelled:
      return []
    config = self.config
    return self.unlabelled.plan(plan, config.batch_size, config.seed, epoch)

  def _host_batches(
    self, name: str, plan: Plan, unlabelled_plan: list[np.ndarray]
  ) -> Generator[Any]:
    """Yields this process's part of each batch, as NumPy arrays."""
    split, batch_size = self.splits[name], self.config.batch_size
    part = parallel.share_of_batch(self._mesh)
    for number, (shape, indices) in enumerate(plan):
      batch: dict[str, Any] = split.local_batch(
        indices, shape, batch_size, *part
      )
      if self.unlabelled and unlabelled_plan:
        assert isinstance(shape, int)  # Only flat texts have a plan of these.
        weight = float(split.table['weight'][indices].sum())
        batch['unlabelled'] = self.unlabelled.local_batch(
          unlabelled_plan[number], shape, weight, *part
        )
      yield batch

  def _place(self, state: TrainState) -> TrainState:
    return parallel.place(state, parallel.shardings(state, self._mesh))

  def _check_finite(
    self, plan: Plan, step: int, consecutive_nonfinite: jax.Array
  ) -> None:
    """Raises ValueError after too many consecutive non-finite steps."""
    limit = self.config.max_nonfinite_steps
    if int(consecutive_nonfinite) >= limit:
      _, indices = plan[(step - 1) % len(plan)]
      raise ValueError(
        f'max_nonfinite_steps={limit}: the loss or its gradient was not finite '
        f'in {limit} consecutive steps, up to step {step}, whose batch has '
        f'the training examples {sorted(indices.tolist())}; the last good '
        'checkpoint stays; try a lower learning_rate'
      )
