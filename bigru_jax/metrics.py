"""Metrics by name, and the metrics of a split, accumulated on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import re
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np


def relations_of(labels: Sequence[str]) -> tuple[str, ...]:
  """Returns the relation of each SemEval-2010 label, without its direction.

  Example:
    >>> relations_of(['Cause-Effect(e1,e2)', 'Cause-Effect(e2,e1)', 'Other'])
    ('Cause-Effect', 'Cause-Effect', '')

  Returns:
    The names; '' for `Other`, which is not a relation.

  Raises:
    ValueError: a label is neither `Other` nor a relation with its direction,
      or no label is a relation.
  """
  relations = []
  for label in labels:
    match = re.fullmatch(r'(.+)\((?:e1,e2|e2,e1)\)', label)
    if not match and label != 'Other':
      raise ValueError(
        f'select_by=semeval2010_f1: the label {label!r} is neither Other nor a '
        'relation with its direction, such as Cause-Effect(e1,e2)'
      )
    relations.append(match[1] if match else '')
  if not any(relations):
    raise ValueError('select_by=semeval2010_f1: no label is a relation')
  return tuple(relations)


def semeval2010_f1(confusion_CxC: np.ndarray, labels: Sequence[str]) -> float:
  """Returns the official score of SemEval-2010 Task 8, the mean F1.

  This is the (9+1)-way evaluation of the task's scorer that takes direction
  into account (Hendrickx et al., 2010, https://aclanthology.org/S10-1006). A
  correct prediction has the right relation and direction; predictions and
  labels of a relation are counted in either direction. The mean is over the
  relations that occur as a label, nine in the task's test set. It excludes
  `Other`, but confusing `Other` with a relation counts against the relation.

  Args:
    confusion_CxC: counts; rows are labels and columns are predictions.
    labels: the names of the classes.

  Raises:
    ValueError: see `relations_of`.
  """
  relations = relations_of(labels)
  scores = []
  for name in sorted(set(relations) - {''}):
    is_relation = np.array(relations) == name
    correct = np.diag(confusion_CxC)[is_relation].sum()
    predicted = confusion_CxC[:, is_relation].sum()
    gold = confusion_CxC[is_relation].sum()
    if gold:
      scores.append(2 * correct / (predicted + gold))
  return float(np.mean(scores)) if scores else 0.0


def accuracy(confusion_CxC: np.ndarray, _: Sequence[str] = ()) -> float:
  """Returns the share of the examples that are predicted correctly."""
  return int(np.trace(confusion_CxC)) / max(int(confusion_CxC.sum()), 1)


def macro_f1(confusion_CxC: np.ndarray, _: Sequence[str] = ()) -> float:
  """Returns the unweighted mean of F1 over the classes that occur.

  A class occurs as a label or as a prediction, as in scikit-learn's
  `f1_score(average='macro')`.
  """
  occurring = confusion_CxC.sum(0) + confusion_CxC.sum(1)
  correct = np.diag(confusion_CxC)
  f1 = 2 * correct[occurring > 0] / occurring[occurring > 0]
  return float(f1.mean()) if len(f1) else 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
  """An entry of `METRICS`.

  Attributes:
    tasks: the values of the field `task` that have it.
    of_confusion: a function (confusion_CxC, class names) -> value, for one
      label per text; rows are labels and columns are predictions. None if the
      metric is computed in `evaluation`.
    least_is_best: whether the smallest value is the best.
    each_epoch: whether it is known after each epoch, so that `select_by` may
      name it and TensorBoard shows it.
    brief: whether the log line of an epoch includes it.
    on_request: whether it is computed only if `select_by` names it.
    former_name: the name in older run directories and flags.
  """

  tasks: tuple[str, ...] = ('single_label', 'multi_label')
  of_confusion: Callable[[np.ndarray, Sequence[str]], float] | None = None
  least_is_best: bool = False
  each_epoch: bool = False
  brief: bool = False
  on_request: bool = False
  former_name: str = ''

  def is_better(self, value: float, other: float) -> bool:
    """Returns whether a value is better than another one."""
    return value < other if self.least_is_best else value > other


_MULTI_LABEL = Metric(tasks=('multi_label',))
METRICS = {
  'loss': Metric(least_is_best=True, each_epoch=True, brief=True),
  'accuracy': Metric(of_confusion=accuracy, each_epoch=True, brief=True),
  'macro_f1': Metric(of_confusion=macro_f1, each_epoch=True),
  'semeval2010_f1': Metric(
    tasks=('single_label',),
    of_confusion=semeval2010_f1,
    each_epoch=True,
    on_request=True,
    former_name='semeval2010',
  ),
  'micro_f1': _MULTI_LABEL,
  'samples_f1': _MULTI_LABEL,
  'lrap': _MULTI_LABEL,
  'precision_at_1': _MULTI_LABEL,
  'precision_at_3': _MULTI_LABEL,
  'precision_at_5': _MULTI_LABEL,
  'ece': Metric(least_is_best=True),
  'ece_calibrated': Metric(least_is_best=True),
}


def each_epoch() -> list[str]:
  """Returns the names of the metrics that are known after each epoch."""
  return [name for name, metric in METRICS.items() if metric.each_epoch]


def current_name(name: str) -> str:
  """Returns the current name of a metric, given that or a former one."""
  for current, metric in METRICS.items():
    if name and name == metric.former_name:
      return current
  return name


def renamed(metrics: Mapping[str, Any]) -> dict[str, Any]:
  """Renames metrics of an older run to their current names."""
  return {current_name(name): value for name, value in metrics.items()}


class ClassificationMetrics(struct.PyTreeNode):
  """The metrics of an evaluation with one label per text, so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights.
    confusion_CxC: counts; rows are labels and columns are predictions.
    labels, select_by: see `tasks.SingleLabel`.
  """

  loss: jax.Array
  weight: jax.Array
  confusion_CxC: jax.Array
  labels: tuple[str, ...] = struct.field(pytree_node=False, default=())
  select_by: str = struct.field(pytree_node=False, default='loss')

  @classmethod
  def zeros(
    cls,
    num_classes: int,
    labels: tuple[str, ...] = (),
    select_by: str = 'loss',
  ) -> ClassificationMetrics:
    """Returns the metrics of zero examples."""
    return cls(
      loss=jnp.zeros((), jnp.float32),
      weight=jnp.zeros((), jnp.float32),
      confusion_CxC=jnp.zeros((num_classes, num_classes), jnp.int32),
      labels=labels,
      select_by=select_by,
    )

  def update(
    self,
    losses_B: jax.Array,
    predictions_B: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> ClassificationMetrics:
    """Adds a batch; examples without tokens are padding and do not count."""
    is_example_B = (batch['lengths'] > 0).astype(jnp.int32)
    cells = self.confusion_CxC.at[batch['labels'], predictions_B]
    return self.replace(
      loss=self.loss + jnp.sum(losses_B * batch['weights']),
      weight=self.weight + jnp.sum(batch['weights']),
      confusion_CxC=cells.add(is_example_B),
    )

  def compute(self) -> dict[str, Any]:
    """Returns the loss, the other metrics and the number of examples."""
    confusion = np.asarray(self.confusion_CxC)
    return {
      'loss': float(self.loss) / max(float(self.weight), 1e-9),
      **{
        name: metric.of_confusion(confusion, self.labels)
        for name, metric in METRICS.items()
        if metric.of_confusion
        and (not metric.on_request or name == self.select_by)
      },
      'examples': int(confusion.sum()),
    }


class MultiLabelMetrics(struct.PyTreeNode):
  """The metrics of an evaluation with any number of labels per text, so far.

  Attributes:
    loss: the sum of weight * loss.
    weight: the sum of the weights.
    correct: the number of texts whose set of labels was predicted exactly.
    examples: the number of texts.
    true_positives_C: for each label, how many texts have it and were predicted
      to have it.
    predicted_C: for each label, how many texts were predicted to have it.
    positives_C: for each label, how many texts have it.
  """

  loss: jax.Array
  weight: jax.Array
  correct: jax.Array
  examples: jax.Array
  true_positives_C: jax.Array
  predicted_C: jax.Array
  positives_C: jax.Array

  @classmethod
  def zeros(cls, num_labels: int) -> MultiLabelMetrics:
    """Returns the metrics of zero examples."""
    return cls(
      loss=jnp.zeros((), jnp.float32),
      weight=jnp.zeros((), jnp.float32),
      correct=jnp.zeros((), jnp.int32),
      examples=jnp.zeros((), jnp.int32),
      true_positives_C=jnp.zeros(num_labels, jnp.int32),
      predicted_C=jnp.zeros(num_labels, jnp.int32),
      positives_C=jnp.zeros(num_labels, jnp.int32),
    )

  def update(
    self,
    losses_B: jax.Array,
    predictions_BxC: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> MultiLabelMetrics:
    """Adds a batch; examples without tokens are padding and do not count."""
    is_example_B = batch['lengths'] > 0
    labels_BxC = batch['labels'].astype(bool) & is_example_B[:, None]
    predictions_BxC = predictions_BxC & is_example_B[:, None]
    correct_B = (labels_BxC == predictions_BxC).all(-1) & is_example_B
    both_BxC = labels_BxC & predictions_BxC
    of_batch = MultiLabelMetrics(
      loss=jnp.sum(losses_B * batch['weights']),
      weight=jnp.sum(batch['weights']),
      correct=correct_B.sum(dtype=jnp.int32),
      examples=is_example_B.sum(dtype=jnp.int32),
      true_positives_C=both_BxC.sum(0, dtype=jnp.int32),
      predicted_C=predictions_BxC.sum(0, dtype=jnp.int32),
      positives_C=labels_BxC.sum(0, dtype=jnp.int32),
    )
    return jax.tree.map(jnp.add, self, of_batch)

  def compute(self) -> dict[str, Any]:
    """Returns the loss, accuracy, macro and micro F1, and number of examples.

    The accuracy compares whole sets of labels. The F1 of a label that neither
    occurs nor is predicted is 0, as in scikit-learn.
    """
    true_positives = np.asarray(self.true_positives_C)
    occurring = np.asarray(self.predicted_C) + np.asarray(self.positives_C)
    f1 = 2 * true_positives / np.maximum(occurring, 1)
    examples = int(self.examples)
    return {
      'loss': float(self.loss) / max(float(self.weight), 1e-9),
      'accuracy': int(self.correct) / max(examples, 1),
      'macro_f1': float(f1.mean()),
      'micro_f1': 2 * float(true_positives.sum()) / max(occurring.sum(), 1),
      'examples': examples,
    }
