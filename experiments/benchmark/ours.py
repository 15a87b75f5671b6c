"""bigru_jax as run.py runs it: one device per core, the batch sharded."""

from typing import Any

from cases import DROPOUT, LEARNING_RATE, Call, Case, encoder_arrays, make_texts
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
  if case.work in ('forward', 'backward'):
    return _encoder(case, mesh)
  return _classifier(case, mesh)


def _encoder(case: Case, mesh: Mesh) -> Call:
  module = BiGRU(case.hidden)
  x_BxTxE, dy_BxTx2H = encoder_arrays(case)
  mask_BxT = np.ones(x_BxTxE.shape[:2], bool)
  params = jax.jit(module.init)(jax.random.key(0), x_BxTxE)
  params = jax.device_put(params, meshes.replicated(mesh))
  batch = meshes.place_batch((x_BxTxE, mask_BxT, dy_BxTx2H), mesh)
  backward = case.work == 'backward'

  def run(params: Any, batch: Any) -> Any:
    x_BxTxE, mask_BxT, dy_BxTx2H = batch
    if not backward:
      return module.apply(params, x_BxTxE, mask_BxT)
    params = jax.lax.pcast(params, meshes.DATA_AXIS, to='varying')
    _, pull_back = jax.vjp(
      lambda p, x: module.apply(p, x, mask_BxT), params, x_BxTxE
    )
    grads, dx_BxTxE = pull_back(dy_BxTx2H)
    return dx_BxTxE, meshes.sum_over_devices(grads)

  by_example = P(meshes.DATA_AXIS)
  sharded = jax.shard_map(
    run,
    mesh=mesh,
    in_specs=(P(), by_example),
    out_specs=(by_example, P()) if backward else by_example,
  )
  options = meshes.compiler_options(mesh)
  program = jax.jit(sharded, compiler_options=options).lower(params, batch)
  compiled = program.compile()

  def call() -> Any:
    result = jax.block_until_ready(compiled(params, batch))
    return result[0] if backward else result

  return call


def _classifier(case: Case, mesh: Mesh) -> Call:
  texts = make_texts(case)
  # As the baselines: plain Adam at a constant rate.
  config = Config(
    embedding_size=case.embedding, hidden_size=case.hidden,
    batch_size=case.batch, dropout=DROPOUT, embedding_dropout=DROPOUT,
    optimizer='adam', learning_rate=LEARNING_RATE, schedule='constant',
    warmup=0.0, clip_norm=0.0,
  )  # fmt: skip
  task = inference.make_task(config, texts.classes)
  model = inference.make_classifier(config, texts.vocabulary, task.num_outputs)
  params = inference.init_params(model, config.seed)
  if case.work == 'inference':
    params = jax.device_put(params, meshes.replicated(mesh))
    step = inference.make_predict_step(model, task, mesh)
    return lambda: texts.predict(
      case.batch, lambda batch: step(params, meshes.place_batch(batch, mesh))[0]
    )
  trainer = Trainer(config, mesh, model, params, task, {'train': texts.split})
  epoch = 0

  def call() -> Any:
    nonlocal epoch
    epoch += 1
    trained = trainer.train_epoch(epoch)
    jax.block_until_ready(trainer.state)
    tokens = len(texts.split.encoded.tokens)
    return trained['loss'] if case.work == 'step' else tokens

  return call
