"""Runs all attributions and tests on the texts of a split.

`study` returns what `bigru explain` writes to explain-<split>.json of
the run directory:

  split         the split
  texts         the number of its texts that were drawn at random and explained
  table         the tests of the attention, one per row: `name`; `value`, a mean
                over `n` texts, with its 95 % confidence interval `low` to
                `high`; `reading`, how to read it; `paper`, the source of the
                test; and `detail`, whether the row is a detail of the one
                above. `value`, `low` and `high` are null without any value.
  attributions  by the attribution's name, the means over the texts of
                `comprehensiveness` and `sufficiency` (AOPC), and for
                integrated gradients `completeness_error`. On `synthetic`, where
                the deciding tokens are known, also `precision_at_1`,
                `recall_at_1`, `precision_at_2`, `recall_at_2`.

`random`, one random number per token, is the baseline of the attributions.
Models whose pooling has no weights have an empty table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import functools
import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.data.batching import EncodedSplit
from bigru_jax.explain import diagnostic
from bigru_jax.explain.attributions import (
  ATTRIBUTIONS,
  gradient_x_input,
  integrated_gradients,
  leave_one_out,
  left_out,
  methods_of,
)
from bigru_jax.explain.faithfulness import (
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
from bigru_jax.explain.positions import Batch
from bigru_jax.explain.predictions import (
  TrainedModel,
  over_split,
  sampled,
  total_variation,
)
from bigru_jax.runtime.precision import single_precision

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
  TAU_GRADIENT: '1: attention orders the tokens as the gradient does; 0: the '
  'orders are unrelated',
  TAU_LEAVE_ONE_OUT: '1: attention orders the tokens as leaving each one out '
  'does; 0: the orders are unrelated',
  _TAU_OTHERS: 'the agreement of these two with each other',
  _PERMUTED: 'near 0: it does not matter which token has which weight',
  ADVERSARIAL: 'at most 0.69; high: very different weights give the same '
  'prediction',
  _UNIFORM: 'near 0: the prediction does not need the weights',
  _FLIPPED: 'the share of texts whose predicted class changes',
  ACCURACY_UNIFORM: "no lower than the run's: the task does not need attention",
  _MLP.format("the model's attention"): 'above both other MLPs: the weights '
  'help another model as well',
}
_AT = 1, 2
_BATCH_SIZE = 128
_SIGNIFICANT = 0.05
_MAX_CLASSES = 6  # The maximal number of classes with their own rows.
_log = logging.getLogger(__name__)


@single_precision()
def study(
  trained: TrainedModel,
  labels: Sequence[str],
  split: EncodedSplit,
  adversarial_texts: int = 200,
  deciding: Sequence[set[int]] | None = None,
  seed: int = 0,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
  """Computes the table of faithfulness and the means of the attributions.

  Args:
    trained: the model.
    labels: the classes' names.
    split: the texts, from `predictions.sampled`.
    adversarial_texts: the number of texts for the adversarial search.
    deciding: the positions of the tokens that decide each text's label, if they
      are known.
    seed: the seed of the permutations and of the search.

  Returns:
    `table` and `attributions`, see the module's docstring.
  """
  names = methods_of(trained.model.pooling)
  _log.info('computing and erasing attributions of %d texts', len(split))
  step = functools.partial(_explain, names=names)
  explained = over_split(step, trained, split, _BATCH_SIZE, seed)
  attributions = {
    name: _means(explained, name, deciding) for name in (*names, 'random')
  }
  if 'attention' not in names:
    return [], attributions
  _log.info(
    'searching adversarial attention for at most %d texts', adversarial_texts
  )
  fewer_texts = sampled(split, adversarial_texts, seed)
  searched = over_split(_search, trained, fewer_texts, _BATCH_SIZE, seed)
  return _table(explained, searched, labels), attributions


@functools.partial(jax.jit, static_argnames='names')
def _explain(
  trained: TrainedModel, batch: Batch, key: jax.Array, names: tuple[str, ...]
) -> dict[str, jax.Array]:
  """Computes all attributions of a batch, and the values for its tests."""
  own_BxC = trained.probabilities(batch)
  left_out_BxTxC = left_out(trained, batch)
  classes_B = trained.classes(own_BxC)
  inputs = trained, batch, classes_B
  results = {}
  for name in names:
    if name == 'integrated_gradients':
      results[name], error_B = integrated_gradients(*inputs)
      results['completeness_error'] = error_B
    elif name == 'leave_one_out':  # The same numbers give the change below.
      results[name] = leave_one_out(*inputs, left_out_BxTxC)
    else:
      results[name] = ATTRIBUTIONS[name](*inputs)
  results['random'] = jax.random.uniform(key, batch['tokens'].shape)
  weights_MxBxT = jnp.stack([results[name] for name in (*names, 'random')])
  aopc = zip((*names, 'random'), *erasure(*inputs, weights_MxBxT))
  for name, comprehensiveness_B, sufficiency_B in aopc:
    results[f'{name}: comprehensiveness'] = comprehensiveness_B
    results[f'{name}: sufficiency'] = sufficiency_B
  results['classes'] = classes_B
  results['change'] = total_variation(own_BxC[:, None], left_out_BxTxC)
  if 'attention' in names:
    gradient_BxT = gradient_x_input(*inputs, fixed_attention=True)
    results['fixed_gradient'] = jnp.abs(gradient_BxT)
    results['permutation'] = permutation_change(trained, batch, key)
    results['uniform'], results['flipped'] = uniform_change(trained, batch)
  return results


@jax.jit
def _search(
  trained: TrainedModel, batch: Batch, key: jax.Array
) -> dict[str, jax.Array]:
  return {
    'divergence': adversarial_weights(trained, batch, key).divergence,
    'classes': trained.classes(trained.probabilities(batch)),
  }


def _means(
  explained: Mapping[str, list[np.ndarray]],
  name: str,
  deciding: Sequence[set[int]] | None,
) -> dict[str, float]:
  """Returns the means of an attribution; see the module's `attributions`."""
  values: dict[str, Any] = {
    test: explained[f'{name}: {test}']
    for test in ('comprehensiveness', 'sufficiency')
  }
  if name == 'integrated_gradients':
    values['completeness_error'] = explained['completeness_error']
  if deciding is not None:
    for k in _AT:
      values[f'precision_at_{k}'], values[f'recall_at_{k}'] = agreement(
        explained[name], deciding, k
      )
  return {test: float(np.mean(of_texts)) for test, of_texts in values.items()}


def _table(
  explained: Mapping[str, list[np.ndarray]],
  searched: Mapping[str, list[np.ndarray]],
  labels: Sequence[str],
) -> list[dict[str, Any]]:
  """Returns the rows of the tests of the attention."""
  rows = []
  classes_N = np.array(explained['classes'])
  for name, first, second in (
    (TAU_GRADIENT, 'attention', 'fixed_gradient'),
    (TAU_LEAVE_ONE_OUT, 'attention', 'change'),
    (_TAU_OTHERS, 'fixed_gradient', 'change'),
  ):
    taus, p_values = kendall_tau(explained[first], explained[second])
    rows += _by_class(name, taus, classes_N, labels)
    significant = np.where(np.isnan(taus), np.nan, p_values < _SIGNIFICANT)
    share = f'{name}: share with p < {_SIGNIFICANT}'
    rows.append(row(share, significant, JAIN_WALLACE, detail=True))
  changes = explained['permutation']
  rows += _by_class(_PERMUTED, changes, classes_N, labels)
  divergences, classes = searched['divergence'], np.array(searched['classes'])
  rows += _by_class(ADVERSARIAL, divergences, classes, labels)
  rows.append(row(_UNIFORM, explained['uniform'], WIEGREFFE_PINTER))
  rows.append(row(_FLIPPED, explained['flipped'], WIEGREFFE_PINTER))
  return rows


def _by_class(
  name: str,
  values: Sequence[np.ndarray] | np.ndarray,
  classes: np.ndarray,
  labels: Sequence[str],
) -> list[dict[str, Any]]:
  """Returns rows of a test over all texts and by predicted class."""
  rows = [row(name, values, JAIN_WALLACE)]
  if len(labels) <= _MAX_CLASSES:
    for c, label in enumerate(labels):
      of_class = np.array(values)[classes == c]
      rows.append(row(f'{name}: {label}', of_class, JAIN_WALLACE, detail=True))
  return rows


def row(
  name: str, values: Any, paper: str, detail: bool = False
) -> dict[str, Any]:
  """Returns a row of the table, see the module's docstring."""
  return {
    'name': name,
    **mean_estimate(values),
    'reading': _READINGS.get(name, ''),
    'paper': paper,
    'detail': detail,
  }


def accuracy_rows(
  correct: Sequence[bool], of_uniform: Sequence[bool] | None
) -> list[dict[str, Any]]:
  """Returns the accuracy of the run and of the control with uniform weights.

  Wiegreffe & Pinter, 2019, https://aclanthology.org/D19-1002, section 3.2: if a
  model is as accurate without attention, its attention cannot explain much.

  Args:
    correct: whether the run is right about each text.
    of_uniform: the same for a run that was trained with uniform weights, if
      there is one.
  """
  rows = [row(ACCURACY, correct, WIEGREFFE_PINTER)]
  if of_uniform is not None:
    rows.append(row(ACCURACY_UNIFORM, of_uniform, WIEGREFFE_PINTER))
  return rows


def diagnostic_rows(
  trained: TrainedModel,
  train: EncodedSplit,
  test: EncodedSplit,
  table_VxE: np.ndarray,
  seed: int = 0,
) -> list[dict[str, Any]]:
  """Returns the accuracy of each guide's MLP; see `diagnostic.accuracies`."""
  correct = diagnostic.accuracies(trained, train, test, table_VxE, seed=seed)
  names = {
    'uniform': 'uniform weights',
    'own': 'weights of its own',
    'model': "the model's attention",
  }
  return [
    row(_MLP.format(names[guide]), of_texts, WIEGREFFE_PINTER)
    for guide, of_texts in correct.items()
  ]
