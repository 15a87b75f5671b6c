"""The task and the model of a configuration, for training and for loading."""

from __future__ import annotations

from collections.abc import Sequence

from bigru_jax.config import Config
from bigru_jax.models.build import make_classifier
from bigru_jax.models.classifier import Classifier
from bigru_jax.models.hierarchical import HierarchicalClassifier
from bigru_jax.tasks import MultiLabel, SingleLabel, Task


def build_model(
  config: Config,
  vocabulary_size: int,
  labels: Sequence[str],
  label_weights: Sequence[float] = (),
) -> tuple[Task, Classifier | HierarchicalClassifier]:
  """Builds the task and the model of a run.

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


def make_task(
  config: Config,
  num_classes: int,
  label_weights: Sequence[float] = (),
  labels: Sequence[str] = (),
) -> Task:
  """Returns the task that a configuration describes.

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
