"""bigru_jax as run.py runs it."""

import dataclasses
import functools
import itertools

from cases import (
  DROPOUT,
  LEARNING_RATE,
  SAMPLED_WORDS,
  Call,
  Case,
  Texts,
  make_texts,
)
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import on_jax
from on_jax import device_peak_mib

from bigru_jax import parallel
from bigru_jax.config import Config
from bigru_jax.data.epoch_plan import SHAPE_COST
from bigru_jax.data.split_notes import token_counts
from bigru_jax.evaluation.steps import make_predict_step
from bigru_jax.models.bigru import BiGRU
from bigru_jax.models.build import (
  init_params,
  make_classifier,
  make_language_model,
)
from bigru_jax.ops.sampled_softmax import make_proposal
from bigru_jax.runtime import host
from bigru_jax.tasks import make_task
from bigru_jax.training.language_model import LanguageModelTask, sampled_loss
from bigru_jax.training.program import Program
from bigru_jax.training.trainer import Trainer

__all__ = ['build', 'classifier', 'configured', 'device_peak_mib']


def build(name: str, case: Case) -> Call:
  """Returns the function that does the work of a case once.

  Args:
    name: `ours` or, for an encoder, `pallas`.
    case: the work.
  """
  host.configure_cpu()
  mesh = parallel.mesh_of(jax.devices()[:1])
  if case.work in ('forward', 'backward'):
    module = BiGRU(
      case.hidden, dtype=jnp.dtype(case.dtype),
      implementation='pallas' if name == 'pallas' else None,
    )  # fmt: skip
    mask_BxT = jnp.ones((case.batch, case.length), bool)
    return on_jax.encoder(
      case, module.init, module.apply, mask_BxT,
      compiler_options=parallel.compiler_options(mesh),
    )  # fmt: skip
  return classifier(case, mesh)


def classifier(case: Case, mesh: Mesh) -> Call:
  """Returns a function that trains for an epoch or predicts token ids."""
  texts = make_texts(case, SHAPE_COST)
  config, program = configured(case, texts)
  if case.work == 'inference':
    params = jax.device_put(program.params, parallel.replicated(mesh))
    step = make_predict_step(program.model, program.task, mesh)
    return lambda: texts.predict(
      case.batch,
      lambda batch: step(params, 1.0, parallel.place_batch(batch, mesh))[0],
    )
  trainer = Trainer(config, program, {'train': texts.split}, mesh)
  epochs = itertools.count(1)

  def call() -> int:
    for _ in trainer.train_epoch(next(epochs)):
      pass
    trainer.wait()
    return len(texts.split.table['tokens'].values)

  return call


def configured(case: Case, texts: Texts) -> tuple[Config, Program]:
  """Returns the configuration of a case, and its model with parameters."""
  # Like the baselines, it uses plain Adam at a constant rate, which lazy_adamw
  # is without a decay.
  config = Config(
    embedding_size=case.embedding, hidden_size=case.hidden,
    batch_size=case.batch, dropout=DROPOUT, embedding_dropout=DROPOUT,
    optimizer=case.optimizer, weight_decay=0.0, learning_rate=LEARNING_RATE,
    schedule='constant', warmup=0.0, clip_norm=0.0, dtype=case.dtype,
  )  # fmt: skip
  if case.work == 'pretraining':
    return _language_model(config, texts)
  task = make_task(config, list(map(str, range(texts.classes))))
  model = make_classifier(config, texts.vocabulary, task.num_outputs)
  params = init_params(model, config.seed)
  return config, Program(task=task, model=model, params=params)


def _language_model(config: Config, texts: Texts) -> tuple[Config, Program]:
  """Returns the configuration of a language model, and the model."""
  config = dataclasses.replace(
    config, task='language_model', sampled_words=SAMPLED_WORDS
  )
  model = make_language_model(config, texts.vocabulary)
  counts_V = token_counts(texts.split.table['tokens'], texts.vocabulary)
  program = Program(
    task=LanguageModelTask(),
    model=model,
    params=init_params(model, config.seed),
    make_train_loss=functools.partial(sampled_loss, make_proposal(counts_V)),
  )
  return config, program
