"""Classifier = embed -> BiGRU -> attention -> dense."""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.attention import Attention
from bigru_jax.dropout import dropout, fold_keys
from bigru_jax.gru import BiGRU

PAD_ID = 0


def _embedding_init(key, shape, dtype=jnp.float32):
  table = jax.random.uniform(key, shape, dtype, -0.25, 0.25)
  return table.at[PAD_ID].set(0)


def embed(table_VxE, tokens_BxT):
  """The tokens' vectors x_TxBxE, in the encoder's order: time first."""
  return table_VxE[tokens_BxT.T]


class Classifier(nn.Module):
  """A sequence classifier over token ids.

  Attributes:
    vocabulary_size: ids run from 0 (padding) to vocabulary_size - 1.
    num_outputs: logits an example.
    embedding_size, hidden_size, num_layers: sizes; hidden is a direction's.
    attention: a pooling of `attention.Attention`.
    dropout: rate on the pooled context and between GRU layers.
    embedding_dropout: rate on the embedded tokens.
    recurrent_dropout: see `gru.BiGRU`.
    dtype: the type of the computation; parameters, the attention's softmax and
      the logits are float32.
  """

  vocabulary_size: int
  num_outputs: int
  embedding_size: int = 100
  hidden_size: int = 128
  num_layers: int = 1
  attention: str = 'additive'
  dropout: float = 0.5
  embedding_dropout: float = 0.5
  recurrent_dropout: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, inputs, lengths_B, keys_B=None):
    """Classifies a batch.

    Args:
      inputs: tokens_BxT, ids, right-padded with anything; or x_TxBxE, what
        `embed` makes of them, so that gradients stop there.
      lengths_B: tokens of each example; 0 for a row that only fills the batch.
      keys_B: a dropout key for each example, or None for no dropout.

    Returns:
      logits_BxC and the attention's weights alpha_BxT, in float32.
    """

    def drop(x, rate, site, batch_axis):
      if keys_B is None:
        return x
      return dropout(x, rate, fold_keys(keys_B, site), batch_axis)

    if inputs.ndim == 2:
      shape = self.vocabulary_size, self.embedding_size
      inputs = embed(self.param('embedding', _embedding_init, shape), inputs)
    mask_TxB = jnp.arange(len(inputs))[:, None] < lengths_B
    mask_BxT = mask_TxB.T
    # Nothing at padding reaches the loss, so the padding's vector stays zero.
    x_TxBxE = inputs.astype(self.dtype) * mask_TxB[:, :, None]
    x_TxBxE = drop(x_TxBxE, self.embedding_dropout, 0, batch_axis=1)
    encoder_keys_B = None if keys_B is None else fold_keys(keys_B, 1)
    h_BxTx2H = BiGRU(
      self.hidden_size,
      self.num_layers,
      self.dropout,
      self.recurrent_dropout,
      self.dtype,
      name='encoder',
    )(x_TxBxE.transpose(1, 0, 2), mask_BxT, encoder_keys_B)
    c_Bx2H, alpha_BxT = Attention(self.attention, name='attention')(
      h_BxTx2H, mask_BxT
    )
    c_Bx2H = drop(c_Bx2H, self.dropout, 2, batch_axis=0)
    dense = nn.Dense(self.num_outputs, dtype=jnp.float32, name='output')
    return dense(c_Bx2H.astype(jnp.float32)), alpha_BxT
