"""The bidirectional GRU: one scan for both directions, and its Flax module.

The cell is the cuDNN / PyTorch / Flax variant (reset gate after the recurrent
product; Cho et al., 2014, https://arxiv.org/abs/1406.1078, as implemented by
Appleyard et al., 2016, https://arxiv.org/abs/1604.01946):

  r_t = sigmoid(W_ir x_t + b_r + W_hr h_{t-1})
  z_t = sigmoid(W_iz x_t + b_z + W_hz h_{t-1})
  q_t = W_hn h_{t-1} + b_hn
  n_t = tanh(W_in x_t + b_n + r_t * q_t)
  h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Layout. Inside this file features come before the batch: `x_TxExB`. A step is
then one `[3H, H] @ [H, B]` matmul a direction whose result holds each gate as
one contiguous block, so that the gate arithmetic vectorises, and a layer's
output `[T, 2, H, B]` is the next layer's input `[T, 2H, B]` by a reshape.

Axes: B batch, T time, E input features, H hidden units a direction, D = 2
directions (forward, backward), G = 3H gates in the order r, z, n.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

# The update gate's input at padding: its sigmoid is exactly one in every float
# type, so h_t is exactly h_{t-1} and every gradient there is exactly zero.
_KEEP = 1e4


def _gates(p_DxGxB, w_DxGxH, b_DxH, h_DxHxB, scale_DxHxB):
  """One step's r, z, n and q = W_hn h + b_hn, each of shape [D, H, B]."""
  if scale_DxHxB is not None:
    h_DxHxB = h_DxHxB * scale_DxHxB
  hidden = h_DxHxB.shape[1]
  g_DxGxB = jnp.einsum('dgh,dhb->dgb', w_DxGxH, h_DxHxB)
  p_r, p_z, p_n = (p_DxGxB[:, i * hidden : (i + 1) * hidden] for i in range(3))
  g_r, g_z, g_n = (g_DxGxB[:, i * hidden : (i + 1) * hidden] for i in range(3))
  r = jax.nn.sigmoid(p_r + g_r)
  z = jax.nn.sigmoid(p_z + g_z)
  q = g_n + b_DxH[:, :, None]
  n = jnp.tanh(p_n + r * q)
  return r, z, n, q


def _initial_state(p_TxDxGxB):
  hidden = p_TxDxGxB.shape[2] // 3
  # zeros_like keeps what shard_map knows of the array; zeros would lose it.
  return jnp.zeros_like(p_TxDxGxB[0, :, :hidden])


@jax.custom_vjp
def recurrence(p_TxDxGxB, w_DxGxH, b_DxH, scale_DxHxB=None):
  """Runs the recurrence over input projections, every direction in one scan.

  Args:
    p_TxDxGxB: `W_i x_t + b`, in the order in which each direction reads.
    w_DxGxH: recurrent weights W_hr, W_hz, W_hn, stacked.
    b_DxH: b_hn, the bias inside the reset gate's product.
    scale_DxHxB: multiplies the state before the recurrent product, the same
      at every step (variational dropout, Gal & Ghahramani, 2016,
      https://arxiv.org/abs/1512.05287), or None.

  Returns:
    h_TxDxHxB, the states in the same order of time; the initial one is zero.

  The gradient is a custom VJP, so reverse mode works, of higher orders too, and
  forward mode (`jax.jvp`) raises TypeError.
  """

  def step(h, p):
    _, z, n, _ = _gates(p, w_DxGxH, b_DxH, h, scale_DxHxB)
    h = (1 - z) * n + z * h
    return h, h

  return jax.lax.scan(step, _initial_state(p_TxDxGxB), p_TxDxGxB)[1]


def _recurrence_forward(p_TxDxGxB, w_DxGxH, b_DxH, scale_DxHxB):
  def step(h, p):
    r, z, n, q = _gates(p, w_DxGxH, b_DxH, h, scale_DxHxB)
    h = (1 - z) * n + z * h
    return h, (h, r, z, n, q)

  _, (h, *gates) = jax.lax.scan(step, _initial_state(p_TxDxGxB), p_TxDxGxB)
  return h, (h, *gates, w_DxGxH, scale_DxHxB)


def _recurrence_backward(residuals, dy_TxDxHxB):
  h, r, z, n, q, w_DxGxH, scale_DxHxB = residuals
  previous = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
  # Every gate's gradient is dh times a factor that does not depend on dh, so
  # the factors of all positions are computed at once, outside the scan.
  from_n = (1 - z) * (1 - n * n)
  from_r = from_n * q * r * (1 - r)
  from_z = (previous - n) * z * (1 - z)
  factors = jnp.concatenate([from_r, from_z, from_n * r], axis=2)

  def step(dh, inputs):
    dy, factor, z = inputs
    dh = dh + dy
    dg_DxGxB = jnp.concatenate([dh] * 3, axis=1) * factor
    back = jnp.einsum('dgh,dgb->dhb', w_DxGxH, dg_DxGxB)
    if scale_DxHxB is not None:
      back = back * scale_DxHxB
    return dh * z + back, dh

  _, dh = jax.lax.scan(
    step, jnp.zeros_like(h[0]), (dy_TxDxHxB, factors, z), reverse=True
  )
  dg_TxDxGxB = jnp.concatenate([dh] * 3, axis=2) * factors
  d_n = dh * from_n
  hidden = h.shape[2]
  dp_TxDxGxB = jnp.concatenate([dg_TxDxGxB[:, :, : 2 * hidden], d_n], axis=2)
  scaled = previous if scale_DxHxB is None else previous * scale_DxHxB
  # One matmul for the weights of all steps; autodiff would add them up T times.
  dw_DxGxH = jnp.einsum('tdgb,tdhb->dgh', dg_TxDxGxB, scaled)
  db_DxH = jnp.sum(dg_TxDxGxB[:, :, 2 * hidden :], axis=(0, 3))
  dscale = None
  if scale_DxHxB is not None:
    back = jnp.einsum('dgh,tdgb->tdhb', w_DxGxH, dg_TxDxGxB)
    dscale = jnp.sum(back * previous, axis=0)
  return dp_TxDxGxB, dw_DxGxH, db_DxH, dscale


recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def bidirectional_gru(
  x_TxExB, mask_TxB, w_input_DxGxE, w_recurrent_DxGxH, b_DxG, b_n_DxH,
  scale_DxHxB=None,
):  # fmt: skip
  """A bidirectional GRU layer as a pure function.

  Args:
    x_TxExB: inputs, right-padded; finite at padding.
    mask_TxB: True at real positions. At a padded one the state passes through
      unchanged, so that with right padding the backward direction is still zero
      at its first real token and needs no reversal by example.
    w_input_DxGxE: W_ir, W_iz, W_in stacked, for each direction.
    w_recurrent_DxGxH: W_hr, W_hz, W_hn stacked, for each direction.
    b_DxG: b_r, b_z, b_n (the sum of PyTorch's two biases for r and z).
    b_n_DxH: b_hn.
    scale_DxHxB: see `recurrence`.

  Returns:
    h_TxDxHxB, position t of both directions at index t.
  """
  hidden = w_recurrent_DxGxH.shape[2]
  # Time is flipped on the input, the smallest of the arrays, so that one scan
  # over one index serves both directions.
  x_DxTxExB = jnp.stack([x_TxExB, x_TxExB[::-1]])
  mask_TxDxB = jnp.stack([mask_TxB, mask_TxB[::-1]], axis=1)
  p_TxDxGxB = jnp.einsum('dge,dteb->tdgb', w_input_DxGxE, x_DxTxExB)
  p_TxDxGxB += b_DxG[:, :, None]
  is_update_G = (jnp.arange(3 * hidden) // hidden == 1)[:, None]
  keep = is_update_G & ~mask_TxDxB[:, :, None, :]
  p_TxDxGxB = jnp.where(keep, jnp.asarray(_KEEP, p_TxDxGxB.dtype), p_TxDxGxB)
  h = recurrence(
    p_TxDxGxB,
    *(
      _vary_like(x, p_TxDxGxB)
      for x in (w_recurrent_DxGxH, b_n_DxH, scale_DxHxB)
    ),
  )
  return jnp.stack([h[:, 0], h[::-1, 1]], axis=1)


def _vary_like(x, like):
  """Marks x as varying over the same shard_map axes as `like`.

  The transpose of that is the sum of the gradients over the devices, which
  autodiff adds by itself but a custom VJP must be given. Outside shard_map
  there is nothing to mark.
  """
  if x is None:
    return None
  axes = (
    jax.typeof(like).manual_axis_type.varying
    - jax.typeof(x).manual_axis_type.varying
  )
  return jax.lax.pcast(x, tuple(axes), to='varying') if axes else x


def _by_direction(init):
  """Initialises [D, gates * H, F] weights gate by gate, with fan-in F."""

  def wrapped(key, shape, dtype):
    directions, gates, features = shape
    hidden = gates // 3
    keys = jax.random.split(key, directions * 3)
    blocks = [init(k, (features, hidden), dtype).T for k in keys]
    return jnp.stack(blocks).reshape(shape)

  return wrapped


class BiGRU(nn.Module):
  """A stack of bidirectional GRU layers.

  Attributes:
    hidden_size: units of each direction.
    num_layers: layers; each reads the concatenated states of the one below.
    dropout: rate between layers.
    recurrent_dropout: rate of the variational dropout on the recurrent state,
      one mask a sequence (Gal & Ghahramani, 2016).
    dtype: the type of the computation; parameters stay float32.
  """

  hidden_size: int
  num_layers: int = 1
  dropout: float = 0.0
  recurrent_dropout: float = 0.0
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x_BxTxE, mask_BxT, deterministic=True):
    """Returns h_BxTx2H for inputs x_BxTxE, right-padded where mask is False."""
    hidden = self.hidden_size
    batch = x_BxTxE.shape[0]
    x_TxExB = x_BxTxE.astype(self.dtype).transpose(1, 2, 0)
    for layer in range(self.num_layers):
      shapes = {
        'input_kernel': (nn.initializers.lecun_normal(), x_TxExB.shape[1]),
        'recurrent_kernel': (nn.initializers.orthogonal(), hidden),
      }
      kernels = [
        self.param(
          f'{name}_{layer}',
          _by_direction(init),
          (2, 3 * hidden, features),
          jnp.float32,
        )
        for name, (init, features) in shapes.items()
      ]
      biases = [
        self.param(f'{name}_{layer}', nn.initializers.zeros, shape)
        for name, shape in [
          ('input_bias', (2, 3 * hidden)),
          ('recurrent_bias', (2, hidden)),
        ]
      ]
      scale = None
      if self.recurrent_dropout and not deterministic:
        keep = 1 - self.recurrent_dropout
        kept = jax.random.bernoulli(
          self.make_rng('dropout'), keep, (2, hidden, batch)
        )
        scale = kept.astype(self.dtype) / keep
      parameters = [p.astype(self.dtype) for p in kernels + biases]
      h_TxDxHxB = bidirectional_gru(x_TxExB, mask_BxT.T, *parameters, scale)
      x_TxExB = h_TxDxHxB.reshape(len(h_TxDxHxB), 2 * hidden, batch)
      if layer + 1 < self.num_layers:
        x_TxExB = nn.Dropout(self.dropout)(x_TxExB, deterministic)
    return x_TxExB.transpose(2, 0, 1)
