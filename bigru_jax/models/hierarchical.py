"""The hierarchical classifier: words to sentences to a document."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.data.text import UNK_ID
from bigru_jax.models.bigru import BiGRU
from bigru_jax.models.classifier import Outputs, embed
from bigru_jax.models.pooling import POOLINGS
from bigru_jax.ops.dropout import dropout, fold_keys, word_dropout


class HierarchicalClassifier(nn.Module):
  """The hierarchical attention network.

  A BiGRU reads the words of each sentence, and an attention makes a vector of
  its states; a second BiGRU reads the vectors of a document's sentences, and a
  second attention makes the vector that is classified. Yang et al., 2016,
  https://aclanthology.org/N16-1174.

  All sentences of a batch lie on one axis, S, whichever document they are of:
  there is no padded array of documents, sentences and words. The letter M
  stands for the sentences of one document.

  Example:
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
    vocabulary_size: ids run from 0 (padding) to vocabulary_size - 1.
    num_outputs: logits per example, C.
    embedding_size, hidden_size, num_layers: sizes, of both encoders; hidden is
      that of one direction.
    attention: a name of `pooling.POOLINGS`, of words and of sentences.
    num_heads: of a pooling with several heads.
    dropout: rate on the document's vector and between GRU layers.
    embedding_dropout: rate on the embedded tokens.
    word_dropout: rate at which tokens become <unk>.
    recurrent_dropout: see `BiGRU`.
    dtype, embedding_axis, portable: see `Classifier`.
  """

  vocabulary_size: int
  num_outputs: int
  embedding_size: int = 100
  hidden_size: int = 128
  num_layers: int = 1
  attention: str = 'additive'
  num_heads: int = 4
  dropout: float = 0.5
  embedding_dropout: float = 0.5
  word_dropout: float = 0.0
  recurrent_dropout: float = 0.0
  dtype: Any = jnp.float32
  embedding_axis: str | None = None
  portable: bool = False

  @nn.compact
  def __call__(
    self,
    batch: Mapping[str, jax.Array],
    dropout_keys_B: jax.Array | None = None,
    attention: Mapping[str, jax.Array] | None = None,
  ) -> Outputs:
    """Classifies a batch.

    Dropout is active where there are keys for it: one per document in
    `dropout_keys_B`, or else those that the stream `dropout` of `rngs` gives.
    A sentence's mask depends on its document's key and its place there.

    Args:
      batch: `tokens` [S, T], ids, the sentences of the first document, then
        those of the second, and so on, right-padded with anything;
        `sentence_lengths` [S], the tokens of each, 0 for a padding sentence;
        `sentence_mask` [B, M], True for as many positions from the first as a
        document has sentences, none for a padding example. The model reads no
        other field.
      dropout_keys_B: one dropout key per document.
      attention: weights to use instead of the model's own, by name, as in
        `Outputs.attention`: `words` [B, K, M, T], `sentences` [B, K, M].
    """
    tokens_SxT, lengths_S = batch['tokens'], batch['sentence_lengths']
    mask_BxM = batch['sentence_mask']
    (batch_size, most), (places, time) = mask_BxM.shape, tokens_SxT.shape
    mask_SxT = jnp.arange(time) < lengths_S[:, None]
    counts_B = mask_BxM.sum(1)
    ends_B = jnp.cumsum(counts_B)
    starts_B = ends_B - counts_B
    # Where a document's sentences are; and where a sentence is in its document.
    sentence_BxM = starts_B[:, None] + jnp.arange(most)
    sentence_BxM = jnp.where(mask_BxM, sentence_BxM, 0)
    document_S = (jnp.arange(places)[:, None] >= ends_B).sum(1)
    document_S = jnp.minimum(document_S, batch_size - 1)
    place_S = jnp.arange(places) - starts_B[document_S]
    place_S = jnp.minimum(place_S, most - 1)
    keys_B, keys_S = dropout_keys_B, None
    if keys_B is None and self.has_rng('dropout'):
      keys_B = jax.random.split(self.make_rng('dropout'), batch_size)
    if keys_B is not None:
      keys_S = fold_keys(fold_keys(keys_B, 0)[document_S], place_S)

    def by_document(x_Sx, padding_mask):
      return jnp.where(padding_mask, x_Sx[sentence_BxM], 0)

    if self.word_dropout and keys_S is not None:
      tokens_SxT = word_dropout(
        tokens_SxT, self.word_dropout, fold_keys(keys_S, 2), UNK_ID
      )
    x_SxTxE = embed(self, tokens_SxT)
    if keys_S is not None:
      keys = fold_keys(keys_S, 0)
      x_SxTxE = dropout(x_SxTxE, self.embedding_dropout, keys)
    given = dict(attention or {})
    if 'words' in given:
      given['words'] = given['words'].swapaxes(1, 2)[document_S, place_S]
    s_SxF, words_SxKxT = self._read(
      'word', x_SxTxE, mask_SxT, keys_S, given.get('words')
    )
    s_BxMxF = by_document(s_SxF, mask_BxM[..., None])
    c_BxF, sentences_BxKxM = self._read(
      'sentence', s_BxMxF, mask_BxM, keys_B, given.get('sentences')
    )
    if keys_B is not None:
      c_BxF = dropout(c_BxF, self.dropout, fold_keys(keys_B, 2))
    dense = nn.Dense(self.num_outputs, dtype=jnp.float32, name='output')
    logits_BxC = dense(c_BxF.astype(jnp.float32))
    if words_SxKxT is None or sentences_BxKxM is None:
      return Outputs(logits_BxC, {})
    words_BxMxKxT = by_document(words_SxKxT, mask_BxM[..., None, None])
    return Outputs(
      logits_BxC,
      {'words': words_BxMxKxT.swapaxes(1, 2), 'sentences': sentences_BxKxM},
    )

  def _read(
    self,
    level: str,
    x_NxTxF: jax.Array,
    mask_NxT: jax.Array,
    keys_N: jax.Array | None,
    weights_NxKxT: jax.Array | None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """The vectors of sequences, by the BiGRU and the pooling of a level."""
    h_NxTx2H = BiGRU(
      self.hidden_size,
      self.num_layers,
      self.dropout,
      self.recurrent_dropout,
      self.dtype,
      'xla' if self.portable else None,
      name=f'{level}_encoder',
    )(
      x_NxTxF,
      mask_NxT,
      dropout_keys_B=None if keys_N is None else fold_keys(keys_N, 1),
    )
    pool: Any = POOLINGS[self.attention].make(
      f'{level}_attention', self.num_heads, self.num_outputs, self.portable
    )
    return pool(h_NxTx2H, mask_NxT, weights_NxKxT)
