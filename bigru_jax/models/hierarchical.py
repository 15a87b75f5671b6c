"""The hierarchical classifier: words to sentences to a document."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.data.text import UNK_ID
from bigru_jax.models.bigru import dropout_keys
from bigru_jax.models.classifier import Outputs, drop_context, encode
from bigru_jax.models.embedding import Ngrams, embed
from bigru_jax.models.pooling import pooling_of
from bigru_jax.ops.dropout import (
  Site,
  dropout,
  fold_keys,
  spatial_dropout,
  word_dropout,
)


class HierarchicalClassifier(nn.Module):
  """The hierarchical attention network.

  A BiGRU reads the words of each sentence, and a pooling turns its states into
  a sentence vector; a second BiGRU reads a document's sentence vectors, and a
  second pooling makes the vector that is classified (Yang et al., 2016,
  https://aclanthology.org/N16-1174).

  The sentences of all documents of a batch are concatenated on one axis, S, so
  there is no padded array of documents, sentences and words. The axis M holds
  the sentences of one document.

  Examples:
    >>> batch = {  # Two documents, of one sentence and of two.
    ...   'tokens': jnp.array([[5, 3], [2, 0], [4, 4]]),
    ...   'sentence_lengths': jnp.array([2, 1, 2]),
    ...   'sentence_mask': jnp.array([[True, False], [True, True]])}
    >>> model = HierarchicalClassifier(vocabulary_size=9, num_outputs=2)
    >>> variables = model.init(jax.random.key(0), batch)
    >>> outputs = model.apply(variables, batch)
    >>> outputs.logits.shape, outputs.attention['words'].shape
    ((2, 2), (2, 1, 2, 2))
    >>> outputs.attention['sentences'].shape
    (2, 1, 2)

  Attributes:
    hidden_size, num_layers: the sizes of both encoders.
    pooling: both poolings, see `Classifier`.
    dropout_after_pooling: the dropout rate on the document's vector; -1 for
      that of `dropout`.
    spatial_dropout: its features are the same ones in a whole document.

  The other attributes are those of `Classifier`.
  """

  vocabulary_size: int
  num_outputs: int
  embedding_size: int = 100
  hidden_size: int = 128
  num_layers: int = 1
  pooling: str = 'additive'
  num_heads: int = 4
  dropout: float = 0.5
  dropout_after_pooling: float = -1.0
  embedding_dropout: float = 0.5
  spatial_dropout: float = 0.0
  word_dropout: float = 0.0
  recurrent_dropout: float = 0.0
  dtype: Any = jnp.float32
  embedding_axis: str | None = None
  set_sizes: tuple[int, ...] = ()
  ngrams: Ngrams | None = None
  xla_only: bool = False

  @nn.compact
  def __call__(
    self,
    batch: Mapping[str, jax.Array],
    dropout_keys_B: jax.Array | None = None,
    attention: Mapping[str, jax.Array] | None = None,
    perturbation: jax.Array | None = None,
  ) -> Outputs:
    """Classifies a batch.

    Dropout is active if there are keys for it, either in `dropout_keys_B` or
    from the stream `dropout` of `rngs`. A sentence's mask depends on its
    document's key and its position in the document.

    Args:
      batch: `tokens` [S, T], the ids of all sentences, document after document,
        right-padded with any id; `sentence_lengths` [S], the number of tokens
        of each sentence, 0 for a padding sentence; `sentence_mask` [B, M], True
        at the sentences of each document, which begin at position 0.
      dropout_keys_B: one dropout key per document.
      attention: weights to use instead of the model's own, by name, as in
        `Outputs.attention`: `words` [B, K, M, T], `sentences` [B, K, M].
      perturbation: an array [S, T, E] that is added to the embedded tokens.
    """
    tokens_SxT, lengths_S = batch['tokens'], batch['sentence_lengths']
    mask_BxM = batch['sentence_mask']
    num_sentences, time = tokens_SxT.shape
    mask_SxT = jnp.arange(time) < lengths_S[:, None]
    sentence_BxM, document_S, position_S = _indices(mask_BxM, num_sentences)
    keys_B = dropout_keys(self, dropout_keys_B, mask_BxM.shape[0])
    keys_S = feature_keys_S = None
    if keys_B is not None:
      keys_S = fold_keys(keys_B, Site.SENTENCES)[document_S]
      keys_S = fold_keys(keys_S, position_S)
      feature_keys_S = fold_keys(keys_B, Site.FEATURES)[document_S]

    def by_document(x_Sx, padding_mask):
      return jnp.where(padding_mask, x_Sx[sentence_BxM], 0)

    tokens_SxT = word_dropout(
      tokens_SxT,
      self.word_dropout,
      fold_keys(keys_S, Site.WORDS_OF_SENTENCE),
      UNK_ID,
    )
    x_SxTxE, set_weights = embed(self, tokens_SxT, mask_SxT)
    x_SxTxE = dropout(
      x_SxTxE, self.embedding_dropout, fold_keys(keys_S, Site.EMBEDDED)
    )
    x_SxTxE = spatial_dropout(x_SxTxE, self.spatial_dropout, feature_keys_S)
    if perturbation is not None:
      x_SxTxE += perturbation
    weights = dict(attention or {})
    if 'words' in weights:
      weights['words'] = weights['words'].swapaxes(1, 2)[document_S, position_S]
    s_SxF, words_SxKxT = self._encode_and_pool(
      'word', x_SxTxE, mask_SxT, keys_S, weights.get('words')
    )
    s_BxMxF = by_document(s_SxF, mask_BxM[..., None])
    c_BxF, sentences_BxKxM = self._encode_and_pool(
      'sentence', s_BxMxF, mask_BxM, keys_B, weights.get('sentences')
    )
    c_BxF = drop_context(self, c_BxF, keys_B)
    dense = nn.Dense(self.num_outputs, dtype=jnp.float32, name='output')
    logits_BxC = dense(c_BxF.astype(jnp.float32))
    words = set_weights
    if words_SxKxT is not None:
      words = {'words': words_SxKxT, **set_weights}
    mask_BxMx1x1 = mask_BxM[..., None, None]
    attention = {
      name: by_document(weights_SxKxT, mask_BxMx1x1).swapaxes(1, 2)
      for name, weights_SxKxT in words.items()
    }
    if sentences_BxKxM is not None:
      attention['sentences'] = sentences_BxKxM
    return Outputs(logits_BxC, attention)

  def _encode_and_pool(self, level, x_NxTxF, mask_NxT, keys_N, weights_NxKxT):
    """Returns the vectors of sequences, from a level's BiGRU and pooling."""
    h_NxTx2H = encode(self, f'{level}_encoder', x_NxTxF, mask_NxT, keys_N)
    pool = pooling_of(self.pooling).make(
      f'{level}_attention', self.num_heads, self.num_outputs, self.xla_only
    )
    return pool(h_NxTx2H, mask_NxT, weights_NxKxT)


def _indices(
  mask_BxM: jax.Array, num_sentences: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns where the sentences of a batch of documents are.

  These are the index in S of each sentence of a document [B, M], and of each
  sentence its document [S] and its position there [S].
  """
  batch_size, max_sentences = mask_BxM.shape
  counts_B = mask_BxM.sum(1)
  ends_B = jnp.cumsum(counts_B)
  starts_B = ends_B - counts_B
  sentence_BxM = starts_B[:, None] + jnp.arange(max_sentences)
  sentence_BxM = jnp.where(mask_BxM, sentence_BxM, 0)
  document_S = (jnp.arange(num_sentences)[:, None] >= ends_B).sum(1)
  document_S = jnp.minimum(document_S, batch_size - 1)
  position_S = jnp.arange(num_sentences) - starts_B[document_S]
  position_S = jnp.minimum(position_S, max_sentences - 1)
  return sentence_BxM, document_S, position_S
