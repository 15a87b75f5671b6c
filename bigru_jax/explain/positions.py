"""Where the tokens of each text are in a batch, and texts without some of them.

Explanations have one number for each token of a text, [B, T]. The batches of a
flat model have the same axes. Those of a hierarchical model have the words of
sentences, [S, T], so `with_positions` adds to them where the tokens of each
document are, one after another.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

Batch = Mapping[str, jax.Array]


def with_positions(
  batch: Mapping[str, np.ndarray], size: int
) -> dict[str, np.ndarray]:
  """Adds the positions of tokens to a batch of documents; others stay as is.

  Args:
    batch: a batch of `EncodedSplit.batch` for one device.
    size: at least the number of tokens of the longest document.

  Returns:
    The batch with `positions` [B, size] int32: the index of each token of a
    document among all S * T words; 0 at padding.
  """
  if 'sentence_lengths' not in batch:
    return dict(batch)
  lengths_B = batch['lengths']
  words_T = np.arange(batch['tokens'].shape[1])
  positions = np.zeros((len(lengths_B), size), np.int32)
  # Documents follow each other, and only padding is between their words.
  positions[np.arange(size) < lengths_B[:, None]] = np.flatnonzero(
    words_T < batch['sentence_lengths'][:, None]
  )
  return {**batch, 'positions': positions}


def real_tokens(batch: Batch) -> jax.Array:
  """Returns whether each position holds a token of the text, bool [B, T]."""
  size = batch.get('positions', batch['tokens']).shape[1]
  return jnp.arange(size) < batch['lengths'][:, None]


def at_tokens(values: jax.Array, batch: Batch) -> jax.Array:
  """Returns the values at each token of a text [B, T], zero at padding.

  Args:
    values: [B, T]; for a batch of documents [S, T], or [B, M, T] for the M
      sentences of each document.
    batch: the batch.
  """
  if 'positions' in batch:
    if values.ndim == 2:
      values = values.reshape(-1)[batch['positions']]
    else:
      sentence_BxT, word_BxT = _in_document(batch)
      rows_Bx1 = jnp.arange(len(values))[:, None]
      values = values[rows_Bx1, sentence_BxT, word_BxT]
  return jnp.where(real_tokens(batch), values, 0)


def at_sentences(values_BxM: jax.Array, batch: Batch) -> jax.Array:
  """Returns the value of the sentence of each token of documents, [B, T]."""
  return jnp.take_along_axis(values_BxM, _in_document(batch)[0], axis=1)


def keep_tokens(batch: Batch, keep_BxT: jax.Array) -> dict[str, jax.Array]:
  """Removes tokens from each text of a batch, which makes the texts shorter.

  A text that keeps no token is all padding, and a sentence that keeps none is
  no longer part of its document.

  Args:
    batch: a batch with `tokens` and `lengths`.
    keep_BxT: True at the tokens to keep; False at padding.
  """
  lengths_B = keep_BxT.sum(-1).astype(batch['lengths'].dtype)
  if 'positions' in batch:
    return {**_keep_words(batch, keep_BxT), 'lengths': lengths_B}
  order_BxT = jnp.argsort(~keep_BxT, axis=-1, stable=True)
  shorter = {
    name: jnp.take_along_axis(batch[name], order_BxT, axis=-1)
    for name in ('tokens', 'entities')
    if name in batch
  }
  return {**batch, **shorter, 'lengths': lengths_B}


def _in_document(batch: Batch) -> tuple[jax.Array, jax.Array]:
  """Returns the sentence in its document and the word in its sentence [B, T]
  of each token."""
  sentence_BxT, word_BxT = jnp.divmod(
    batch['positions'], batch['tokens'].shape[1]
  )
  is_real = real_tokens(batch)
  return jnp.where(is_real, sentence_BxT - sentence_BxT[:, :1], 0), word_BxT


def _keep_words(batch: Batch, keep_BxT: jax.Array) -> dict[str, jax.Array]:
  """Returns a batch of documents with only these words of their sentences."""
  tokens_SxT, mask_BxM = batch['tokens'], batch['sentence_mask']
  slots = jnp.where(real_tokens(batch), batch['positions'], tokens_SxT.size)
  keep_SxT = (
    jnp.zeros(tokens_SxT.size, bool).at[slots].set(keep_BxT, mode='drop')
  )
  keep_SxT = keep_SxT.reshape(tokens_SxT.shape)
  order_SxT = jnp.argsort(~keep_SxT, axis=-1, stable=True)
  tokens_SxT = jnp.take_along_axis(tokens_SxT, order_SxT, axis=-1)
  lengths_S = keep_SxT.sum(-1).astype(batch['sentence_lengths'].dtype)
  # Padding has the index B, which no sum includes.
  ends_B = jnp.cumsum(mask_BxM.sum(1))
  document_S = (jnp.arange(len(lengths_S))[:, None] >= ends_B).sum(1)
  counts_B = jax.ops.segment_sum(
    (lengths_S > 0).astype(jnp.int32), document_S, len(mask_BxM)
  )
  order_S = jnp.argsort(lengths_S == 0, stable=True)
  shorter = {name: x for name, x in batch.items() if name != 'positions'}
  return shorter | {
    'tokens': tokens_SxT[order_S],
    'sentence_lengths': lengths_S[order_S],
    'sentence_mask': jnp.arange(mask_BxM.shape[1]) < counts_B[:, None],
  }
