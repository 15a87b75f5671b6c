"""The metrics by name: each is one entry, with all that is known about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import functools
import math

import numpy as np

from bigru_jax.metrics import scored as of_scored
from bigru_jax.metrics.confusion import (
  accuracy,
  cohen_kappa,
  macro_f1,
  mcc,
  semeval2010_f1,
)
from bigru_jax.metrics.scored import Scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
  """An entry of `METRICS`.

  Attributes:
    tasks: the values of the field `task` that have it.
    of_confusion: a function (confusion_CxC, class names) -> value, for one
      label per text; rows are labels and columns are predictions.
    of_scores: a function of `Scored`, for a metric of multi_label, or one that
      needs the scores. It is computed on the host, from all examples. Without
      either function, the metric is computed in `evaluation`.
    fewest_classes, most_classes: the numbers of classes that have it.
    least_is_best: whether the smallest value is the best.
    bounds: the smallest and the largest possible value.
    each_epoch: whether `select_by` may name it; TensorBoard then shows it.
    brief: whether the log line of an epoch includes it.
    optional: whether tables have it only if `metrics` or `select_by` names it.
    on_request: whether it is computed only if `select_by` names it.
    former_name: the name in older run directories and flags.
    title: the name that the page shows; by default, that of the entry.
    meaning: what the page shows on a click on the title.
  """

  tasks: tuple[str, ...] = ('single_label', 'multi_label')
  of_confusion: Callable[[np.ndarray, Sequence[str]], float] | None = None
  of_scores: Callable[[Scored], float] | None = None
  fewest_classes: int = 1
  most_classes: float = math.inf
  least_is_best: bool = False
  bounds: tuple[float, float] = (0.0, 1.0)
  each_epoch: bool = False
  brief: bool = False
  optional: bool = False
  on_request: bool = False
  former_name: str = ''
  title: str = ''
  meaning: str = ''

  def is_better(self, value: float, other: float) -> bool:
    """Returns whether a value is better than another one."""
    return value < other if self.least_is_best else value > other

  def has(self, scored: Scored) -> bool:
    """Returns whether examples of such a task and number of classes have it."""
    task = 'multi_label' if scored.is_multi_label else 'single_label'
    is_in_bounds = (
      self.fewest_classes <= scored.num_classes <= self.most_classes
    )
    return task in self.tasks and is_in_bounds


_MULTI_LABEL = functools.partial(
  Metric, tasks=('multi_label',), each_epoch=True
)
_SCORES = functools.partial(Metric, each_epoch=True, optional=True)
_SINGLE_LABEL = functools.partial(_SCORES, tasks=('single_label',))
_PERPLEXITY = functools.partial(
  Metric,
  tasks=('language_model',),
  least_is_best=True,
  bounds=(1.0, math.inf),
  each_epoch=True,
)
_LOSS = 0.0, math.inf
_CORRELATION = -1.0, 1.0


def _multi_label_f1(average: str) -> Callable[[Scored], float]:
  return functools.partial(of_scored.multi_label_f1, average=average)


def _at(k: int, function: Callable[..., float]) -> Callable[[Scored], float]:
  return functools.partial(function, k=k)


def _areas(area: str, title: str, meaning: str) -> dict[str, Metric]:
  """Returns the entries of the averages of an area under a curve."""
  meanings = {
    'macro': meaning,
    'micro': f'{meaning} Here all pairs of a text and a class are ranked '
    'together.',
    'weighted': f'{meaning} Here the mean over the classes is weighted by '
    'their numbers of texts.',
  }
  return {
    area if average == 'macro' else f'{area}_{average}': _SCORES(
      of_scores=functools.partial(
        of_scored.averaged, area=area, average=average
      ),
      title=title if average == 'macro' else f'{title}, {average}',
      meaning=meaning,
    )
    for average, meaning in meanings.items()
  }


def _positive(key: str, title: str, meaning: str) -> Metric:
  return _SINGLE_LABEL(
    of_scores=functools.partial(of_scored.of_positive, key=key),
    fewest_classes=2,
    most_classes=2,
    title=f'{title} of the positive label',
    meaning=meaning,
  )


METRICS = {
  'loss': Metric(
    tasks=('single_label', 'multi_label', 'language_model'),
    least_is_best=True,
    bounds=_LOSS,
    each_epoch=True,
    brief=True,
    title='Loss',
    meaning='What training makes small. By default it is the mean over the '
    'texts of −log p, where p is the probability of the true label; with '
    'several labels it is the sum of −log p over the labels, where p is the '
    'probability of being right about one. 0 is perfect. Of a language model, '
    'it is the mean of −log p over the words to predict; in training the sum '
    'of the softmax runs over a sample of the words.',
  ),
  'accuracy': Metric(
    of_confusion=accuracy,
    of_scores=of_scored.subset_accuracy,
    each_epoch=True,
    brief=True,
    title='Accuracy',
    meaning='The share of texts whose prediction is right. Where a text may '
    'have several labels, all of them must be right.',
  ),
  'macro_f1': Metric(
    of_confusion=macro_f1,
    of_scores=_multi_label_f1('macro'),
    each_epoch=True,
    title='F1, mean of the labels',
    meaning='F1 is the harmonic mean of precision (how often a label that is '
    'given is right) and recall (how often a label is found). Here it is the '
    'mean over the labels, so that a rare one counts as much as a common one.',
  ),
  'semeval2010_f1': Metric(
    tasks=('single_label',),
    of_confusion=semeval2010_f1,
    each_epoch=True,
    on_request=True,
    former_name='semeval2010',
    title='F1 of SemEval-2010 Task 8',
    meaning='The macro F1 of the official scorer: over nine relations, with '
    'their direction, without “Other”.',
  ),
  'micro_f1': _MULTI_LABEL(
    of_scores=_multi_label_f1('micro'),
    title='F1 of all decisions',
    meaning='The F1 of all decisions about a text and a label together, so '
    'that common labels count most.',
  ),
  'samples_f1': _MULTI_LABEL(
    of_scores=_multi_label_f1('samples'),
    title='F1, mean of the texts',
    meaning='The mean of the F1 of each text. A text without labels for which '
    'none is predicted has an F1 of 0, as in scikit-learn.',
  ),
  **{
    f'precision_at_{k}': _MULTI_LABEL(
      of_scores=_at(k, of_scored.precision_at),
      fewest_classes=k,
      title=f'Precision at {k}',
      meaning='The mean share of true labels among the most probable ones of '
      f'a text; here among {k}.',
    )
    for k in (1, 3, 5)
  },
  'lrap': _MULTI_LABEL(
    of_scores=of_scored.lrap,
    title='Label ranking average precision',
    meaning='For each true label of a text, the share of true labels among '
    'those ranked at least as high; the mean of all texts. 1 is perfect; a '
    'text without labels counts as 1.',
  ),
  **{
    # With one label per text, recall_at_1 is the accuracy.
    f'recall_at_{k}': _SCORES(
      tasks=('multi_label',) if k == 1 else ('single_label', 'multi_label'),
      of_scores=_at(k, of_scored.recall_at),
      fewest_classes=k + 1,
      title=f'Recall at {k}',
      meaning="The mean share of a text's true labels that are among its most "
      f'probable ones; here among {k}.',
    )
    for k in (1, 3, 5)
  },
  **_areas(
    'roc_auc',
    'Area under the ROC curve',
    'The probability that a text with the label gets a higher score than one '
    'without it: 0.5 is chance, 1 is perfect. It is the mean over the labels; '
    'of two classes, that of the positive one.',
  ),
  **_areas(
    'average_precision',
    'Average precision',
    'The area under the curve of precision and recall; chance is the share of '
    'texts with the label. It is the mean over the labels; of two classes, '
    'that of the positive one.',
  ),
  'mcc': _SINGLE_LABEL(
    of_scores=lambda scored: mcc(scored.confusion),
    bounds=_CORRELATION,
    title='Matthews correlation',
    meaning='The correlation of predictions and labels: 1 is perfect, 0 is '
    'chance.',
  ),
  'cohen_kappa': _SINGLE_LABEL(
    of_scores=lambda scored: cohen_kappa(scored.confusion),
    bounds=_CORRELATION,
    title="Cohen's kappa",
    meaning='The agreement of predictions and labels beyond chance: 1 is '
    'perfect, 0 is chance.',
  ),
  'log_loss': _SCORES(
    of_scores=of_scored.log_loss,
    least_is_best=True,
    bounds=_LOSS,
    title='Log loss',
    meaning='The mean of −log p of the true label; of several labels, the mean '
    'over all decisions. 0 is perfect.',
  ),
  'brier': _SCORES(
    of_scores=of_scored.brier,
    least_is_best=True,
    bounds=(0.0, 2.0),
    title='Brier score',
    meaning='The mean squared error of the probabilities; 0 is perfect.',
  ),
  'positive_f1': _positive(
    'f1', 'F1', 'The harmonic mean of its precision and its recall.'
  ),
  'positive_precision': _positive(
    'precision', 'Precision', 'How often the label is right where it is given.'
  ),
  'positive_recall': _positive(
    'recall', 'Recall', 'The share of texts with the label that are found.'
  ),
  'ece': Metric(
    least_is_best=True,
    title='Calibration error',
    meaning='The mean distance between the probability of a prediction and how '
    'often such predictions are right (ECE, 15 bins); 0 is perfect.',
  ),
  'ece_calibrated': Metric(
    least_is_best=True,
    title='Calibration error after calibration',
    meaning='The calibration error after the scores are divided by the '
    'temperature.',
  ),
  'perplexity': _PERPLEXITY(
    brief=True,
    title='Perplexity',
    meaning='The exponential of the loss: the model is as unsure of a word as '
    'if it chose among this many equally probable ones. 1 is perfect.',
  ),
  'forward_perplexity': _PERPLEXITY(
    title='Perplexity of the next word',
    meaning='The perplexity of the direction that reads from left to right.',
  ),
  'backward_perplexity': _PERPLEXITY(
    title='Perplexity of the previous word',
    meaning='The perplexity of the direction that reads from right to left.',
  ),
}
