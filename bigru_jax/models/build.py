"""The task, the model and the initial parameters of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.models.classifier import Classifier
from bigru_jax.models.hierarchical import HierarchicalClassifier
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import MultiLabel, SingleLabel, Task

if TYPE_CHECKING:
  from bigru_jax.config import Config


def make_task(
  config: Config,
  num_classes: int,
  label_weights: Sequence[float] = (),
  labels: Sequence[str] = (),
) -> Task:
  """The task that a configuration describes.

  Args:
    config: the configuration.
    num_classes: C.
    label_weights: one per label, for several labels a text; none for ones.
    labels: the classes' names.

  Raises:
    ValueError: these are not such as the metric of select_by needs.
  """
  if config.task == 'multi_label':
    return MultiLabel(num_classes, config.label_smoothing, tuple(label_weights))
  return SingleLabel(
    num_classes=num_classes,
    loss=config.loss,
    label_smoothing=config.label_smoothing,
    labels=tuple(labels),
    select_by=config.select_by,
  )


def make_classifier(
  config: Config, vocabulary_size: int, num_outputs: int
) -> Classifier | HierarchicalClassifier:
  """The classifier that a configuration describes."""
  hierarchical = config.model == 'hierarchical'
  classifier: Any = HierarchicalClassifier if hierarchical else Classifier
  options = {} if hierarchical else {'encoder': config.encoder}
  return classifier(
    vocabulary_size=vocabulary_size,
    num_outputs=num_outputs,
    embedding_size=config.embedding_size,
    hidden_size=config.hidden_size,
    num_layers=config.num_layers,
    attention=config.attention,
    num_heads=config.num_heads,
    dropout=config.dropout,
    embedding_dropout=config.embedding_dropout,
    word_dropout=config.word_dropout,
    recurrent_dropout=config.recurrent_dropout,
    dtype=jnp.dtype(config.dtype),
    **options,
  )


def build_model(
  config: Config,
  vocabulary_size: int,
  labels: Sequence[str],
  label_weights: Sequence[float] = (),
) -> tuple[Task, Classifier | HierarchicalClassifier]:
  """The task and the model of a run, as training and loading need them.

  Args:
    config: the configuration.
    vocabulary_size: V.
    labels: the names of the classes.
    label_weights: one per label in the loss of multi_label; none for ones.

  Raises:
    ValueError: the labels do not fit the configuration.
  """
  task = make_task(config, len(labels), label_weights, labels)
  return task, make_classifier(config, vocabulary_size, task.num_outputs)


@single_precision()
def init_params(model: nn.Module, seed: int) -> Any:
  """Initial parameters, a function of the seed alone."""
  one_text = {
    'tokens': jnp.ones((1, 2), jnp.int32),
    'lengths': jnp.ones(1, jnp.int32),
    'entities': jnp.zeros((1, 2), jnp.int32),
    'sentence_lengths': jnp.ones(1, jnp.int32),
    'sentence_mask': jnp.ones((1, 1), bool),
  }
  init = jax.jit(lambda key: model.init(key, one_text)['params'])
  return init(jax.random.key(seed))
