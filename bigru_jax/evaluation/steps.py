"""The jitted steps of prediction and evaluation."""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import functools
from typing import Any

from flax import linen as nn
import jax
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np

from bigru_jax import parallel
from bigru_jax.data.batching import EncodedSplit
from bigru_jax.models.classifier import Outputs
from bigru_jax.tasks import Task, make_loss_fn


def make_predict_step(
  model: nn.Module, task: Task, mesh: Mesh
) -> Callable[..., Any]:
  """Returns the jitted prediction of a batch.

  It is (params, temperature, batch) -> (probabilities_BxC, logits_BxC,
  attention, head_labels). The parameters are replicated, the batch is sharded;
  it may be one of NumPy arrays. The probabilities are those of logits /
  temperature; see also `Outputs`.
  """

  def outputs_of(params, batch):
    outputs: Any = model.apply({'params': params}, batch)
    return outputs.logits, outputs.attention, outputs.head_labels

  def predict(params, temperature, batch):
    outputs = parallel.map_batch(outputs_of, mesh, P())(params, batch)
    logits_BxC, attention, head_labels = outputs
    probabilities_BxC = task.probabilities(logits_BxC / temperature)
    return probabilities_BxC, logits_BxC, attention, head_labels

  return jax.jit(
    predict,
    in_shardings=(
      parallel.replicated(mesh),
      None,
      parallel.batch_sharding(mesh),
    ),
    compiler_options=parallel.compiler_options(mesh),
  )


def by_vocabulary_size(
  model: nn.Module, task: Task, mesh: Mesh
) -> Callable[[int], tuple[Callable, Callable]]:
  """Returns a cached function from V to the predict and eval steps."""

  @functools.cache
  def steps_for(size):
    sized = model.clone(vocabulary_size=size)
    return (
      make_predict_step(sized, task, mesh),
      make_eval_step(sized, task, mesh),
    )

  return steps_for


def make_eval_step(
  model: nn.Module, task: Task, mesh: Mesh, with_attention: bool = False
) -> jax.stages.Wrapped:
  """Returns the jitted (params, metrics, batch) -> (metrics, `Outputs`).

  It adds the batch to the metrics. Without attention XLA drops what only the
  attention needs; with it, the attention is sharded over the batch.
  """
  loss_fn = make_loss_fn(model, task)

  def eval_step(params, metrics, batch):
    specs = P()
    if getattr(model, 'embedding_axis', None):
      specs = parallel.partition_specs(params, mesh)
    losses_B, outputs = parallel.map_batch(loss_fn, mesh, specs)(params, batch)
    metrics = task.update_metrics(metrics, outputs.logits, losses_B, batch)
    if not with_attention:
      outputs = Outputs(outputs.logits, {})
    return metrics, outputs

  replicated, sharded = parallel.replicated(mesh), parallel.batch_sharding(mesh)
  of_outputs: Any = replicated, sharded, sharded
  return jax.jit(
    eval_step,
    donate_argnums=1,
    out_shardings=(replicated, Outputs(*of_outputs)),
    compiler_options=parallel.compiler_options(mesh),
  )


def empty_metrics(task: Task, mesh: Mesh) -> Any:
  """Returns the metrics of zero examples, on every device."""
  metrics = task.empty_metrics()
  return parallel.place(metrics, parallel.shardings(metrics, mesh))


def evaluate(
  eval_step: Callable[..., Any],
  params: Any,
  task: Task,
  split: EncodedSplit,
  batch_size: int,
  mesh: Mesh,
  keep_logits: bool = True,
  on_batch: Callable[[np.ndarray, Outputs], None] | None = None,
) -> tuple[dict[str, Any], np.ndarray]:
  """Evaluates each example of a split once; returns metrics and logits.

  Args:
    eval_step, params, task: the model's.
    split: the examples.
    batch_size: the number of examples per batch, over all devices.
    mesh: the devices.
    keep_logits: whether to copy the logits from the devices; if not, the array
      is empty.
    on_batch: called with the indices of each batch's examples and its outputs
      on the devices, where padding is last. In a distributed run, all processes
      pass one, or none does.
  """
  metrics = empty_metrics(task, mesh)
  split = split.with_num_shards(mesh.size)
  plan = split.plan(batch_size)
  batches = parallel.prefetch_to_mesh(
    (
      split.local_batch(
        indices, shape, batch_size, *parallel.share_of_batch(mesh)
      )
      for shape, indices in plan
    ),
    mesh,
  )
  count = len(split) if keep_logits else 0
  logits_NxC = np.zeros((count, task.num_outputs), np.float32)
  before = None
  with contextlib.closing(batches):
    for (_, indices), batch in zip(plan, batches):
      metrics, outputs = eval_step(params, metrics, batch)
      # The devices compute a batch while the one before it is copied.
      if before:
        logits_NxC[before[0]] = np.asarray(before[1])[: len(before[0])]
      before = (indices, outputs.logits) if keep_logits else None
      if on_batch:
        jax.block_until_ready(metrics)  # Only one collective may be in flight.
        on_batch(indices, outputs)
  if before:
    logits_NxC[before[0]] = np.asarray(before[1])[: len(before[0])]
  return metrics.compute(), logits_NxC
