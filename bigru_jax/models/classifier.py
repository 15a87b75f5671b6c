"""The classifier: an embedding, a BiGRU, a pooling and a dense layer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.data.text import UNK_ID
from bigru_jax.models.bigru import BiGRU, dropout_keys
from bigru_jax.models.embedding import Ngrams, embed
from bigru_jax.models.pooling import pooling_of
from bigru_jax.ops.dropout import (
  Site,
  dropout,
  fold_keys,
  spatial_dropout,
  word_dropout,
)

ENCODERS = 'bigru', 'average'


class Outputs(NamedTuple):
  """A model's outputs for a batch.

  Attributes:
    logits: [B, C], float32.
    attention: the attention weights by name, float32: `words` [B, K, T]; in a
      hierarchical model, `words` [B, K, M, T] for the M sentences of a document
      and `sentences` [B, K, M]. Without these if the pooling has no weights.
      And `embeddings`, see `embedding.embed`, if there are several sets.
    head_labels: [B, K], the index of the output that each head of `words`
      belongs to; None unless the attention is label-wise.
  """

  logits: jax.Array
  attention: dict[str, jax.Array]
  head_labels: jax.Array | None = None


class Classifier(nn.Module):
  """A sequence classifier over token ids.

  Examples:
    >>> batch = {'tokens': jnp.array([[5, 3, 0]]), 'lengths': jnp.array([2])}
    >>> model = Classifier(vocabulary_size=9, num_outputs=2)
    >>> variables = model.init(jax.random.key(0), batch)
    >>> outputs = model.apply(variables, batch)
    >>> outputs.logits.shape, outputs.attention['words'].shape
    ((1, 2), (1, 1, 3))

  Attributes:
    vocabulary_size: ids run from 0 (padding) to vocabulary_size - 1.
    num_outputs: C, the number of logits per example.
    embedding_size: E, the size of the embedding vectors.
    hidden_size: H, the number of GRU units of each direction.
    num_layers: the number of GRU layers.
    pooling: the name of an entry of `pooling.POOLINGS`, or several joined by +.
    num_heads: K, the number of heads of a multi-headed pooling.
    dropout: the dropout rate between GRU layers.
    dropout_after_pooling: the dropout rate on the pooled context, or on the
      states if the attention is label-wise; -1 for that of `dropout`.
    embedding_dropout: the dropout rate on the embedded tokens.
    spatial_dropout: the dropout rate on whole features of the embedded tokens,
      the same ones at all positions of an example.
    word_dropout: the rate at which tokens become <unk>.
    recurrent_dropout: see `BiGRU`.
    encoder: `bigru`; or `average`, which has no recurrence: the state of a
      token is tanh(W x_t + b), also of 2H features, so that the context is a
      weighted average of single tokens (Jain & Wallace, 2019,
      https://aclanthology.org/N19-1357).
    dtype: the dtype of the computation; the parameters, the softmax of the
      attention and the logits are float32.
    embedding_axis: inside `shard_map`, the mesh axis over which the embedding
      table is sharded by columns; None for a whole table.
    set_sizes: the sizes of the sets of vectors that `JoinedSets` joins,
      which are concatenated in the table; () for one set of embedding_size.
    ngrams: the n-grams of each word, whose vectors' mean is added to the word's
      row; None for the rows alone.
    xla_only: whether to use only XLA's own operations instead of the C++
      kernels, for programs that run without this library.
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
  encoder: str = 'bigru'
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
    head_labels_BxK: jax.Array | None = None,
  ) -> Outputs:
    """Classifies a batch.

    Dropout is active if there are keys for it, either in `dropout_keys_B` or
    from the stream `dropout` of `rngs`.

    Args:
      batch: `tokens` [B, T], ids that are right-padded with any id, and
        `lengths` [B], the number of tokens of each example, 0 for a padding
        example. Entity attention also reads `entities` [B, T]: 1 inside the
        first entity, 2 inside the second, else 0.
      dropout_keys_B: one dropout key per example.
      attention: weights to use instead of the model's own, by name, as in
        `Outputs.attention`; label-wise attention needs those of all outputs,
        or of `head_labels_BxK`.
      perturbation: an array [B, T, E] that is added to the embedded tokens.
      head_labels_BxK: the outputs to whose heads of label-wise attention the
        weights belong; by default see `Outputs`.
    """
    tokens_BxT, lengths_B = batch['tokens'], batch['lengths']
    mask_BxT = jnp.arange(tokens_BxT.shape[1]) < lengths_B[:, None]
    keys_B = dropout_keys(self, dropout_keys_B, lengths_B.shape[0])
    tokens_BxT = word_dropout(
      tokens_BxT, self.word_dropout, fold_keys(keys_B, Site.WORDS), UNK_ID
    )
    x_BxTxE, set_weights = embed(self, tokens_BxT, mask_BxT)
    x_BxTxE = dropout(
      x_BxTxE, self.embedding_dropout, fold_keys(keys_B, Site.EMBEDDED)
    )
    x_BxTxE = spatial_dropout(
      x_BxTxE, self.spatial_dropout, fold_keys(keys_B, Site.FEATURES)
    )
    if perturbation is not None:
      x_BxTxE += perturbation
    if self.encoder == 'average':
      dense = nn.Dense(2 * self.hidden_size, dtype=self.dtype, name='encoder')
      h_BxTx2H = jnp.tanh(dense(x_BxTxE))
    else:
      h_BxTx2H = encode(self, 'encoder', x_BxTxE, mask_BxT, keys_B)
    words_BxKxT = None if attention is None else attention.get('words')
    entry = pooling_of(self.pooling)
    pool: Any = entry.make(
      'attention', self.num_heads, self.num_outputs, self.xla_only
    )
    if entry.by_label:
      h_BxTx2H = drop_context(self, h_BxTx2H, keys_B)
      logits, words_BxKxT, head_labels = pool(
        h_BxTx2H, mask_BxT, words_BxKxT, head_labels_BxK
      )
      return Outputs(logits, {'words': words_BxKxT, **set_weights}, head_labels)
    entities = (
      {'entities_BxT': batch['entities']} if entry.needs_entities else {}
    )
    c_BxF, words_BxKxT = pool(h_BxTx2H, mask_BxT, words_BxKxT, **entities)
    c_BxF = drop_context(self, c_BxF, keys_B)
    dense = nn.Dense(self.num_outputs, dtype=jnp.float32, name='output')
    return Outputs(
      dense(c_BxF.astype(jnp.float32)),
      set_weights
      if words_BxKxT is None
      else {'words': words_BxKxT, **set_weights},
    )


def encode(
  model: Any,
  name: str,
  x_NxTxE: jax.Array,
  mask_NxT: jax.Array,
  keys_N: jax.Array | None,
) -> jax.Array:
  """Returns the states [N, T, 2H] of a BiGRU with a classifier's sizes."""
  bigru = BiGRU(
    model.hidden_size,
    model.num_layers,
    model.dropout,
    model.recurrent_dropout,
    model.dtype,
    'xla' if model.xla_only else None,
    name=name,
  )
  return bigru(
    x_NxTxE, mask_NxT, dropout_keys_B=fold_keys(keys_N, Site.ENCODER)
  )


def drop_context(
  model: Any, context: jax.Array, keys_B: jax.Array | None
) -> jax.Array:
  """Applies a classifier's dropout after pooling to what is classified."""
  rate = model.dropout_after_pooling
  if rate < 0:
    rate = model.dropout
  return dropout(context, rate, fold_keys(keys_B, Site.CONTEXT))
