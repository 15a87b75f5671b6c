"""bigru_jax as run.py runs it: one device per core, the batch sharded."""

from typing import Any

import cases
from cases import Call, Case
import jax
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np

from bigru_jax import inference
from bigru_jax.config import Config
from bigru_jax.models.bigru import BiGRU
from bigru_jax.runtime import host, mesh as meshes
from bigru_jax.training.loop import Trainer


def build(name: str, case: Case) -> Call:
  """The function that does the work of a case once."""
  del name
  host.configure_cpu(case.devices, case.batch)
  mesh = meshes.make_mesh(case.batch)
  if case.flops:
    return _encoder(case, mesh)
  texts = cases.make_texts(case)
  # As the baselines: plain Adam at a constant rate.
  config = Config(
    embedding_size=case.embedding, hidden_size=case.hidden,
    batch_size=case.batch, dropout=cases.DROPOUT,
    embedding_dropout=cases.DROPOUT, optimizer='adam', schedule='constant',
    learning_rate=cases.LEARNING_RATE, warmup=0.0, clip_norm=0.0,
  )  # fmt: skip
  task = inference.make_task(config, texts.classes)
  model = inference.make_classifier(config, texts.vocabulary, task.num_outputs)
  params = inference.init_params(model, config.seed)
  if case.work == 'inference':
    params = jax.device_put(params, meshes.replicated(mesh))
    step = inference.make_predict_step(model, task, mesh)
    return texts.inference(
      lambda batch: step(params, meshes.place_batch(batch, mesh))[0]
    )
  trainer = Trainer(config, mesh, model, params, task, {'train': texts.split})
  # Every call is epoch 1 + the last: `texts.trained` says what it returns.
  epochs = iter(range(1, 10**9))
  return lambda: texts.trained(trainer.train_epoch(next(epochs))['loss'])


def _encoder(case: Case, mesh: Mesh) -> Call:
  module = BiGRU(case.hidden)
  x_BxTxE, dy_BxTx2H = cases.encoder_arrays(case)
  mask_BxT = np.ones(x_BxTxE.shape[:2], bool)
  params = jax.jit(module.init)(jax.random.key(0), x_BxTxE)
  params = jax.device_put(params, meshes.replicated(mesh))
  batch = meshes.place_batch((x_BxTxE, mask_BxT, dy_BxTx2H), mesh)

  def run(params: Any, batch: Any) -> tuple[Any, Any]:
    x_BxTxE, mask_BxT, dy_BxTx2H = batch
    if case.work == 'forward':
      return module.apply(params, x_BxTxE, mask_BxT), ()
    params = jax.lax.pcast(params, meshes.DATA_AXIS, to='varying')
    _, pull_back = jax.vjp(
      lambda p, x: module.apply(p, x, mask_BxT), params, x_BxTxE
    )
    grads, dx_BxTxE = pull_back(dy_BxTx2H)
    return dx_BxTxE, meshes.sum_over_devices(grads)

  by_example = P(meshes.DATA_AXIS)
  sharded = jax.shard_map(
    run, mesh=mesh, in_specs=(P(), by_example), out_specs=(by_example, P())
  )
  program = jax.jit(sharded, compiler_options=meshes.compiler_options(mesh))
  return lambda: jax.block_until_ready(program(params, batch))[0]
