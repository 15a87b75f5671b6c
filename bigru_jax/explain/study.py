"""All attributions and tests on the texts of a split, as one table.

`study` returns what `experiments/explain.py` writes to explain-<split>.json of
the run directory:

  split         the split
  texts         how many of its texts were explained, drawn at random
  table         the tests of the attention, a row each: `name`; `value`, a mean
                over `n` texts, with its 95 % confidence interval `low` to
                `high`; `reading`, how to read it; the `paper` that the test is
                from; and whether it is a `detail` of the row before. `value`,
                `low` and `high` are null where no text has a value.
  attributions  by the attribution's name, the means over the texts of
                `comprehensiveness` and `sufficiency` (AOPC), and for
                integrated gradients `completeness_error`. On `synthetic`, where
                the deciding tokens are known, also `precision_at_1`,
                `recall_at_1`, `precision_at_2`, `recall_at_2`.

`random`, one number per token drawn at random, is the baseline of the
attributions. A model whose pooling has no weights has no attention to test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
import logging
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.explain import diagnostic
from bigru_jax.explain.attributions import (
  ATTRIBUTIONS,
  OF_ATTENTION,
  gradient_x_input,
  integrated_gradients,
  left_out,
)
from bigru_jax.explain.faithfulness import (
  Estimate,
  agreement,
  erasure,
  kendall_tau,
  mean_estimate,
)
from bigru_jax.explain.interventions import (
  adversarial_weights,
  permutation_change,
  uniform_change,
)
from bigru_jax.explain.predictions import (
  Batch,
  of_classes,
  over_split,
  probabilities,
  real_tokens,
  sampled,
  total_variation,
)
from bigru_jax.models.classifier import Classifier
from bigru_jax.models.pooling import POOLINGS
from bigru_jax.runtime.precision import single_precision
from bigru_jax.tasks import SingleLabel

JAIN_WALLACE = 'Jain & Wallace, 2019, https://aclanthology.org/N19-1357'
WIEGREFFE_PINTER = 'Wiegreffe & Pinter, 2019, https://aclanthology.org/D19-1002'
TAU_GRADIENT = 'Kendall tau of attention and gradient x input'
TAU_LEAVE_ONE_OUT = 'Kendall tau of attention and leave-one-out'
_TAU_OTHERS = 'Kendall tau of gradient x input and leave-one-out'
_PERMUTED = 'median output change of permuted attention'
ADVERSARIAL = 'largest Jensen-Shannon divergence of adversarial attention'
_UNIFORM = 'output change of uniform attention'
_FLIPPED = 'uniform attention changes the prediction'
ACCURACY = 'accuracy of the run'
ACCURACY_UNIFORM = 'accuracy of the run trained with uniform attention'
_MLP = 'accuracy of an MLP guided by {}'
_READINGS = {
  TAU_GRADIENT: '1: attention orders the tokens as the gradient does; 0: as '
  'chance would',
  TAU_LEAVE_ONE_OUT: '1: it orders them as leaving each out does; 0: as chance '
  'would',
  _TAU_OTHERS: 'how far these two agree with each other',
  _PERMUTED: 'near 0: it does not matter which token has which weight',
  ADVERSARIAL: 'up to 0.69; high: quite other weights give the same answer',
  _UNIFORM: 'near 0: the answer does not need the weights',
  _FLIPPED: 'the share of the texts',
  ACCURACY_UNIFORM: "no lower than the run's: the task does not need attention",
  _MLP.format("the model's attention"): 'above both other MLPs: the weights '
  'mean something to another model, too',
}
_AT = 1, 2
_BATCH_SIZE = 128
_SIGNIFICANT = 0.05
_MOST_CLASSES = 6  # With rows of their own.
_log = logging.getLogger(__name__)


@single_precision()
def study(
  model: Classifier,
  task: SingleLabel,
  params: Any,
  labels: Sequence[str],
  split: EncodedSplit,
  adversarial_texts: int = 200,
  deciding: Sequence[set[int]] | None = None,
  seed: int = 0,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
  """The faithfulness table, and the attributions' means.

  Args:
    model, task, params: the trained model.
    labels: the classes' names.
    split: the texts, from `predictions.sampled`.
    adversarial_texts: how many of them the adversarial search takes.
    deciding: where they are known, the positions of the tokens that decide the
      label of each text.
    seed: of the permutations and of the search.

  Returns:
    `table` and `attributions` of the module's docstring; the table is empty
    where the model has no attention weights.
  """
  with_weights = POOLINGS[model.attention].has_weights
  names = [n for n in ATTRIBUTIONS if with_weights or n not in OF_ATTENTION]

  def step(params, batch, key):
    return _explain(model, task, tuple(names), params, batch, key)

  _log.info('attributions and their removal, on %d texts', len(split))
  found = over_split(step, params, split, _BATCH_SIZE, seed)
  names.append('random')
  attributions: dict[str, dict[str, float]] = {}
  for name in names:
    means = {
      test: float(np.mean(found[f'{name}: {test}']))
      for test in ('comprehensiveness', 'sufficiency')
    }
    if name == 'integrated_gradients':
      means['completeness_error'] = float(np.mean(found['completeness_error']))
    if deciding is not None:
      for k in _AT:
        precision, recall = agreement(found[name], deciding, k)
        means[f'precision_at_{k}'] = float(precision.mean())
        means[f'recall_at_{k}'] = float(recall.mean())
    attributions[name] = means
  if not with_weights:
    return [], attributions
  _log.info('adversarial attention, on at most %d texts', adversarial_texts)
  searched = over_split(
    lambda params, batch, key: _search(model, task, params, batch, key),
    params,
    sampled(split, adversarial_texts, seed),
    _BATCH_SIZE,
    seed,
  )
  return _table(found, searched, labels), attributions


@functools.partial(jax.jit, static_argnames=('model', 'task', 'names'))
def _explain(
  model: Classifier,
  task: SingleLabel,
  names: tuple[str, ...],
  params: Any,
  batch: Batch,
  key: jax.Array,
) -> dict[str, jax.Array]:
  """All attributions of a batch, and what its tests need."""
  own_BxC = probabilities(model, task, params, batch)
  classes_B = own_BxC.argmax(-1)
  inputs = model, task, params, batch
  others_BxTxC = left_out(*inputs)
  mask_BxT = real_tokens(batch)
  found = {'classes': classes_B}
  for name in names:
    if name == 'integrated_gradients':
      weights_BxT, error_B = integrated_gradients(*inputs, classes_B)
      found |= {name: weights_BxT, 'completeness_error': error_B}
    elif name == 'leave_one_out':  # The same numbers give the change below.
      drops_BxTxC = own_BxC[:, None] - others_BxTxC
      drops_BxT = of_classes(drops_BxTxC, classes_B)
      found[name] = jnp.where(mask_BxT, drops_BxT, 0)
    else:
      found[name] = ATTRIBUTIONS[name](*inputs, classes_B)
  found['random'] = jax.random.uniform(key, mask_BxT.shape)
  compared = *names, 'random'
  weights_MxBxT = jnp.stack([found[name] for name in compared])
  of_attributions = zip(compared, *erasure(*inputs, classes_B, weights_MxBxT))
  for name, comprehensiveness_B, sufficiency_B in of_attributions:
    found[f'{name}: comprehensiveness'] = comprehensiveness_B
    found[f'{name}: sufficiency'] = sufficiency_B
  found['change'] = total_variation(own_BxC[:, None], others_BxTxC)
  if 'attention' in names:
    distance_B, flipped_B = uniform_change(*inputs)
    found |= {
      'fixed_gradient': jnp.abs(
        gradient_x_input(*inputs, classes_B, fixed_attention=True)
      ),
      'permutation': permutation_change(*inputs, key),
      'uniform': distance_B,
      'flipped': flipped_B,
    }
  return found


@functools.partial(jax.jit, static_argnames=('model', 'task'))
def _search(
  model: Classifier,
  task: SingleLabel,
  params: Any,
  batch: Batch,
  key: jax.Array,
) -> dict[str, jax.Array]:
  found = adversarial_weights(model, task, params, batch, key)
  classes_B = probabilities(model, task, params, batch).argmax(-1)
  return {'divergence': found.divergence, 'classes': classes_B}


def _table(
  found: Mapping[str, list[np.ndarray]],
  searched: Mapping[str, list[np.ndarray]],
  labels: Sequence[str],
) -> list[dict[str, Any]]:
  """The rows of the tests of the attention."""
  rows = []
  classes_N = np.array(found['classes'])
  for name, first, second in (
    (TAU_GRADIENT, 'attention', 'fixed_gradient'),
    (TAU_LEAVE_ONE_OUT, 'attention', 'change'),
    (_TAU_OTHERS, 'fixed_gradient', 'change'),
  ):
    taus, p_values = kendall_tau(found[first], found[second])
    rows += _by_class(name, taus, classes_N, labels)
    significant = np.where(np.isnan(taus), np.nan, p_values < _SIGNIFICANT)
    rows.append(
      row(
        f'{name}: share with p < {_SIGNIFICANT}',
        mean_estimate(significant),
        JAIN_WALLACE,
        detail=True,
      )
    )
  permutation = np.array(found['permutation'])
  rows += _by_class(_PERMUTED, permutation, classes_N, labels)
  divergences, classes = map(
    np.array, (searched['divergence'], searched['classes'])
  )
  rows += _by_class(ADVERSARIAL, divergences, classes, labels)
  for name, key in ((_UNIFORM, 'uniform'), (_FLIPPED, 'flipped')):
    rows.append(
      row(name, mean_estimate(np.array(found[key])), WIEGREFFE_PINTER)
    )
  return rows


def _by_class(
  name: str, values: np.ndarray, classes: np.ndarray, labels: Sequence[str]
) -> list[dict[str, Any]]:
  """Rows of Jain & Wallace's tests, over all texts and by predicted class."""
  rows = [row(name, mean_estimate(values), JAIN_WALLACE)]
  if len(labels) <= _MOST_CLASSES:
    rows += [
      row(
        f'{name}: {label}',
        mean_estimate(values[classes == c]),
        JAIN_WALLACE,
        detail=True,
      )
      for c, label in enumerate(labels)
    ]
  return rows


def row(
  name: str, estimate: Estimate, paper: str, detail: bool = False
) -> dict[str, Any]:
  """A row of the table; JSON has no word for NaN, which becomes null."""
  return {
    'name': name,
    **{
      key: None if math.isnan(value) else value
      for key, value in estimate._asdict().items()
    },
    'reading': _READINGS.get(name, ''),
    'paper': paper,
    'detail': detail,
  }


def accuracy_rows(
  correct: Sequence[bool], of_uniform: Sequence[bool] | None
) -> list[dict[str, Any]]:
  """The accuracy of the run, and the uniform control.

  Wiegreffe & Pinter, 2019, https://aclanthology.org/D19-1002, section 3.2:
  attention that training does not need for its accuracy cannot explain much.

  Args:
    correct: whether the run is right about each text.
    of_uniform: the same of a run that was trained with uniform weights, if
      there is one.
  """
  rows = [row(ACCURACY, mean_estimate(correct), WIEGREFFE_PINTER)]
  if of_uniform is not None:
    rows.append(
      row(ACCURACY_UNIFORM, mean_estimate(of_uniform), WIEGREFFE_PINTER)
    )
  return rows


def diagnostic_rows(
  model: Classifier,
  task: SingleLabel,
  params: Any,
  train: EncodedSplit,
  test: EncodedSplit,
  table_VxE: np.ndarray,
  seed: int = 0,
) -> list[dict[str, Any]]:
  """The accuracy of the MLP with each guide; see `diagnostic.accuracies`."""
  found = diagnostic.accuracies(
    model, task, params, train, test, table_VxE, seed=seed
  )
  names = {
    'uniform': 'uniform weights',
    'own': 'weights of its own',
    'model': "the model's attention",
  }
  return [
    row(_MLP.format(names[guide]), mean_estimate(correct), WIEGREFFE_PINTER)
    for guide, correct in found.items()
  ]
