"""The perplexity of a language model, accumulated batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
import math
from typing import Any

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np


class PerplexityMetrics(struct.PyTreeNode):
  """The metrics of a language model's evaluation so far.

  The sums are compensated (Kahan, 1965, https://doi.org/10.1145/363707.363723),
  since float32 cannot add a small batch to millions of words.

  Attributes:
    log_likelihoods_2: the sum of each direction.
    errors_2: the rounding errors of these sums.
    words: the number of words that each direction predicts.
    examples: the number of texts, or of their chunks.
  """

  log_likelihoods_2: jax.Array
  errors_2: jax.Array
  words: jax.Array
  examples: jax.Array

  @classmethod
  def zeros(cls) -> PerplexityMetrics:
    """Returns the metrics of zero examples."""
    return cls(
      log_likelihoods_2=jnp.zeros(2, jnp.float32),
      errors_2=jnp.zeros(2, jnp.float32),
      words=jnp.zeros((), jnp.int32),
      examples=jnp.zeros((), jnp.int32),
    )

  def update(
    self, log_likelihoods_Bx2: jax.Array, batch: Mapping[str, jax.Array]
  ) -> PerplexityMetrics:
    """Adds a batch; examples without tokens are padding and do not count."""
    lengths_B = batch['lengths']
    of_batch_2 = log_likelihoods_Bx2.sum(0) - self.errors_2
    sums_2 = self.log_likelihoods_2 + of_batch_2
    return PerplexityMetrics(
      log_likelihoods_2=sums_2,
      errors_2=(sums_2 - self.log_likelihoods_2) - of_batch_2,
      words=self.words + jnp.maximum(lengths_B - 1, 0).sum(dtype=jnp.int32),
      examples=self.examples + (lengths_B > 0).sum(dtype=jnp.int32),
    )

  def compute(self) -> dict[str, Any]:
    """Returns the loss, the perplexities, and the number of examples."""
    words = max(int(self.words), 1)
    losses_2 = -np.asarray(self.log_likelihoods_2, np.float64) / words
    names = 'forward_perplexity', 'backward_perplexity'
    return {
      'loss': float(losses_2.mean()),
      'perplexity': _exponential(losses_2.mean()),
      **{name: _exponential(x) for name, x in zip(names, losses_2)},
      'examples': int(self.examples),
    }


def _exponential(loss: float) -> float:
  """Returns exp(loss), or infinity where it is no number of float64."""
  try:
    return math.exp(loss)
  except OverflowError:
    return math.inf
