"""The task and the loss of a language model."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bigru_jax.config import Config
from bigru_jax.metrics.perplexity import PerplexityMetrics
from bigru_jax.ops.dropout import Site, fold_keys
from bigru_jax.ops.sampled_softmax import draw
from bigru_jax.parallel import LossFn
from bigru_jax.tasks import make_loss_fn


@dataclasses.dataclass(frozen=True)
class LanguageModelTask:
  """Each text gives the words that its neighbours predict.

  The model's two outputs are the log-likelihoods of a text in the forward and
  in the backward direction.
  """

  num_outputs: ClassVar[int] = 2

  def losses(
    self, log_likelihoods_Bx2: jax.Array, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    """Returns the mean loss of the words of each text.

    In pretraining, the weight of a text is the number of these words, so the
    weighted mean over a batch is that over its words.
    """
    num_words_B = 2 * (batch['lengths'] - 1)
    return -log_likelihoods_Bx2.sum(-1) / jnp.maximum(num_words_B, 1)

  def empty_metrics(self) -> PerplexityMetrics:
    """Returns the metrics of zero examples."""
    return PerplexityMetrics.zeros()

  def update_metrics(
    self,
    metrics: Any,
    log_likelihoods_Bx2: jax.Array,
    losses_B: jax.Array,
    batch: Mapping[str, jax.Array],
  ) -> PerplexityMetrics:
    """Returns the metrics with a batch added."""
    del losses_B  # The log-likelihoods have both directions.
    return metrics.update(log_likelihoods_Bx2, batch)


def sampled_loss(
  proposal_V: np.ndarray, config: Config, task: LanguageModelTask, model: Any
) -> LossFn:
  """Returns the loss whose softmax sums over a sample of the words.

  The texts of a batch share the sample, which is drawn with a key of the step,
  so that it depends neither on the devices nor on where a run was resumed.

  Args:
    proposal_V: see `sampled_softmax.make_proposal`.
    config: its `sampled_words` is the size of the sample; 0 for the exact sum.
    task: makes losses of the model's outputs.
    model: see `LanguageModel`.

  Returns:
    (params, batch, keys_B) -> (losses_B, Outputs); the batch has `step_keys`.
  """
  loss_fn = make_loss_fn(model, task)

  def with_sample(params, batch, keys_B):
    (key,) = fold_keys(batch['step_keys'][:1], Site.SAMPLED_WORDS)
    sample = draw(key, jnp.asarray(proposal_V), config.sampled_words)
    return loss_fn(params, batch, keys_B, candidates=sample)

  return with_sample if config.sampled_words else loss_fn
