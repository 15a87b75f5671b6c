"""The published tests of whether weights over tokens explain an answer.

| test | function | paper |
| --- | --- | --- |
| rank correlation | `kendall_tau` | Jain & Wallace, 2019 |
| permuted weights | `interventions.permutation_change` | the same |
| adversarial weights | `interventions.adversarial_weights` | the same |
| uniform weights | `interventions.uniform_change` | Wiegreffe & Pinter, 2019 |
| diagnostic MLP | `diagnostic.accuracies` | the same |
| comprehensiveness, sufficiency | `erasure` | DeYoung et al., 2020 |
| precision and recall at k | `agreement` | none: of known deciding tokens |

Jain & Wallace, Attention is not Explanation, https://aclanthology.org/N19-1357;
Wiegreffe & Pinter, Attention is not not Explanation,
https://aclanthology.org/D19-1002; DeYoung et al., ERASER,
https://aclanthology.org/2020.acl-main.408.
"""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from bigru_jax.explain.predictions import (
  Batch,
  TrainedModel,
  keep_tokens,
  of_classes,
  real_tokens,
)
from bigru_jax.runtime.precision import single_precision

SHARES = 0.01, 0.05, 0.1, 0.2, 0.5


def mean_estimate(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
  """The mean of the values that are finite, with its confidence interval.

  Example:
    >>> mean_estimate([1.0, 1.0, float('nan')])
    {'value': 1.0, 'low': 1.0, 'high': 1.0, 'n': 2}

  Returns:
    The mean, `value`, the 95 % confidence interval `low` to `high`, by the
    normal approximation, and the number of values, `n`. Where it is 0, the
    others are None.
  """
  array = np.asarray(values, np.float64)
  array = array[np.isfinite(array)]
  if not len(array):
    return {'value': None, 'low': None, 'high': None, 'n': 0}
  mean = float(array.mean())
  half = 0.0
  if len(array) > 1:
    half = 1.96 * float(array.std(ddof=1)) / math.sqrt(len(array))
  return {
    'value': mean, 'low': mean - half, 'high': mean + half, 'n': len(array),
  }  # fmt: skip


def kendall_tau(
  first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
  """Kendall's rank correlation of two weights of the tokens of each text.

    tau = (concordant - discordant) / sqrt((n - ties_1) (n - ties_2))

  over the n pairs of tokens (tau-b). Jain & Wallace, 2019, algorithm 1: between
  attention and |gradient x input|, with the attention fixed, and between
  attention and the change of the output when the token is left out.

  Args:
    first, second: of each text one weight per token.

  Returns:
    tau and its p-value under no correlation, [N] each; NaN where a text has one
    token, or all its weights are equal.
  """
  correlations = [
    stats.kendalltau(a, b)
    if len(a) > 1 and np.ptp(a) and np.ptp(b)
    else (math.nan, math.nan)
    for a, b in zip(first, second, strict=True)
  ]
  taus, p_values = np.array(correlations, np.float64).reshape(-1, 2).T
  return taus, p_values


@single_precision()
def erasure(
  trained: TrainedModel,
  batch: Batch,
  classes_B: jax.Array,
  weights_MxBxT: jax.Array,
  shares: Sequence[float] = SHARES,
) -> tuple[jax.Array, jax.Array]:
  """Comprehensiveness and sufficiency of attributions.

    comprehensiveness_k = p_c(x) - p_c(x without r_k)
    sufficiency_k = p_c(x) - p_c(r_k alone)

  where r_k are the tokens of the largest weights, a share k of the text, at
  least one. DeYoung et al., 2020, equations 1 and 2; AOPC, the area over the
  perturbation curve, is the mean over k = 1, 5, 10, 20 and 50 %, as in section
  5. A faithful attribution has a high comprehensiveness and a low sufficiency.
  Tokens are removed, and the text is shorter by them.

  Args:
    trained, batch: the model and texts.
    classes_B: c of each text.
    weights_MxBxT: M attributions.
    shares: k.

  Returns:
    The AOPC of both, [M, B] each.
  """
  mask_BxT = real_tokens(batch)
  lengths_B = batch['lengths']
  order = jnp.where(mask_BxT, -weights_MxBxT, jnp.inf).argsort(-1, stable=True)
  ranks_MxBxT = order.argsort(-1)
  counts_RxB = jnp.stack(
    [jnp.maximum(jnp.ceil(share * lengths_B), 1) for share in shares]
  )
  top = ranks_MxBxT[:, None] < counts_RxB[..., None]  # [M, R, B, T]
  keep = jnp.stack([mask_BxT & ~top, mask_BxT & top])  # [2, M, R, B, T]

  def probability(keep_BxT):
    part = keep_tokens(batch, keep_BxT)
    return of_classes(trained.probabilities(part), classes_B)

  parts = jax.lax.map(probability, keep.reshape(-1, *mask_BxT.shape))
  parts = parts.reshape(*keep.shape[:3], -1)
  whole_B = of_classes(trained.probabilities(batch), classes_B)
  comprehensiveness, sufficiency = (whole_B - parts).mean(2)
  return comprehensiveness, sufficiency


def agreement(
  weights: Sequence[np.ndarray], deciding: Sequence[set[int]], k: int
) -> tuple[np.ndarray, np.ndarray]:
  """Precision and recall of the k tokens of the largest weights of each text.

    precision = |top_k and deciding| / k,  recall = |...| / |deciding|

  Example:
    >>> precision, recall = agreement([np.array([0.1, 0.9, 0.5])], [{1}], k=2)
    >>> precision.tolist(), recall.tolist()
    ([0.5], [1.0])

  Args:
    weights: of each text one weight per token.
    deciding: the positions of the tokens that decide each text's label.
    k: how many tokens; all of a shorter text.
  """
  hits = np.array([
    len(set(np.argsort(-w, kind='stable')[:k].tolist()) & known)
    for w, known in zip(weights, deciding, strict=True)
  ])  # fmt: skip
  counts = np.array([min(k, len(w)) for w in weights])
  return hits / counts, hits / np.array([len(known) for known in deciding])
