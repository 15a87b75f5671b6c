"""The published tests of whether weights over tokens explain a prediction.

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

from bigru_jax.explain.positions import Batch, keep_tokens, real_tokens
from bigru_jax.explain.predictions import TrainedModel, of_classes
from bigru_jax.runtime.precision import single_precision
from bigru_jax.statistics import intervals

SHARES = 0.01, 0.05, 0.1, 0.2, 0.5


def mean_estimate(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
  """Returns the mean of the finite values, with its 95 % confidence interval.

  The interval is Wilson's if all values are 0 or 1, because the mean is then a
  share; otherwise it is Student's t. It leaves the range from 0 to 1 only where
  values do.

  Example:
    >>> {k: round(x, 3) for k, x in mean_estimate([1.0] * 9 + [0.0]).items()}
    {'value': 0.9, 'low': 0.596, 'high': 0.982, 'n': 10}

  Returns:
    `value`, the mean; `low` and `high`, the ends of the interval; and `n`, the
    number of finite values. If it is 0, the other three are None; of one value
    that is no share, low and high are this value.
  """
  array = np.asarray(values, np.float64)
  array = array[np.isfinite(array)]
  n = len(array)
  if not n:
    return {'value': None, 'low': None, 'high': None, 'n': 0}
  mean = float(array.mean())
  low = high = mean
  if np.isin(array, (0, 1)).all():
    interval = intervals.wilson(mean * n, n)
    low, high = interval.low, interval.high
  elif n > 1:
    bounds = min(float(array.min()), 0.0), max(float(array.max()), 1.0)
    interval = intervals.student(array, bounds)
    low, high = interval.low, interval.high
  return {'value': mean, 'low': low, 'high': high, 'n': n}


def kendall_tau(
  first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
  """Returns Kendall's rank correlation of two weightings of each text's tokens.

    tau = (concordant - discordant) / sqrt((n - ties_1) (n - ties_2))

  over the n pairs of tokens (tau-b). Jain & Wallace, 2019, algorithm 1, compare
  attention with |gradient x input| for fixed attention, and with the change of
  the output when the token is left out.

  Args:
    first, second: one weight per token of each text.

  Returns:
    tau and the p-value of no correlation, [N] each. Both are NaN for a text
    with one token or with equal weights.
  """
  from scipy import stats  # Importing it takes 0.4 s.

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
  """Computes the comprehensiveness and sufficiency of attributions.

    comprehensiveness_k = p_c(x) - p_c(x without r_k)
    sufficiency_k = p_c(x) - p_c(r_k alone)

  r_k are the tokens with the largest weights, a share k of the text and at
  least one (DeYoung et al., 2020, equations 1 and 2). AOPC, the area over the
  perturbation curve, is the mean over k = 1, 5, 10, 20 and 50 % (section 5). A
  faithful attribution has a high comprehensiveness and a low sufficiency. Texts
  become shorter when tokens are removed.

  Args:
    trained, batch: the model and texts.
    classes_B: the class c of each text.
    weights_MxBxT: M attributions.
    shares: the values of k.

  Returns:
    The AOPC of comprehensiveness and of sufficiency, [M, B] each.
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
  """Returns precision and recall of each text's k tokens of largest weight.

    precision = |top_k and deciding| / k,  recall = |...| / |deciding|

  Example:
    >>> precision, recall = agreement([np.array([0.1, 0.9, 0.5])], [{1}], k=2)
    >>> precision.tolist(), recall.tolist()
    ([0.5], [1.0])

  Args:
    weights: one weight per token of each text.
    deciding: the positions of the tokens that decide each text's label.
    k: the number of tokens; a shorter text counts all of its tokens.
  """
  hits = np.array([
    len(set(np.argsort(-w, kind='stable')[:k].tolist()) & known)
    for w, known in zip(weights, deciding, strict=True)
  ])  # fmt: skip
  counts = np.array([min(k, len(w)) for w in weights])
  return hits / counts, hits / np.array([len(known) for known in deciding])
