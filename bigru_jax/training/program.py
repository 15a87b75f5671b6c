"""Builds the task, the model, its parameters and the steps of a run."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

from flax import linen as nn
import jax
from jax.sharding import Mesh
import numpy as np
import optax

from bigru_jax import optimizers, parallel
from bigru_jax.config import Config
from bigru_jax.data.prepare import Dataset
from bigru_jax.data.split_notes import token_counts
from bigru_jax.evaluation.scoring import check_metrics
from bigru_jax.evaluation.steps import make_eval_step
from bigru_jax.models.build import (
  init_params,
  make_classifier,
  make_language_model,
)
from bigru_jax.ops.sampled_softmax import make_proposal
from bigru_jax.parallel import LossFn
from bigru_jax.rundir.source import Source
from bigru_jax.tasks import Task, make_task
from bigru_jax.training.initialize import initialize
from bigru_jax.training.language_model import LanguageModelTask, sampled_loss
from bigru_jax.training.lazy_rows import LazyAdamW, make_catch_up_step
from bigru_jax.training.regularizers import regularized
from bigru_jax.training.step import make_train_step


def regularized_loss(
  config: Config, task: Task, model: Any, language_model: LossFn | None = None
) -> LossFn:
  """Returns the loss of a classifier, with the terms of a configuration.

  Args:
    config: the configuration.
    task: makes losses of the model's outputs.
    model: the classifier.
    language_model: the loss of `language_model_weight`.
  """

  def apply(params, batch, keys_B, **inputs):
    # The table of lazy AdamW has only the rows that a batch uses.
    sized = model.clone(vocabulary_size=len(params['embedding']))
    return sized.apply({'params': params}, batch, keys_B, **inputs)

  return regularized(
    apply,
    task,
    max(model.set_sizes, default=config.embedding_size),
    adversarial=config.adversarial,
    virtual_adversarial=config.virtual_adversarial,
    entropy_weight=config.entropy_weight,
    language_model=language_model,
    language_model_weight=config.language_model_weight,
    attention_penalty=config.attention_penalty,
    r_drop=config.r_drop,
    mixup=config.mixup,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Program:
  """The task, the model and the parameters that a run trains.

  Attributes:
    task: how the labels enter the loss and the metrics; a `Task`, or a
      `LanguageModelTask`.
    model: the Flax module.
    params: its initial parameters.
    make_train_loss: a function of the configuration, the task and the model
      that returns the loss of a training step.
    num_trained_words: the number of rows of the embedding table that are
      trained; None for all. The rows after them belong to unseen words.
    copied: the names of the parameters that another run gave.
    loss_params: the names of the parameters that only the loss reads.
  """

  task: Any
  model: nn.Module
  params: Any
  make_train_loss: Callable[[Config, Any, Any], LossFn] = regularized_loss
  num_trained_words: int | None = None
  copied: tuple[str, ...] = ()
  loss_params: tuple[str, ...] = ()

  def model_params(self, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters of the model alone."""
    return {x: params[x] for x in params if x not in self.loss_params}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steps:
  """The optimizer of a run, and its steps, which nothing has compiled yet.

  Attributes:
    optimizer: the gradient transformation.
    train: see `make_train_step`.
    evaluate: see `make_eval_step`; the keys say whether the outputs include
      the attention.
    catch_up: see `make_catch_up_step`; None unless the optimizer is lazy.
  """

  optimizer: optax.GradientTransformation | optimizers.Adam | LazyAdamW
  train: jax.stages.Wrapped
  evaluate: dict[bool, jax.stages.Wrapped]
  catch_up: jax.stages.Wrapped | None = None


def task_of(config: Config, data: Dataset) -> Task:
  """Returns the task of a configuration and its data.

  Of two classes, the positive one is that of the configuration, or else the
  rarer one in train, or the second of equally many texts. What is held out of
  train counts too, so all folds have the same one.

  Raises:
    ValueError: see `make_task` and `check_metrics`.
  """
  positive = config.positive_label
  if not positive and config.task == 'single_label' and len(data.labels) == 2:
    of_train = [
      split.label_array()
      for name, split in data.splits.items()
      if name == 'train' or name not in data.identity
    ]
    first, second = np.bincount(np.concatenate(of_train), minlength=2)
    positive = data.labels[int(second <= first)]
  weights = data.label_weights.tolist()
  task = make_task(config, data.labels, weights, positive)
  check_metrics(config, task, data.labels, data.splits['validation'])
  return task


def build_program(
  config: Config, data: Dataset, source: Source | None = None
) -> Program:
  """Builds the task, the model and its initial parameters.

  Args:
    config: the configuration.
    data: its data.
    source: the run of `init_from`, if there is one.

  Raises:
    ValueError: the configuration does not fit the labels of the data.
  """
  assert bool(config.init_from) == bool(source)
  task = task_of(config, data)
  vocabulary = data.tokenizer.vocabulary
  model = make_classifier(
    config, data.tokenizer.size, task.num_outputs, vocabulary
  )
  params = init_params(model, config.seed)
  make_train_loss: Callable[[Config, Any, Any], LossFn] = regularized_loss
  loss_params: tuple[str, ...] = ()
  if config.language_model_weight:
    language_model = build_language_model(config, data)
    loss_params = tuple(language_model.params.keys() - params.keys())
    params = {**language_model.params, **params}
    make_train_loss = functools.partial(_joint_loss, language_model)
  params, copied = initialize(config, data, params, source)
  all_trained = data.seen == data.tokenizer.size
  return Program(
    task=task,
    model=model,
    params=params,
    make_train_loss=make_train_loss,
    num_trained_words=None if all_trained else data.seen,
    copied=copied,
    loss_params=loss_params,
  )


def build_language_model(config: Config, data: Dataset) -> Program:
  """Builds the task, the model and its initial parameters.

  Args:
    config: the configuration.
    data: its data, whose texts for training, with labels and without, give the
      words of the sampled softmax.
  """
  size = data.tokenizer.size
  counts_V = token_counts(data.splits['train'].table['tokens'], size)
  if data.unlabelled:
    counts_V += token_counts(data.unlabelled.tokens, size)
  model = make_language_model(config, size)
  return Program(
    task=LanguageModelTask(),
    model=model,
    params=init_params(model, config.seed),
    make_train_loss=functools.partial(sampled_loss, make_proposal(counts_V)),
  )


def _joint_loss(
  language_model: Program, config: Config, task: Task, model: Any
) -> LossFn:
  """Returns the loss of a classifier with that of a language model."""
  loss_fn = language_model.make_train_loss(
    config,
    language_model.task,
    language_model.model.clone(embedding_axis=model.embedding_axis),
  )
  return regularized_loss(config, task, model, loss_fn)


def build_optimizer(
  config: Config,
  num_steps: int,
  num_trained_words: int | None,
  copied: tuple[str, ...] = (),
) -> optax.GradientTransformation | optimizers.Adam:
  """Returns the optimizer of a run of `num_steps` steps; see `Program`."""
  factors = dict.fromkeys(copied, config.init_learning_rate_factor)
  of_table = factors.get('embedding', 1.0)
  factors['embedding'] = of_table * config.embedding_learning_rate_factor
  return optimizers.make_optimizer(
    config.optimizer,
    optimizers.make_schedule(
      config.schedule, config.learning_rate, config.warmup, num_steps
    ),
    weight_decay=config.weight_decay,
    clip_norm=config.clip_norm,
    freeze_embeddings=config.freeze_embeddings is True,
    frozen_columns=config.frozen_columns,
    learning_rate_factors=factors,
    num_trained_words=num_trained_words,
  )


def build_steps(
  config: Config, program: Program, mesh: Mesh, steps_per_epoch: int
) -> Steps:
  """Returns the steps of a run on a mesh."""
  num_steps = steps_per_epoch * config.epochs
  is_lazy = optimizers.OPTIMIZERS[config.optimizer].is_lazy
  words = program.num_trained_words
  # All rows of a table of used rows are trained.
  optimizer = build_optimizer(
    config, num_steps, None if is_lazy else words, program.copied
  )
  if is_lazy:
    optimizer = LazyAdamW(optimizer, steps_per_epoch, words)
  model = program.model.clone(
    embedding_axis=parallel.embedding_axis(program.params, mesh)
  )
  train = make_train_step(
    program.make_train_loss(config, program.task, model),
    optimizer,
    mesh,
    config.seed,
    weight_drop_rate=config.weight_drop,
    ema_decay=config.ema_decay,
  )
  evaluate = {
    with_attention: make_eval_step(model, program.task, mesh, with_attention)
    for with_attention in (False, True)
  }
  return Steps(
    optimizer=optimizer,
    train=train,
    evaluate=evaluate,
    catch_up=make_catch_up_step(mesh) if is_lazy else None,
  )
