"""The GRU in plain JAX, against which the other implementations are tested.

The cell is the cuDNN / PyTorch / Flax variant, with the reset gate after the
recurrent product (Cho et al., 2014, https://arxiv.org/abs/1406.1078, as
implemented by Appleyard et al., 2016, https://arxiv.org/abs/1604.01946):

  r_t = sigmoid(W_ir x_t + b_r + W_hr h_{t-1})          reset gate
  z_t = sigmoid(W_iz x_t + b_z + W_hz h_{t-1})          update gate
  n_t = tanh(W_in x_t + b_n + r_t * (W_hn h_{t-1} + b_hn))
  h_t = (1 - z_t) * n_t + z_t * h_{t-1}

At a padded position the state passes through unchanged, so with right padding
the backward direction needs no reversal per example.

The axes of all GRU modules are B batch, T time, E input features, H hidden
units of a direction, D = 2 directions (forward, backward), and G = 3H gates in
the order r, z, n.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class GRUParams(NamedTuple):
  """The parameters of one bidirectional layer.

  Attributes:
    w_input_DxGxE: W_ir, W_iz and W_in, stacked.
    w_recurrent_DxGxH: W_hr, W_hz and W_hn, stacked.
    b_DxG: b_r, b_z and b_n. (PyTorch's two biases of r and of z add up to one.)
    b_n_DxH: b_hn, the bias that the reset gate multiplies.
  """

  w_input_DxGxE: jax.Array
  w_recurrent_DxGxH: jax.Array
  b_DxG: jax.Array
  b_n_DxH: jax.Array


def gru_cell(
  h_BxH: jax.Array,
  p_BxG: jax.Array,
  w_recurrent_GxH: jax.Array,
  b_n_H: jax.Array,
  keep_BxH: jax.Array | None = None,
) -> jax.Array:
  """Returns the state after h_BxH, given the input projections W_i x + b.

  The recurrent mask keep_BxH multiplies the state before the recurrent product.
  """
  fed_BxH = h_BxH if keep_BxH is None else h_BxH * keep_BxH
  p_r, p_z, p_n = jnp.split(p_BxG, 3, axis=-1)
  g_r, g_z, g_n = jnp.split(fed_BxH @ w_recurrent_GxH.T, 3, axis=-1)
  r = jax.nn.sigmoid(p_r + g_r)
  z = jax.nn.sigmoid(p_z + g_z)
  n = jnp.tanh(p_n + r * (g_n + b_n_H))
  return (1 - z) * n + z * h_BxH


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  recurrent_mask_DxBxH: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`; one `lax.scan` for each direction."""
  states, finals = [], []
  for d, reverse in enumerate((False, True)):
    w_input_GxE, w_recurrent_GxH, b_G, b_n_H = (x[d] for x in params)
    keep_BxH = None if recurrent_mask_DxBxH is None else recurrent_mask_DxBxH[d]
    p_BxTxG = x_BxTxE @ w_input_GxE.T + b_G

    def step(h_BxH, inputs, cell=(w_recurrent_GxH, b_n_H, keep_BxH)):
      p_BxG, mask_B = inputs
      new_BxH = gru_cell(h_BxH, p_BxG, *cell)
      h_BxH = jnp.where(mask_B[:, None], new_BxH, h_BxH)
      return h_BxH, h_BxH

    final_BxH, h_TxBxH = jax.lax.scan(
      step,
      initial_state_DxBxH[d],
      (p_BxTxG.swapaxes(0, 1), mask_BxT.T),
      reverse=reverse,
    )
    states.append(h_TxBxH.swapaxes(0, 1))
    finals.append(final_BxH)
  return jnp.concatenate(states, axis=-1), jnp.stack(finals)
