"""bigru_jax as run.py runs it."""

from typing import Any

from cases import DROPOUT, LEARNING_RATE, Call, Case, encoder_arrays, make_texts
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.batching import SHAPE_COST
from bigru_jax.evaluation.steps import make_predict_step
from bigru_jax.inference.build import make_task
from bigru_jax.models.bigru import BiGRU
from bigru_jax.models.build import init_params, make_classifier
from bigru_jax.runtime import host
from bigru_jax.training.program import Program
from bigru_jax.training.trainer import Trainer


def build(name: str, case: Case) -> Call:
  """The function that does the work of a case once."""
  del name
  host.configure_cpu(case.devices)
  mesh = parallel.make_mesh(case.batch)
  if case.work in ('forward', 'backward'):
    return _encoder(case, mesh)
  return _classifier(case, mesh)


def _encoder(case: Case, mesh: Mesh) -> Call:
  module = BiGRU(case.hidden)
  x_BxTxE, dy_BxTx2H = map(jnp.asarray, encoder_arrays(case))
  mask_BxT = jnp.ones(x_BxTxE.shape[:2], bool)
  params = jax.jit(module.init)(jax.random.key(0), x_BxTxE)

  def forward(params: Any, x_BxTxE: jax.Array, mask_BxT: jax.Array) -> Any:
    return module.apply(params, x_BxTxE, mask_BxT)

  def gradients(params: Any, x_BxTxE: jax.Array, mask_BxT: jax.Array) -> Any:
    _, pull_back = jax.vjp(
      lambda p, x: module.apply(p, x, mask_BxT), params, x_BxTxE
    )
    return pull_back(dy_BxTx2H)[::-1]

  backward = case.work == 'backward'
  program = jax.jit(
    gradients if backward else forward,
    compiler_options=parallel.compiler_options(mesh),
  )

  def call() -> Any:
    result = jax.block_until_ready(program(params, x_BxTxE, mask_BxT))
    return result[0] if backward else result

  return call


def _classifier(case: Case, mesh: Mesh) -> Call:
  texts = make_texts(case, SHAPE_COST)
  # As the baselines: plain Adam at a constant rate.
  config = Config(
    embedding_size=case.embedding, hidden_size=case.hidden,
    batch_size=case.batch, dropout=DROPOUT, embedding_dropout=DROPOUT,
    optimizer='adam', learning_rate=LEARNING_RATE, schedule='constant',
    warmup=0.0, clip_norm=0.0,
  )  # fmt: skip
  task = make_task(config, texts.classes)
  model = make_classifier(config, texts.vocabulary, task.num_outputs)
  params = init_params(model, config.seed)
  if case.work == 'inference':
    params = jax.device_put(params, parallel.replicated(mesh))
    step = make_predict_step(model, task, mesh)
    return lambda: texts.predict(
      case.batch,
      lambda batch: step(params, parallel.place_batch(batch, mesh))[0],
    )
  program = Program(task=task, model=model, params=params)
  trainer = Trainer(config, program, {'train': texts.split}, mesh)
  epoch = 0

  def call() -> Any:
    nonlocal epoch
    epoch += 1
    *_, (_, _, summary) = trainer.train_epoch(epoch)
    trainer.wait()
    assert summary
    tokens = len(texts.split.encoded.tokens)
    return summary.loss if case.work == 'step' else tokens

  return call
