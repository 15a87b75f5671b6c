"""The GRU as one fused XLA loop for both directions, with its own VJP.

Layout. Inside this module the features come first and the batch last,
`x_ExTxB`: every large product is then one plain matmul over all positions, a
step's recurrent product is one `[3H, H] @ [H, B]` matmul per direction, and
each gate is a contiguous block `[H, B]`, so that XLA vectorises the gate
arithmetic on a CPU. (With the three gates side by side in the last axis it
emits scalar code, which we measured to be 6 times slower.)

Loops. One loop serves both directions, so there are T sequential steps instead
of 2T. Without gradients, the loop reads slices of the one projected array.
With gradients, each gate of each direction has an array of its own, and the
loop overwrites it in place with the values that the backward pass needs: no
array is allocated or initialised for them. (We measured one array for all gates
to be slower.) On a CPU, XLA proves that overwriting is safe only with the
compiler option in `parallel.compiler_options`; without it, the loop copies
these arrays at every step.

The axes are those of `gru_reference`, and N = T * B positions.
"""

import jax
import jax.numpy as jnp

from bigru_jax.ops.gru_reference import GRUParams
from bigru_jax.ops.varying import vary_like


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  recurrent_mask_DxBxH: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`."""
  batch, time, features = x_BxTxE.shape
  hidden = params.w_recurrent_DxGxH.shape[-1]
  x_ExN = x_BxTxE.transpose(2, 1, 0).reshape(features, time * batch)
  # One matmul for both directions, so that each gradient is one matmul.
  w_input_6HxE = params.w_input_DxGxE.reshape(6 * hidden, features)
  p_6HxTxB = (w_input_6HxE @ x_ExN).reshape(6 * hidden, time, batch)
  arguments = (
    params.w_recurrent_DxGxH,
    params.b_DxG,
    params.b_n_DxH,
    initial_state_DxBxH.swapaxes(1, 2),
    jax.tree.map(lambda mask: mask.swapaxes(1, 2), recurrent_mask_DxBxH),
  )
  h_2HxTxB = recurrence(p_6HxTxB, mask_BxT.T, *vary_like(arguments, p_6HxTxB))
  final_DxHxB = jnp.stack([h_2HxTxB[:hidden, -1], h_2HxTxB[hidden:, 0]])
  return h_2HxTxB.transpose(2, 1, 0), final_DxHxB.swapaxes(1, 2)


@jax.custom_vjp
def recurrence(
  p_6HxTxB: jax.Array,
  mask_TxB: jax.Array,
  w_DxGxH: jax.Array,
  b_DxG: jax.Array,
  b_n_DxH: jax.Array,
  h0_DxHxB: jax.Array,
  keep_DxHxB: jax.Array | None = None,
) -> jax.Array:
  """Runs the recurrence over input projections, both directions in one loop.

  Args:
    p_6HxTxB: W_ir x, W_iz x and W_in x at every position for the forward
      direction, stacked on those for the backward direction.
    mask_TxB: True at real positions.
    w_DxGxH: recurrent weights W_hr, W_hz and W_hn, stacked.
    b_DxG: b_r, b_z and b_n.
    b_n_DxH: b_hn.
    h0_DxHxB: initial states.
    keep_DxHxB: the recurrent mask, which multiplies the state before the
      recurrent product, or None.

  Returns:
    h_2HxTxB, the states of the forward direction stacked on those of the
    backward direction.
  """
  hidden, (_, steps, _) = w_DxGxH.shape[2], p_6HxTxB.shape
  params = _by_direction(w_DxGxH, b_DxG, b_n_DxH, keep_DxHxB)

  def step(t, carry):
    previous, states = carry
    current = []
    for d, i in enumerate((t, steps - 1 - t)):
      starts = [(3 * d + gate) * hidden for gate in range(3)]
      p = [_read(p_6HxTxB, i, start, hidden) for start in starts]
      current.append(_cell(previous[d], p, mask_TxB[i], *params[d])[0])
      states = _write(states, current[d], i, d * hidden)
    return current, states

  # zeros_like keeps the shard_map axes of an array; zeros would lose them.
  states = jnp.zeros_like(p_6HxTxB[: 2 * hidden])
  return jax.lax.fori_loop(0, steps, step, (list(h0_DxHxB), states))[1]


def _recurrence_forward(
  p_6HxTxB, mask_TxB, w_DxGxH, b_DxG, b_n_DxH, h0_DxHxB, keep_DxHxB
):
  """Returns the states and the residuals: states, r, z, n, q by direction."""
  steps = p_6HxTxB.shape[1]
  params = _by_direction(w_DxGxH, b_DxG, b_n_DxH, keep_DxHxB)

  def step(t, carry):
    current = []
    for d, i in enumerate((t, steps - 1 - t)):
      h, states, gates = carry[d]
      p = [_read(x, i) for x in gates[:3]]
      h, *new = _cell(h, p, mask_TxB[i], *params[d])
      gates = [_write(x, value, i) for x, value in zip(gates, new)]
      current.append((h, _write(states, h, i), gates))
    return current

  # r, z and n overwrite the projections, whose only reader is this loop.
  projected = jnp.split(p_6HxTxB, 6)
  blank = jnp.zeros_like(projected[0])
  start = [
    (h0_DxHxB[d], blank, [*projected[3 * d : 3 * d + 3], blank])
    for d in range(2)
  ]
  end = jax.lax.fori_loop(0, steps, step, start)
  states, gates = [x for _, x, _ in end], [x for *_, x in end]
  residuals = states, gates, w_DxGxH, h0_DxHxB, keep_DxHxB
  return jnp.concatenate(states), residuals


def _recurrence_backward(residuals, dy_2HxTxB):
  """Returns the gradients with respect to `recurrence`'s arguments.

  dh is the gradient with respect to h_t, d_q to q_t = W_hn h_{t-1} + b_hn, and
  d_r, d_z and d_n to the pre-activations of r, z and n:

    d_n = dh * (1 - z) * (1 - n^2)
    d_q = d_n * r
    d_r = d_n * q * r * (1 - r) = d_q * q * (1 - r)
    d_z = dh * (h_{t-1} - n) * z * (1 - z)
    dh' = dh * z + W_hr^T d_r + W_hz^T d_z + W_hn^T d_q     for h_{t-1}

  The projections' gradients are d_r, d_z and d_n. After the loop, one matmul
  per gate over all positions gives the gradients of the weights.
  """
  states, gates, w_DxGxH, h0_DxHxB, keep_DxHxB = residuals
  hidden, steps = w_DxGxH.shape[2], dy_2HxTxB.shape[1]
  before = [
    jnp.concatenate([h0_DxHxB[0][:, None], states[0][:, :-1]], axis=1),
    jnp.concatenate([states[1][:, 1:], h0_DxHxB[1][:, None]], axis=1),
  ]
  transposed = [w_GxH.T for w_GxH in w_DxGxH]

  def step(t, carry):
    current = []
    for d, i in enumerate((steps - 1 - t, t)):
      dh, dkeep, arrays = carry[d]
      dh = dh + _read(dy_2HxTxB, i, d * hidden, hidden)
      h = _read(before[d], i)
      q, r, z, _ = (_read(x, i) for x in arrays)
      n = _read(gates[d][2], i)
      d_n = dh * (1 - z) * (1 - n * n)
      d_q = d_n * r
      d_r = d_q * q * (1 - r)
      d_z = dh * (h - n) * z * (1 - z)
      back = transposed[d] @ jnp.concatenate([d_r, d_z, d_q])
      if keep_DxHxB is not None:
        dkeep = dkeep + back * h
        back = back * keep_DxHxB[d]
      new = (d_r, d_q, d_z, d_n)
      arrays = [_write(x, value, i) for x, value in zip(arrays, new)]
      current.append((dh * z + back, dkeep, arrays))
    return current

  # d_r overwrites q, d_q overwrites r and d_z overwrites z: at each position no
  # later gradient reads them. d_n needs a new array, because d_z and d_n both
  # read z and n.
  blank = jnp.zeros_like(states[0])
  start = [(blank[:, 0], blank[:, 0], [q, r, z, blank]) for r, z, _, q in gates]
  end = jax.lax.fori_loop(0, steps, step, start)
  dh0, dkeep, d_gates = zip(*end)
  dp, dw, db, db_n = [], [], [], []
  for d, (d_r, d_q, d_z, d_n) in enumerate(d_gates):
    fed = before[d]
    if keep_DxHxB is not None:
      fed = fed * keep_DxHxB[d][:, None]
    # Plain matmuls: an einsum over t and b would transpose both arrays first.
    fed_NxH = fed.reshape(hidden, -1).T
    products = [x.reshape(hidden, -1) @ fed_NxH for x in (d_r, d_z, d_q)]
    dw.append(jnp.concatenate(products))
    dp += [d_r, d_z, d_n]
    db.append(jnp.concatenate([x.sum((1, 2)) for x in (d_r, d_z, d_n)]))
    db_n.append(d_q.sum((1, 2)))
  stacked = (jnp.stack(arrays) for arrays in (dw, db, db_n, dh0))
  dkeep_DxHxB = None if keep_DxHxB is None else jnp.stack(dkeep)
  return jnp.concatenate(dp), None, *stacked, dkeep_DxHxB


recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def _by_direction(w_DxGxH, b_DxG, b_n_DxH, keep_DxHxB):
  """Returns each direction's parameters.

  Indexed inside the loop, the weights would be copied at every step.
  """
  keep = [None] * 2 if keep_DxHxB is None else keep_DxHxB
  return list(zip(w_DxGxH, b_DxG, b_n_DxH, keep))


def _cell(h_HxB, p, mask_B, w_GxH, b_G, b_n_H, keep_HxB):
  """Returns a step's h, r, z, n and q = W_hn h + b_hn, each [H, B]."""
  fed_HxB = h_HxB if keep_HxB is None else h_HxB * keep_HxB
  g_r, g_z, g_n = jnp.split(w_GxH @ fed_HxB, 3)
  b_r, b_z, b_n = jnp.split(b_G[:, None], 3)
  r = jax.nn.sigmoid(p[0] + b_r + g_r)
  # At padding z = 1: h_t is exactly h_{t-1}, and every gradient exactly zero.
  z = jnp.where(mask_B, jax.nn.sigmoid(p[1] + b_z + g_z), 1)
  q = g_n + b_n_H[:, None]
  n = jnp.tanh(p[2] + b_n + r * q)
  return (1 - z) * n + z * h_HxB, r, z, n, q


def _read(array_FxTxB, t, start=0, count=None):
  """Returns the features [count, B] from `start` on (all) at position t."""
  features, _, batch = array_FxTxB.shape
  block = jax.lax.dynamic_slice(
    array_FxTxB, (start, t, 0), (count or features, 1, batch)
  )
  return block[:, 0]


def _write(array_FxTxB, block, t, start=0):
  """Returns the array with features replaced at position t from `start` on."""
  return jax.lax.dynamic_update_slice(
    array_FxTxB, block[:, None], (start, t, 0)
  )
