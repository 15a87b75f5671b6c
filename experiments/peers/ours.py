"""bigru_jax as run.py runs it: a device a core, the batch split over them."""

import jax
from jax.sharding import PartitionSpec
import numpy as np

from bigru_jax import gru, sharding, steps, training
from bigru_jax.config import Config
from peers import task as tasks

_EVERYWHERE, _BY_ROW = PartitionSpec(), PartitionSpec('data')


def build(case):
  sharding.use_cpu_devices(case.devices, case.batch)
  mesh = sharding.make_mesh(case.batch)
  works = {
    'forward': _forward,
    'backward': _backward,
    'step': _step,
    'epoch': _epoch,
    'inference': _inference,
  }
  return works[case.work](case, mesh)


def _encoder(case, mesh):
  """The encoder's function, and parameters, inputs and mask on the mesh."""
  module = gru.BiGRU(case.hidden)
  x_BxTxE, _ = tasks.encoder_arrays(case)
  mask_BxT = np.ones(x_BxTxE.shape[:2], bool)
  params = jax.jit(module.init)(jax.random.key(0), x_BxTxE, mask_BxT)
  params = jax.device_put(params, jax.NamedSharding(mesh, _EVERYWHERE))
  return module.apply, params, *sharding.place_batch((x_BxTxE, mask_BxT), mesh)


def _forward(case, mesh):
  apply, *arguments = _encoder(case, mesh)
  specs = _EVERYWHERE, _BY_ROW, _BY_ROW
  apply = jax.shard_map(apply, mesh=mesh, in_specs=specs, out_specs=_BY_ROW)
  run = jax.jit(apply).lower(*arguments).compile()
  return lambda: jax.block_until_ready(run(*arguments))


def _backward(case, mesh):
  apply, params, x_BxTxE, mask_BxT = _encoder(case, mesh)
  dy_BxTx2H = sharding.place_batch(tasks.encoder_arrays(case)[1], mesh)

  def gradients(params, x_BxTxE, mask_BxT, dy_BxTx2H):
    params = jax.lax.pcast(params, 'data', to='varying')
    _, pull_back = jax.vjp(lambda *a: apply(*a, mask_BxT), params, x_BxTxE)
    grads, dx_BxTxE = pull_back(dy_BxTx2H)
    return sharding.sum_over_devices(grads), dx_BxTxE

  gradients = jax.shard_map(
    gradients,
    mesh=mesh,
    in_specs=(_EVERYWHERE, _BY_ROW, _BY_ROW, _BY_ROW),
    out_specs=(_EVERYWHERE, _BY_ROW),
  )
  arguments = params, x_BxTxE, mask_BxT, dy_BxTx2H
  run = jax.jit(gradients).lower(*arguments).compile()
  return lambda: jax.block_until_ready(run(*arguments))[1]


def _config(case):
  """What the peers do: plain Adam at a constant rate."""
  return Config(
    embedding_size=case.embedding,
    hidden_size=case.hidden,
    batch_size=case.batch,
    dropout=tasks.DROPOUT,
    embedding_dropout=tasks.DROPOUT,
    optimizer='adam',
    learning_rate=tasks.LEARNING_RATE,
    schedule='constant',
    warmup=0.0,
    clip_norm=0.0,
  )


def _trainer(case, mesh):
  task, config = tasks.make_task(case), _config(case)
  model = steps.make_model(config, task.vocabulary, task.classes)
  params = steps.init_params(model, config.seed)
  splits = {'train': training.Split(task.encoded, task.labels, task.buckets)}
  return training.Trainer(
    config, mesh, params, model.apply, splits, task.classes
  )


def _step(case, mesh):
  trainer = _trainer(case, mesh)
  split = trainer.splits['train']
  plan = split.plan(case.batch)
  batch = next(training.batches(split, plan, case.batch, mesh))
  step = steps.make_train_step(trainer.config, mesh, np.ones(2, np.float32))
  run = step.lower(trainer.state, batch).compile()

  def call():
    trainer.state, _ = run(trainer.state, batch)
    state = jax.block_until_ready(trainer.state)
    return float(state.loss_sum) / int(state.step)  # The mean so far.

  return call


def _epoch(case, mesh):
  trainer = _trainer(case, mesh)
  epoch = 0

  def call():
    nonlocal epoch
    epoch, before = epoch + 1, trainer.tokens_seen
    trainer.train_epoch(epoch)
    jax.block_until_ready(trainer.state.params)
    return trainer.tokens_seen - before

  return call


def _inference(case, mesh):
  task = tasks.make_task(case)
  model = steps.make_model(_config(case), task.vocabulary, task.classes)
  params = steps.init_params(model, 0)
  params = jax.device_put(params, jax.NamedSharding(mesh, _EVERYWHERE))
  step = steps.make_predict_step(model, 'softmax', mesh)

  def predict_batch(batch):
    batch = sharding.place_batch((batch['tokens'], batch['lengths']), mesh)
    return step(params, *batch)[0]

  return lambda: tasks.predict(task, case.batch, predict_batch)
