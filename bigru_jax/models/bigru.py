"""The bidirectional GRU as a Flax layer."""

import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.ops.dropout import dropout, fold_keys
from bigru_jax.ops.gru import GRUParams, bidirectional_gru


class BiGRU(nn.Module):
  """A stack of bidirectional GRU layers.

  Examples:
    >>> x = jnp.ones((2, 5, 3))
    >>> layer = BiGRU(hidden_size=4)
    >>> variables = layer.init(jax.random.key(0), x)
    >>> layer.apply(variables, x).shape
    (2, 5, 8)

  Attributes:
    hidden_size: the number of units of each direction.
    num_layers: the number of layers; each reads the concatenated states of the
      layer below.
    dropout: the dropout rate between layers.
    recurrent_dropout: the rate of the variational dropout on the recurrent
      state, with one mask per sequence (Gal & Ghahramani, 2016,
      https://arxiv.org/abs/1512.05287).
    dtype: the dtype of the computation; parameters stay float32.
    implementation: see `ops.gru.bidirectional_gru`.
  """

  hidden_size: int
  num_layers: int = 1
  dropout: float = 0.0
  recurrent_dropout: float = 0.0
  dtype: Any = jnp.float32
  implementation: str | None = None

  @nn.compact
  def __call__(
    self,
    x_BxTxE: jax.Array,
    mask_BxT: jax.Array | None = None,
    *,
    initial_carry: jax.Array | None = None,
    return_carry: bool = False,
    dropout_keys_B: jax.Array | None = None,
  ) -> Any:
    """Runs the layers.

    Dropout is active if there are keys for it, either in `dropout_keys_B` or
    from the stream `dropout` of `rngs`.

    Args:
      x_BxTxE: the inputs; finite, at padding as well.
      mask_BxT: True at real positions; by default at all positions.
      initial_carry: [L, 2, B, H], the initial states of each layer's forward
        and backward direction; zeros by default.
      return_carry: whether to return the final states as well.
      dropout_keys_B: one dropout key per example.

    Returns:
      h_BxTx2H, or with `return_carry` (carry [L, 2, B, H], h_BxTx2H), the order
      of Flax's `nn.RNN`.
    """
    batch, time, _ = x_BxTxE.shape
    if mask_BxT is None:
      mask_BxT = jnp.ones((batch, time), bool)
    keys_B = dropout_keys(self, dropout_keys_B, batch)
    h_BxTxF = x_BxTxE.astype(self.dtype)
    carry = []
    for layer in range(self.num_layers):
      recurrent_mask = None
      if self.recurrent_dropout and keys_B is not None:
        ones = jnp.ones((batch, 2, self.hidden_size), self.dtype)
        keys = fold_keys(keys_B, 2 * layer)
        mask_Bx2xH = dropout(ones, self.recurrent_dropout, keys)
        recurrent_mask = mask_Bx2xH.swapaxes(0, 1)
      start = None if initial_carry is None else initial_carry[layer]
      h_BxTxF, final = bidirectional_gru(
        h_BxTxF,
        mask_BxT,
        self._layer_params(layer, h_BxTxF.shape[-1]),
        initial_state=None if start is None else start.astype(self.dtype),
        recurrent_mask=recurrent_mask,
        implementation=self.implementation,
      )
      carry.append(final)
      if layer + 1 < self.num_layers:
        keys = fold_keys(keys_B, 2 * layer + 1)
        h_BxTxF = dropout(h_BxTxF, self.dropout, keys)
    return (jnp.stack(carry), h_BxTxF) if return_carry else h_BxTxF

  def _layer_params(self, layer: int, features: int) -> GRUParams:
    """Creates or reads the parameters of a layer, cast to `dtype`."""
    hidden, zeros = self.hidden_size, nn.initializers.zeros
    lecun = _gate_by_gate(nn.initializers.lecun_normal())
    orthogonal = _gate_by_gate(nn.initializers.orthogonal())
    params = (
      self.param(f'{name}_{layer}', init, shape, jnp.float32)
      for name, init, shape in [
        ('input_kernel', lecun, (2, 3 * hidden, features)),
        ('recurrent_kernel', orthogonal, (2, 3 * hidden, hidden)),
        ('input_bias', zeros, (2, 3 * hidden)),
        ('recurrent_bias', zeros, (2, hidden)),
      ]
    )
    return GRUParams(*(p.astype(self.dtype) for p in params))


def dropout_keys(
  module: nn.Module, keys_B: jax.Array | None, batch_size: int
) -> jax.Array | None:
  """Returns keys_B, or else keys of the stream `dropout` of `rngs`, if any."""
  if keys_B is None and module.has_rng('dropout'):
    return jax.random.split(module.make_rng('dropout'), batch_size)
  return keys_B


def _gate_by_gate(init):
  """Initialises kernels [2, 3H, F] as six matrices [F, H], one per gate.

  Fan-in and orthogonality are then those of one gate of one direction.
  """

  def initializer(key, shape, dtype=jnp.float32):
    directions, gates, features = shape
    keys = jax.random.split(key, directions * 3)
    block = functools.partial(init, shape=(features, gates // 3), dtype=dtype)
    return jax.vmap(block)(keys).swapaxes(1, 2).reshape(shape)

  return initializer
