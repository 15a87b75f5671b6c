"""The language model, with the embedding and the encoder of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.data.text import UNK_ID
from bigru_jax.models.bigru import BiGRU, dropout_keys
from bigru_jax.models.classifier import Outputs
from bigru_jax.models.embedding import token_table
from bigru_jax.ops.dropout import (
  Site,
  dropout,
  fold_keys,
  spatial_dropout,
  word_dropout,
)
from bigru_jax.ops.embedding import lookup
from bigru_jax.ops.sampled_softmax import (
  Candidates,
  log_likelihoods,
  whole_vocabulary,
)


class LanguageModel(nn.Module):
  """Predicts the next word forward, and the previous word backward.

  Each direction of a layer reads the words on one side of a position, as in
  Dai & Le, 2015, https://arxiv.org/abs/1511.01432, and Peters et al., 2018,
  https://aclanthology.org/N18-1202. A second layer would read both directions,
  and with them the word that it is to predict. The states are projected to the
  size of the embedding, whose rows are the output vectors of words as well
  (Press & Wolf, 2017, https://aclanthology.org/E17-2025).

  The parameters `embedding` and `encoder` are those of a `Classifier` of equal
  sizes.

  Examples:
    >>> batch = {'tokens': jnp.array([[5, 3, 4]]), 'lengths': jnp.array([3])}
    >>> model = LanguageModel(vocabulary_size=9)
    >>> variables = model.init(jax.random.key(0), batch)
    >>> model.apply(variables, batch).logits.shape  # Of the two directions.
    (1, 2)

  Attributes:
    vocabulary_size, embedding_size, hidden_size, embedding_dropout,
      spatial_dropout, word_dropout, recurrent_dropout, dtype, embedding_axis:
      see `Classifier`; the softmax is float32.
  """

  vocabulary_size: int
  embedding_size: int = 100
  hidden_size: int = 128
  embedding_dropout: float = 0.5
  spatial_dropout: float = 0.0
  word_dropout: float = 0.0
  recurrent_dropout: float = 0.0
  dtype: Any = jnp.float32
  embedding_axis: str | None = None

  @nn.compact
  def __call__(
    self,
    batch: Mapping[str, jax.Array],
    dropout_keys_B: jax.Array | None = None,
    candidates: Candidates | None = None,
  ) -> Outputs:
    """Returns the log-likelihood of each text, [B, 2], as `logits`.

    It is the sum over all words but the first in the forward direction, and
    over all but the last in the backward direction.

    Args:
      batch, dropout_keys_B: see `Classifier`.
      candidates: the words that the sum of the softmax runs over; by default
        the whole vocabulary.
    """
    tokens_BxT, lengths_B = batch['tokens'], batch['lengths']
    mask_BxT = jnp.arange(tokens_BxT.shape[1]) < lengths_B[:, None]
    table_VxE, axis = token_table(self), self.embedding_axis
    vectors_BxTxE = lookup(table_VxE, tokens_BxT, axis)
    keys_B = dropout_keys(self, dropout_keys_B, len(lengths_B))
    x_BxTxE = self._drop(tokens_BxT, vectors_BxTxE, table_VxE, keys_B)
    encoder = BiGRU(
      self.hidden_size,
      recurrent_dropout=self.recurrent_dropout,
      dtype=self.dtype,
      name='encoder',
    )
    h_BxTx2H = encoder(
      x_BxTxE, mask_BxT, dropout_keys_B=fold_keys(keys_B, Site.ENCODER)
    )
    predicting_DxNxE = self._project(h_BxTx2H)
    biases_V = self.param(
      'output_bias', nn.initializers.zeros, (self.vocabulary_size,)
    )
    if candidates is None:
      candidates = whole_vocabulary(self.vocabulary_size)
    candidate_vectors_SxE = table_VxE[candidates.ids_S]
    if axis is not None:
      candidate_vectors_SxE = jax.lax.all_gather(
        candidate_vectors_SxE, axis, axis=1, tiled=True
      )

    def next_and_previous(x_BxTx):
      """Returns what the directions predict, as one axis of positions."""
      return jnp.concatenate([x_BxTx[:, 1:], x_BxTx[:, :-1]]).reshape(
        -1, *x_BxTx.shape[2:]
      )

    targets_N = next_and_previous(tokens_BxT)
    log_likelihoods_N = log_likelihoods(
      predicting_DxNxE.reshape(-1, self.embedding_size),
      targets_N,
      next_and_previous(vectors_BxTxE),
      biases_V[targets_N],
      candidates,
      candidate_vectors_SxE,
      biases_V[candidates.ids_S],
    )
    # The second of two neighbours is a word if both are.
    log_likelihoods_DxBxT = jnp.where(
      mask_BxT[:, 1:], log_likelihoods_N.reshape(2, len(tokens_BxT), -1), 0
    )
    return Outputs(log_likelihoods_DxBxT.sum(-1).T, {})

  def _drop(
    self,
    tokens_BxT: jax.Array,
    x_BxTxE: jax.Array,
    table_VxE: jax.Array,
    keys_B: jax.Array | None,
  ) -> jax.Array:
    """Returns the vectors of tokens that the encoder reads, with dropout."""
    if self.word_dropout and keys_B is not None:
      word_keys_B = fold_keys(keys_B, Site.WORDS)
      read_BxT = word_dropout(
        tokens_BxT, self.word_dropout, word_keys_B, UNK_ID
      )
      x_BxTxE = lookup(table_VxE, read_BxT, self.embedding_axis)
    x_BxTxE = dropout(
      x_BxTxE.astype(self.dtype),
      self.embedding_dropout,
      fold_keys(keys_B, Site.EMBEDDED),
    )
    return spatial_dropout(
      x_BxTxE, self.spatial_dropout, fold_keys(keys_B, Site.FEATURES)
    )

  def _project(self, h_BxTx2H: jax.Array) -> jax.Array:
    """Returns the vectors [2, B (T - 1), E] that predict words, float32."""
    shape = 2, self.hidden_size, self.embedding_size
    init = nn.initializers.lecun_normal(batch_axis=0)
    kernel_DxHxE = self.param('projection', init, shape)
    forward, backward = jnp.split(h_BxTx2H, 2, axis=-1)
    h_DxNxH = jnp.stack([forward[:, :-1], backward[:, 1:]]).reshape(
      2, -1, self.hidden_size
    )
    return jnp.matmul(
      h_DxNxH,
      kernel_DxHxE.astype(self.dtype),
      preferred_element_type=jnp.float32,
    )
