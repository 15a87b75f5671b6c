"""The bidirectional GRU: one scan for both directions, and its Flax module.

The cell is the cuDNN / PyTorch / Flax variant (reset gate after the recurrent
product; Cho et al., 2014, https://arxiv.org/abs/1406.1078, as implemented by
Appleyard et al., 2016, https://arxiv.org/abs/1604.01946):

  r_t = sigmoid(W_ir x_t + b_r + W_hr h_{t-1})
  z_t = sigmoid(W_iz x_t + b_z + W_hz h_{t-1})
  q_t = W_hn h_{t-1} + b_hn
  n_t = tanh(W_in x_t + b_n + r_t * q_t)
  h_t = (1 - z_t) * n_t + z_t * h_{t-1}

Layout. Inside this file the features come before the batch, `x_TxExB`, and each
gate of each direction is an array of its own, `[T, H, B]`: a step reads and
writes contiguous blocks, so that the gate arithmetic vectorises, and its
recurrent product is one `[3H, H] @ [H, B]` matmul a direction.

Memory. The loops overwrite what they have read: the forward one turns the input
projections into the gates, the backward one turns the gates' derivatives into
gradients. XLA's CPU compiler does that in place, and not by copies, when it is
compiled with `CPU_COMPILER_OPTIONS`.

Axes: B batch, T time, E input features, H hidden units a direction, D = 2
directions (forward, backward), G = 3H gates in the order r, z, n.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from bigru_jax.dropout import dropout, fold_keys

# For `jax.jit(..., compiler_options=...)` on a CPU, where the loops are slower
# without them.
CPU_COMPILER_OPTIONS = {'xla_cpu_copy_insertion_use_region_analysis': True}


def _read(array_TxHxB, t):
  return jax.lax.dynamic_index_in_dim(array_TxHxB, t, keepdims=False)


def _write(array_TxHxB, value_HxB, t):
  return jax.lax.dynamic_update_index_in_dim(array_TxHxB, value_HxB, t, 0)


def _gates(p, g_GxB, b_G, b_n_H, mask_B):
  """One step's r, z, n and q = W_hn h + b_hn, each of shape [H, B]."""
  g_r, g_z, g_n = jnp.split(g_GxB, 3)
  b_r, b_z, b_n = jnp.split(b_G[:, None], 3)
  r = jax.nn.sigmoid(p[0] + b_r + g_r)
  # At padding z = 1: h_t is exactly h_{t-1}, and every gradient exactly zero.
  z = jnp.where(mask_B, jax.nn.sigmoid(p[1] + b_z + g_z), 1)
  q = g_n + b_n_H[:, None]
  n = jnp.tanh(p[2] + b_n + r * q)
  return r, z, n, q


def _run(p, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB, keep_gates):
  """The states, and where `keep_gates` also r, z, n and q, by direction."""
  steps = len(mask_TxB)
  # zeros_like keeps what shard_map knows of an array; zeros would lose it.
  blank = jnp.zeros_like(p[0][0])
  w, b, b_n = (list(x) for x in (w_DxGxH, b_DxG, b_n_DxH))

  def step(t, carry):
    following = []
    for d, i in enumerate((t, steps - 1 - t)):
      h, states, arrays = carry[d]
      fed = h if scale_DxHxB is None else h * scale_DxHxB[d]
      inputs = [_read(a, i) for a in arrays[:3]]
      gates = _gates(inputs, w[d] @ fed, b[d], b_n[d], _read(mask_TxB, i))
      _, z, n, _ = gates
      h = (1 - z) * n + z * h
      if keep_gates:
        arrays = [_write(a, gate, i) for a, gate in zip(arrays, gates)]
      following.append((h, _write(states, h, i), arrays))
    return following

  start = [(blank[0], blank, [*p[d], *[blank] * keep_gates]) for d in range(2)]
  end = jax.lax.fori_loop(0, steps, step, start)
  return tuple(states for _, states, _ in end), [gates for *_, gates in end]


@jax.custom_vjp
def recurrence(p, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB=None):
  """Runs the recurrence over input projections, both directions in one loop.

  Args:
    p: for each direction W_ir x, W_iz x and W_in x, each of shape [T, H, B].
    mask_TxB: True at real positions; at others the state passes through.
    w_DxGxH: recurrent weights W_hr, W_hz, W_hn, stacked.
    b_DxG: b_r, b_z, b_n.
    b_n_DxH: b_hn, the bias inside the reset gate's product.
    scale_DxHxB: multiplies the state before the recurrent product, the same
      at every step (variational dropout, Gal & Ghahramani, 2016,
      https://arxiv.org/abs/1512.05287), or None.

  Returns:
    The states h_TxHxB of the forward and of the backward direction, which runs
    from the last position to the first. The initial states are zero.

  The gradient is a custom VJP, so reverse mode works, of higher orders too, and
  forward mode (`jax.jvp`) raises TypeError.
  """
  return _run(p, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB, False)[0]


def _recurrence_forward(p, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB):
  states, gates = _run(p, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, scale_DxHxB, True)
  return states, (states, gates, w_DxGxH, scale_DxHxB)


def _recurrence_backward(residuals, dy):
  states, gates, w_DxGxH, scale_DxHxB = residuals
  steps = len(dy[0])
  zero = jnp.zeros_like(states[0][:1])
  previous = [
    jnp.concatenate([zero, states[0][:-1]]),
    jnp.concatenate([states[1][1:], zero]),
  ]
  # Every gate's gradient is dh times a factor that does not depend on dh, so
  # the factors of all positions are computed at once, outside the loop.
  factors = []
  for (r, z, n, q), h in zip(gates, previous):
    from_n = (1 - z) * (1 - n * n)
    from_q = from_n * r
    factors.append(
      [from_q * q * (1 - r), (h - n) * z * (1 - z), from_n, from_q]
    )

  transposed = [w.T for w in w_DxGxH]

  def step(t, carry):
    following = []
    for d, i in enumerate((steps - 1 - t, t)):
      dh, arrays = carry[d]
      dh = dh + _read(dy[d], i)
      d_r, d_z, d_n, d_q = grads = [dh * _read(a, i) for a in arrays]
      back = transposed[d] @ jnp.concatenate([d_r, d_z, d_q])
      if scale_DxHxB is not None:
        back = back * scale_DxHxB[d]
      dh = dh * _read(gates[d][1], i) + back
      following.append((dh, [_write(a, g, i) for a, g in zip(arrays, grads)]))
    return following

  start = [(zero[0], factors[d]) for d in range(2)]
  end = jax.lax.fori_loop(0, steps, step, start)
  dp, dw, db, db_n, dscale = [], [], [], [], []
  for d, (_, (d_r, d_z, d_n, d_q)) in enumerate(end):
    fed = previous[d] if scale_DxHxB is None else previous[d] * scale_DxHxB[d]
    dp.append((d_r, d_z, d_n))
    # One matmul a gate for all steps; autodiff would add T products up.
    dw.append(
      jnp.concatenate([jnp.einsum('tgb,thb->gh', x, fed)
                       for x in (d_r, d_z, d_q)])
    )  # fmt: skip
    db.append(jnp.concatenate([x.sum((0, 2)) for x in dp[d]]))
    db_n.append(d_q.sum((0, 2)))
    if scale_DxHxB is not None:
      dg = jnp.concatenate([d_r, d_z, d_q], axis=1)
      back = jnp.einsum('gh,tgb->thb', w_DxGxH[d], dg)
      dscale.append(jnp.sum(back * previous[d], axis=0))
  return (
    tuple(dp), None, jnp.stack(dw), jnp.stack(db), jnp.stack(db_n),
    jnp.stack(dscale) if dscale else None,
  )  # fmt: skip


recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def bidirectional_gru(
  x_TxExB, mask_TxB, w_input_DxGxE, w_recurrent_DxGxH, b_DxG, b_n_DxH,
  scale_DxHxB=None,
):  # fmt: skip
  """A bidirectional GRU layer as a pure function.

  Args:
    x_TxExB: inputs, right-padded; finite at padding.
    mask_TxB: True at real positions. With right padding the backward direction
      is still zero at its first real token and needs no reversal by example.
    w_input_DxGxE: W_ir, W_iz, W_in stacked, for each direction.
    w_recurrent_DxGxH: W_hr, W_hz, W_hn stacked, for each direction.
    b_DxG: b_r, b_z, b_n (the sum of PyTorch's two biases for r and z).
    b_n_DxH: b_hn.
    scale_DxHxB: see `recurrence`.

  Returns:
    h_Tx2HxB, forward and backward states side by side.
  """
  # The projections of all positions at once; every gate is its own array.
  rows = jnp.split(w_input_DxGxE.reshape(-1, w_input_DxGxE.shape[2]), 6)
  p = [jnp.einsum('he,teb->thb', w, x_TxExB) for w in rows]
  parameters = (w_recurrent_DxGxH, b_DxG, b_n_DxH, scale_DxHxB)
  forward, backward = recurrence(
    (tuple(p[:3]), tuple(p[3:])),
    mask_TxB,
    *(_vary_like(x, p[0]) for x in parameters),
  )
  return jnp.concatenate([forward, backward], axis=1)


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
      if self.recurrent_dropout and keys_B is not None:
        ones = jnp.ones((2, hidden, x_BxTxE.shape[0]), self.dtype)
        keys = fold_keys(keys_B, 2 * layer)
        scale = dropout(ones, self.recurrent_dropout, keys, batch_axis=2)
      parameters = [p.astype(self.dtype) for p in kernels + biases]
      x_TxExB = bidirectional_gru(x_TxExB, mask_BxT.T, *parameters, scale)
      if layer + 1 < self.num_layers and keys_B is not None:
        keys = fold_keys(keys_B, 2 * layer + 1)
        x_TxExB = dropout(x_TxExB, self.dropout, keys, batch_axis=2)
    return x_TxExB.transpose(2, 0, 1)
