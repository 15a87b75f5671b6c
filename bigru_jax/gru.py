"""The bidirectional GRU: one scan for both directions, and its Flax module.

The cell is the cuDNN / PyTorch / Flax variant (reset gate after the recurrent
product; Cho et al., 2014, https://arxiv.org/abs/1406.1078, as implemented by
Appleyard et al., 2016, https://arxiv.org/abs/1604.01946):

  r_t = sigmoid(W_ir x_t + b_r + W_hr h_{t-1})
  z_t = sigmoid(W_iz x_t + b_z + W_hz h_{t-1})
  q_t = W_hn h_{t-1} + b_hn
  n_t = tanh(W_in x_t + b_n + r_t * q_t)
  h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Layout. Inside this file the features come first and the batch last, `x_ExTxB`:
every large product is then one plain matmul over all positions, a step's
recurrent product is one `[3H, H] @ [H, B]` matmul a direction, and each gate is
a block of its own, `[H, B]`, so that the gate arithmetic vectorises. (With the
three gates side by side in the last axis, XLA's CPU code for it is scalar.)

Loops. One loop serves both directions, so there are T sequential steps, not 2T.
Without gradients it reads the projections where the one matmul put them. With
gradients each gate and direction has an array of its own, and where its last
reader is done a loop writes the new values in its place, which saves memory and
filling; one array of all gates was slower. (On a CPU, XLA sees that this is
safe only with the flag that `sharding.use_cpu_devices` sets; without it, it
copies arrays at every step.)

Axes: B batch, T time, E input features, H hidden units a direction, D = 2
directions (forward, backward), G = 3H gates in the order r, z, n.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.dropout import dropout, fold_keys


def _read(array_FxTxB, t, first=0, rows=None):
  """The features [rows, B] from `first` on at position t; all by default."""
  features, _, batch = array_FxTxB.shape
  block = jax.lax.dynamic_slice(
    array_FxTxB, (first, t, 0), (rows or features, 1, batch)
  )
  return block[:, 0]


def _write(array_FxTxB, block, t, first=0):
  return jax.lax.dynamic_update_slice(
    array_FxTxB, block[:, None], (first, t, 0)
  )


def _directions(w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB):
  """The parameters of each direction.

  Indexed outside the loop: inside, every step would copy its weights.
  """
  scale = [None] * 2 if scale_DxHxB is None else scale_DxHxB
  return list(zip(w_DxGxH, b_DxG, b_n_DxH, scale))


def _cell(h_HxB, p, mask_B, w_GxH, b_G, b_n_H, scale_HxB):
  """One step's h, r, z, n and q = W_hn h + b_hn, each of shape [H, B]."""
  fed_HxB = h_HxB if scale_HxB is None else h_HxB * scale_HxB
  g_r, g_z, g_n = jnp.split(w_GxH @ fed_HxB, 3)
  b_r, b_z, b_n = jnp.split(b_G[:, None], 3)
  r = jax.nn.sigmoid(p[0] + b_r + g_r)
  # At padding z = 1: h_t is exactly h_{t-1}, and every gradient exactly zero.
  z = jnp.where(mask_B, jax.nn.sigmoid(p[1] + b_z + g_z), 1)
  q = g_n + b_n_H[:, None]
  n = jnp.tanh(p[2] + b_n + r * q)
  return (1 - z) * n + z * h_HxB, r, z, n, q


@jax.custom_vjp
def recurrence(p_6HxTxB, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB=None):
  """Runs the recurrence over input projections, both directions in one loop.

  Args:
    p_6HxTxB: W_ir x, W_iz x and W_in x of every position for the forward
      direction, and below them those for the backward one.
    mask_TxB: True at real positions; at others the state passes through.
    w_DxGxH: recurrent weights W_hr, W_hz, W_hn, stacked.
    b_DxG: b_r, b_z, b_n.
    b_n_DxH: b_hn, the bias inside the reset gate's product.
    scale_DxHxB: multiplies the state before the recurrent product, the same
      at every step (variational dropout, Gal & Ghahramani, 2016,
      https://arxiv.org/abs/1512.05287), or None.

  Returns:
    h_2HxTxB, the states of the forward direction and below them those of the
    backward one, which runs from the last position to the first. The initial
    states are zero.

  The gradient is a custom VJP, so reverse mode works, of higher orders too, and
  forward mode (`jax.jvp`) raises TypeError.
  """
  hidden, (_, steps, _) = w_DxGxH.shape[2], p_6HxTxB.shape
  mask_TxB = jnp.asarray(mask_TxB)
  parameters = _directions(w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB)

  def step(t, carry):
    h, states = carry
    following = []
    for d, i in enumerate((t, steps - 1 - t)):
      rows = [(3 * d + gate) * hidden for gate in range(3)]
      p = [_read(p_6HxTxB, i, row, hidden) for row in rows]
      following.append(_cell(h[d], p, mask_TxB[i], *parameters[d])[0])
      states = _write(states, following[d], i, d * hidden)
    return following, states

  # zeros_like keeps what shard_map knows of an array; zeros would lose it.
  blank = jnp.zeros_like(p_6HxTxB[: 2 * hidden])
  start = [blank[:hidden, 0]] * 2, blank
  return jax.lax.fori_loop(0, steps, step, start)[1]


def _recurrence_forward(p, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB):
  """Keeps each direction's states, r, z, n and q, arrays [H, T, B]."""
  steps = p.shape[1]
  mask_TxB = jnp.asarray(mask_TxB)
  parameters = _directions(w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB)

  def step(t, carry):
    following = []
    for d, i in enumerate((t, steps - 1 - t)):
      h, states, gates = carry[d]
      inputs = [_read(x, i) for x in gates[:3]]
      h, *new = _cell(h, inputs, mask_TxB[i], *parameters[d])
      gates = [_write(x, value, i) for x, value in zip(gates, new)]
      following.append((h, _write(states, h, i), gates))
    return following

  # The projections make room for r, z and n.
  projected = jnp.split(p, 6)
  blank = jnp.zeros_like(projected[0])
  start = [
    (blank[:, 0], blank, [*gates, blank])
    for gates in (projected[:3], projected[3:])
  ]
  end = jax.lax.fori_loop(0, steps, step, start)
  states, gates = [x for _, x, _ in end], [x for *_, x in end]
  return jnp.concatenate(states), (states, gates, w_DxGxH, scale_DxHxB)


def _recurrence_backward(residuals, dy):
  states, gates, w_DxGxH, scale_DxHxB = residuals
  hidden, steps = w_DxGxH.shape[2], dy.shape[1]
  blank = jnp.zeros_like(states[0])
  previous = [
    jnp.concatenate([blank[:, :1], states[0][:, :-1]], axis=1),
    jnp.concatenate([states[1][:, 1:], blank[:, :1]], axis=1),
  ]
  transposed = [w.T for w in w_DxGxH]

  def step(t, carry):
    following = []
    for d, i in enumerate((steps - 1 - t, t)):
      dh, dscale, arrays = carry[d]
      dh = dh + _read(dy, i, d * hidden, hidden)
      h = _read(previous[d], i)
      q, r, z, _ = (_read(x, i) for x in arrays)
      n = _read(gates[d][2], i)
      d_n = dh * (1 - z) * (1 - n * n)
      d_q = d_n * r
      d_r = d_q * q * (1 - r)
      d_z = dh * (h - n) * z * (1 - z)
      back = transposed[d] @ jnp.concatenate([d_r, d_z, d_q])
      if scale_DxHxB is not None:
        dscale = dscale + back * h
        back = back * scale_DxHxB[d]
      new = (d_r, d_q, d_z, d_n)
      arrays = [_write(x, value, i) for x, value in zip(arrays, new)]
      following.append((dh * z + back, dscale, arrays))
    return following

  # d_r takes the place of q, d_q that of r, d_z that of z, each of which no
  # later gradient reads; d_n has a new one, for d_z and d_n both read z and n.
  start = [(blank[:, 0], blank[:, 0], [q, r, z, blank]) for r, z, _, q in gates]
  end = jax.lax.fori_loop(0, steps, step, start)

  def flat(x_HxTxB):
    return x_HxTxB.reshape(len(x_HxTxB), -1)

  dp, dw, db, db_n, dscale = [], [], [], [], []
  for d, (_, dscale_d, (d_r, d_q, d_z, d_n)) in enumerate(end):
    fed = previous[d]
    if scale_DxHxB is not None:
      fed = fed * scale_DxHxB[d][:, None]
    # One matmul a gate for all steps; autodiff would add T products up. (An
    # einsum over t and b would transpose both arrays first.)
    dw.append([flat(x) @ flat(fed).T for x in (d_r, d_z, d_q)])
    dp += [d_r, d_z, d_n]
    db.append([x.sum((1, 2)) for x in (d_r, d_z, d_n)])
    db_n.append(d_q.sum((1, 2)))
    dscale.append(dscale_d)
  return (
    jnp.concatenate(dp),
    None,
    jnp.stack([jnp.concatenate(x) for x in dw]),
    jnp.stack([jnp.concatenate(x) for x in db]),
    jnp.stack(db_n),
    None if scale_DxHxB is None else jnp.stack(dscale),
  )


recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def bidirectional_gru(
  x_ExTxB, mask_TxB, w_input_DxGxE, w_recurrent_DxGxH, b_DxG, b_n_DxH,
  scale_DxHxB=None,
):  # fmt: skip
  """A bidirectional GRU layer as a pure function.

  Args:
    x_ExTxB: inputs, right-padded; finite at padding.
    mask_TxB: True at real positions. With right padding the backward direction
      is still zero at its first real token and needs no reversal by example.
    w_input_DxGxE: W_ir, W_iz, W_in stacked, for each direction.
    w_recurrent_DxGxH: W_hr, W_hz, W_hn stacked, for each direction.
    b_DxG: b_r, b_z, b_n (the sum of PyTorch's two biases for r and z).
    b_n_DxH: b_hn.
    scale_DxHxB: see `recurrence`.

  Returns:
    h_2HxTxB, the forward states above the backward ones.
  """
  features, steps, batch = x_ExTxB.shape
  x_ExN = x_ExTxB.reshape(features, -1)
  # One matmul, so that its gradients are one matmul each, too.
  p = w_input_DxGxE.reshape(-1, features) @ x_ExN
  p = p.reshape(-1, steps, batch)
  parameters = (w_recurrent_DxGxH, b_DxG, b_n_DxH, scale_DxHxB)
  return recurrence(p, mask_TxB, *(_vary_like(x, p) for x in parameters))


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
  def __call__(self, x_BxTxE, mask_BxT, keys_B=None):
    """Runs the layers.

    Args:
      x_BxTxE: inputs, right-padded where mask is False.
      mask_BxT: True at real positions.
      keys_B: a dropout key for each example, or None for no dropout.

    Returns:
      h_BxTx2H.
    """
    hidden = self.hidden_size
    x_ExTxB = x_BxTxE.astype(self.dtype).transpose(2, 1, 0)
    for layer in range(self.num_layers):
      shapes = {
        'input_kernel': (nn.initializers.lecun_normal(), x_ExTxB.shape[0]),
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
      if self.recurrent_dropout and keys_B is not None:
        ones = jnp.ones((2, hidden, x_BxTxE.shape[0]), self.dtype)
        keys = fold_keys(keys_B, 2 * layer)
        scale = dropout(ones, self.recurrent_dropout, keys, batch_axis=2)
      parameters = [p.astype(self.dtype) for p in kernels + biases]
      x_ExTxB = bidirectional_gru(x_ExTxB, mask_BxT.T, *parameters, scale)
      if layer + 1 < self.num_layers and keys_B is not None:
        keys = fold_keys(keys_B, 2 * layer + 1)
        x_ExTxB = dropout(x_ExTxB, self.dropout, keys, batch_axis=2)
    return x_ExTxB.transpose(2, 1, 0)
