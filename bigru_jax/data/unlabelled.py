"""Texts without labels, of which each training step has a batch."""

from __future__ import annotations

import dataclasses

import numpy as np

from bigru_jax.data.batching import Plan
from bigru_jax.data.ragged import Ragged, pack
from bigru_jax.data.truncation import Limits

_STREAM = 1  # Of the seed: epochs without it are those of `epoch_plan`.


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlabelledTexts:
  """Texts that make a batch for each batch of train, of the same shape.

  Attributes:
    tokens: the ids of each text.
    keep: the part that is kept of a text that is too long for its batch, a name
      of `truncation.TRUNCATIONS`.
  """

  tokens: Ragged
  keep: str

  def plan(
    self, plan: Plan, batch_size: int, seed: int, epoch: int
  ) -> list[np.ndarray]:
    """Returns the indices [B] of the texts beside each batch of an epoch.

    Like the plan of train, it is a pure function of its arguments. No text is
    drawn again before all were, also over several epochs. What is drawn for an
    epoch goes to its batches by length: the longest texts to those of the
    longest padded length, so that little is padded or cut.

    Args:
      plan: the batches of train, of which each epoch has as many.
      batch_size: B.
      seed: the seed of the order in which the texts are drawn.
      epoch: the epoch, from 1.
    """
    count = len(plan) * batch_size
    drawn = self._drawn((epoch - 1) * count, epoch * count, seed)
    by_length = np.argsort(self.tokens.lengths[drawn], kind='stable')
    padded_lengths = np.array([length for length, _ in plan])
    batches = np.empty((len(plan), batch_size), drawn.dtype)
    start = 0
    for length in np.unique(padded_lengths):
      is_of_length = padded_lengths == length
      end = start + is_of_length.sum() * batch_size
      # Sorted, these positions have the random order of the draw again.
      indices = drawn[np.sort(by_length[start:end])]
      batches[is_of_length] = indices.reshape(-1, batch_size)
      start = end
    return list(batches)

  def _drawn(self, start: int, end: int, seed: int) -> np.ndarray:
    """Returns a part of one permutation of all texts after another."""
    size = len(self.tokens)
    rounds = range(start // size, -(-end // size))
    order = np.concatenate(
      [
        np.random.default_rng([seed, number, _STREAM]).permutation(size)
        for number in rounds
      ]
    )
    return order[start - rounds[0] * size :][: end - start].astype(np.int32)

  def local_batch(
    self,
    indices: np.ndarray,
    length: int,
    total_weight: float,
    index: int,
    count: int,
  ) -> dict[str, np.ndarray]:
    """Returns one of several equal parts of a batch.

    Args:
      indices: [B], the texts of the whole batch.
      length: T, the padded length; longer texts are cut to it.
      total_weight: the sum of the weights of the whole batch beside it.
      index, count: see `EncodedSplit.local_batch`.

    Returns:
      `tokens` [B / count, T] int32, `lengths` [B / count] int32, and `weights`
      [B / count] float32. The weights are equal, and those of the whole batch
      have the sum `total_weight`. Divided by it like the labelled texts' losses
      are, the sum of the weighted losses is therefore the losses' mean.
    """
    size = len(indices) // count
    tokens = self.tokens[indices[index * size : (index + 1) * size]]
    if tokens.lengths.max() > length:
      limits = Limits(max_length=length, keep=self.keep)
      rows = np.split(tokens.flat(), np.cumsum(tokens.lengths)[:-1])
      tokens = pack([limits.truncate([row.tolist()]).tokens for row in rows])
    return {
      'tokens': tokens.padded(tokens.lengths, length),
      'lengths': tokens.lengths,
      'weights': np.full(size, total_weight / len(indices), np.float32),
    }

  def num_tokens(self, plan: Plan, indices: list[np.ndarray]) -> int:
    """Returns the number of tokens of batches, without what is cut."""
    return sum(
      int(np.minimum(self.tokens.lengths[texts], length).sum())
      for (length, _), texts in zip(plan, indices)
    )
