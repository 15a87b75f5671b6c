"""What the processes of the scaling benchmark do; each function is a process.

Their first answer through the pipe says what they are; see the functions.
"""

from collections.abc import Callable
import ctypes
import dataclasses
from multiprocessing.connection import Connection
import os
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
from memory import peak_mib, status_mib
import numpy as np

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data import text
from bigru_jax.data.batching import (
  EncodedSplit,
  choose_buckets,
  epoch_plan,
)
from bigru_jax.data.cache import prepare_shared
from bigru_jax.inference.build import make_task
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.runtime import distributed, host
from bigru_jax.training.program import Program, build_program
from bigru_jax.training.trainer import Trainer

_WARM_STEPS = 2  # Not timed: cores have slept, caches hold others' data.


@dataclasses.dataclass(frozen=True)
class Model:
  """A model to scale.

  Attributes:
    vocabulary, embedding, hidden: V, E, and H of one direction.
    steps: timed at once.
  """

  vocabulary: int
  embedding: int
  hidden: int
  steps: int


@dataclasses.dataclass(frozen=True)
class Member:
  """One process of a run.

  Attributes:
    cores: on which it runs.
    devices: XLA host devices.
    index, processes: its number, and how many processes the run has.
    port: of the coordinator, on this machine.
  """

  cores: tuple[int, ...]
  devices: int = 1
  index: int = 0
  processes: int = 1
  port: int = 0

  def start(self) -> None:
    """Sets this process up."""
    os.sched_setaffinity(0, self.cores)
    if self.processes > 1:
      address = f'127.0.0.1:{self.port}'
      distributed.initialize(address, self.processes, self.index)
    host.configure_cpu(self.devices)


def steps(
  model: Model, batch: int, length: int, member: Member, pipe: Connection
) -> None:
  """Sends the seconds of a step for each name of a measurement it receives.

  `step` is the training step as in a run, with its input; `input` is making the
  batches alone; `collectives` is the step's collectives alone, where there are
  several devices. The first answer is the sizes of the model.

  Args:
    model: the model.
    batch: examples per device.
    length: T, of all examples.
    member: this process.
    pipe: to the benchmark.
  """
  member.start()
  host.cache_compilations()
  batch *= jax.device_count()
  config = Config(
    embedding_size=model.embedding, hidden_size=model.hidden, batch_size=batch
  )
  mesh = parallel.make_mesh(batch)
  task = make_task(config, 2)
  classifier = make_classifier(config, model.vocabulary, task.num_outputs)
  params = init_params(classifier, config.seed)
  size = sum(x.size for x in jax.tree.leaves(params))
  table = model.vocabulary * model.embedding
  sharded = parallel.embedding_axis(params, mesh) is not None
  examples = batch * model.steps
  rng = np.random.default_rng(0)
  tokens_NxT = rng.integers(2, model.vocabulary, (examples, length), np.int32)
  split = EncodedSplit(
    text.pack(list(tokens_NxT)),
    rng.integers(0, 2, examples, np.int32),
    np.ones(examples, np.float32),
    [length],
  )
  program = Program(task=task, model=classifier, params=params)
  trainer = Trainer(config, program, {'train': split}, mesh)

  def train(first):
    for _ in trainer.train_epoch(1, first):
      pass
    trainer.wait()

  works: dict[str, Callable[[int], None]] = {'step': train}
  if mesh.size > 1:
    shape = batch, length, model.embedding
    replicated = size - table if sharded else size
    call = _collectives(mesh, replicated, shape, sharded)

    def communicate(first):
      for _ in range(first, model.steps):
        call()

    works['collectives'] = communicate
  for work in works.values():
    work(0)  # It compiles.
  pipe.send(
    {'parameters': size, 'dense': size - table, 'sharded_table': sharded}
  )
  while name := pipe.recv():
    works[name](max(model.steps - _WARM_STEPS, 0))
    start = time.perf_counter()
    works[name](0)
    pipe.send((time.perf_counter() - start) / model.steps)


def _collectives(
  mesh: Mesh, replicated: int, shape: tuple[int, ...], sharded: bool
) -> Callable[[], Any]:
  """The collectives of a training step, without its computation.

  They are the sum of the gradients of replicated parameters, and of a sharded
  embedding table: gathering the batch's tokens, and moving the embedded tokens
  and their gradients. Left out is the sum of one number, the table's part of
  the gradient's norm.

  Args:
    mesh: the devices.
    replicated: how many parameters are.
    shape: of the embedded tokens, [B, T, E].
    sharded: whether the table is.
  """
  axis = parallel.DATA_AXIS

  def of_device(gradients, tokens_BxT, x_BxTxE):
    gradients = jax.lax.pcast(gradients, axis, to='varying')
    if sharded:
      tokens_BxT = jax.lax.all_gather(tokens_BxT, axis, tiled=True)
      # One after the other, as in the step.
      tokens_BxT, x_BxTxE = jax.lax.optimization_barrier((tokens_BxT, x_BxTxE))
      for split, concatenated in ((2, 0), (0, 2)):
        x_BxTxE = jax.lax.all_to_all(
          x_BxTxE, axis, split, concatenated, tiled=True
        )
      gradients, x_BxTxE = jax.lax.optimization_barrier((gradients, x_BxTxE))
    return parallel.sum_over_devices(gradients), tokens_BxT, x_BxTxE

  program = jax.jit(
    jax.shard_map(
      of_device,
      mesh=mesh,
      in_specs=(P(), P(axis), P(axis)),
      out_specs=(P(), P(axis), P(axis)),
    )
  )
  local = shape[0] // parallel.share_of_batch(mesh)[1], *shape[1:]
  batch = np.zeros(local[:2], np.int32), np.zeros(local, np.float32)
  gradients = parallel.place(
    jnp.zeros(replicated, jnp.float32), parallel.replicated(mesh)
  )
  arguments = gradients, *parallel.place_batch(batch, mesh)
  return lambda: jax.block_until_ready(program(*arguments))


def memory(path: str, count: int, member: Member, pipe: Connection) -> None:
  """Opens a file of texts as a run does, and trains a few steps.

  Sends the seconds until the data are open and the process's memory in MiB:
  `peak`, `private` and `mapped` at the end.

  Args:
    path: the file.
    count: steps.
    member: this process.
    pipe: to the benchmark.
  """
  member.start()
  config = Config(train=path)
  start = time.perf_counter()
  data = prepare_shared(config)
  seconds = time.perf_counter() - start
  mesh = parallel.make_mesh(config.batch_size)
  trainer = Trainer(config, build_program(config, data), data.splits, mesh)
  for _ in trainer.train_epoch(1, max(trainer.steps_per_epoch - count, 0)):
    pass
  trainer.close()
  pipe.send(
    {
      'seconds': seconds,
      'peak': status_mib('VmHWM'),
      'private': status_mib('RssAnon'),
      'mapped': status_mib('RssFile'),
    }
  )
  pipe.recv()  # The others still train.


def plan(rows: int, pipe: Connection) -> None:
  """Sends the seconds and the MiB of the plan of an epoch of so many rows.

  `peak` is while it is made, `kept` what the plan itself takes.
  """
  rng = np.random.default_rng(0)
  lengths = np.clip(rng.lognormal(4.2, 0.6, rows), 5, 512).astype(np.int32)
  buckets = choose_buckets(lengths)
  kept: list[Any] = []
  seconds = list[float]()

  def make():
    kept.clear()
    start = time.perf_counter()
    kept.append(epoch_plan(lengths, buckets, 64, 0, len(seconds)))
    seconds.append(time.perf_counter() - start)

  trim = ctypes.CDLL(None).malloc_trim
  trim(0)
  before = status_mib('VmRSS')
  peak = peak_mib(make)
  trim(0)
  taken = status_mib('VmRSS') - before
  for _ in range(2):
    make()
  pipe.send(
    {'seconds': statistics.median(seconds), 'peak': peak, 'kept': taken}
  )
