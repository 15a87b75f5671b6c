"""The GRU as one loop of few kernels, for GPUs and TPUs, with its own VJP.

At the sizes of these models a step computes so little that an accelerator
spends its time on launching kernels. XLA makes two of a step of the forward
loop: the recurrent products of both directions as one batched product, and the
rest of the cell. It makes two or three of a step of the backward loop, which
has one chain of dependent values: the gradient of the state. All that does not
depend on the step before is outside of the loops: the input projections, and
the gradients of the gates, the weights and the biases.

One iteration of a loop holds `UNROLL` steps, so that their states, and their
gates, are stored by one kernel, and the loop's own counter costs a fourth.
`compilation.hlo` counts the kernels of a compiled program.

The arrays are in the order of the steps, `[T, D, B, F]`: at step t the forward
direction is at position t and the backward direction at T - 1 - t. The axes are
those of `gru_reference`. The state, its gradient and the arithmetic of the
gates are in float32 also if the products are in bfloat16.
"""

from collections.abc import Callable, Sequence
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from bigru_jax.ops.gru_reference import GRUParams
from bigru_jax.ops.varying import vary_like

# Counted in programs for an H100: a step of the forward loop has 3.5 kernels
# with 2, and 2.75 with 4.
UNROLL = 4


class Loops(NamedTuple):
  """The two loops over time, of which `gru_pallas` has others.

  Attributes:
    forward: see `forward_loop`.
    backward: see `backward_loop`.
  """

  forward: Callable[..., list[jax.Array]]
  backward: Callable[..., tuple[jax.Array, jax.Array, jax.Array | None]]


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  recurrent_mask_DxBxH: jax.Array | None = None,
  loops: Loops | None = None,
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`; `loops` are by default those of this file."""
  mask_BxT, params, h0_DxBxH, keep_DxBxH = vary_like(
    (mask_BxT, params, initial_state_DxBxH, recurrent_mask_DxBxH), x_BxTxE
  )
  x_TxDxBxE = _in_steps(x_BxTxE)
  p_TxDxBxG = (
    jnp.einsum('tdbe,dge->tdbg', x_TxDxBxE, params.w_input_DxGxE)
    + params.b_DxG[:, None]
  )
  h_TxDxBxH = recurrence(
    loops or Loops(forward_loop, backward_loop),
    p_TxDxBxG,
    _in_steps(mask_BxT),
    params.w_recurrent_DxGxH,
    params.b_n_DxH,
    h0_DxBxH,
    keep_DxBxH,
  )
  states = h_TxDxBxH[:, 0], h_TxDxBxH[::-1, 1]
  return jnp.concatenate(states, axis=-1).swapaxes(0, 1), h_TxDxBxH[-1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(
  loops: Loops,
  p_TxDxBxG: jax.Array,
  mask_TxDxB: jax.Array,
  w_DxGxH: jax.Array,
  b_n_DxH: jax.Array,
  h0_DxBxH: jax.Array,
  keep_DxBxH: jax.Array | None = None,
) -> jax.Array:
  """Runs the recurrence of both directions over input projections.

  Args:
    loops: what runs over time, forward and backward.
    p_TxDxBxG: W_i x + b of the three gates, in the order of the steps.
    mask_TxDxB: True at real positions.
    w_DxGxH: recurrent weights W_hr, W_hz and W_hn, stacked.
    b_n_DxH: b_hn.
    h0_DxBxH: initial states.
    keep_DxBxH: the recurrent mask, which multiplies the state before the
      recurrent product, or None.

  Returns:
    The states h_TxDxBxH, in the order of the steps.
  """
  arrays = p_TxDxBxG, mask_TxDxB, w_DxGxH, b_n_DxH, h0_DxBxH, keep_DxBxH
  return loops.forward(False, *arrays)[0]


def forward_loop(
  save: bool,
  p_TxDxBxG: jax.Array,
  mask_TxDxB: jax.Array,
  w_DxGxH: jax.Array,
  b_n_DxH: jax.Array,
  h0_DxBxH: jax.Array,
  keep_DxBxH: jax.Array | None,
) -> list[jax.Array]:
  """Returns [states] or [states, gates], with r, z, n and q [T, D, B, 4H]."""
  dtype = p_TxDxBxG.dtype
  accumulator = _accumulator(dtype)

  # The product's operand is made by the kernel that makes the state. If it is
  # the state itself, None takes its place: XLA would copy the second array.
  def operand(h_DxBxH):
    if keep_DxBxH is not None:
      return (h_DxBxH * keep_DxBxH).astype(dtype)
    return None if dtype == accumulator else h_DxBxH.astype(dtype)

  def step(carry, inputs):
    h_DxBxH, fed_DxBxH = carry
    p_DxBxG, mask_DxB = inputs
    g_DxBxG = jnp.einsum(
      'dbh,dgh->dbg',
      h_DxBxH if fed_DxBxH is None else fed_DxBxH,
      w_DxGxH,
      preferred_element_type=accumulator,
    )
    p_r, p_z, p_n = jnp.split(p_DxBxG.astype(accumulator), 3, axis=-1)
    g_r, g_z, g_n = jnp.split(g_DxBxG, 3, axis=-1)
    r = jax.nn.sigmoid(p_r + g_r)
    # At padding z = 1: h_t is exactly h_{t-1}, and every gradient exactly zero.
    z = jnp.where(mask_DxB[..., None], jax.nn.sigmoid(p_z + g_z), 1)
    q = g_n + b_n_DxH[:, None].astype(accumulator)
    n = jnp.tanh(p_n + r * q)
    h_DxBxH = (1 - z) * n + z * h_DxBxH
    results = [h_DxBxH.astype(dtype)]
    if save:
      results.append(jnp.concatenate([r, z, n, q], axis=-1).astype(dtype))
    return (h_DxBxH, operand(h_DxBxH)), results

  h0_DxBxH = h0_DxBxH.astype(accumulator)
  carry = h0_DxBxH, operand(h0_DxBxH)
  inputs = p_TxDxBxG, mask_TxDxB
  return jax.lax.scan(step, carry, inputs, unroll=UNROLL)[1]


def _recurrence_forward(loops, *arrays):
  h_TxDxBxH, gates_TxDxBx4H = loops.forward(True, *arrays)
  return h_TxDxBxH, (h_TxDxBxH, gates_TxDxBx4H, *arrays[2:])


def _recurrence_backward(loops, residuals, dy_TxDxBxH):
  """Returns the gradients with respect to `recurrence`'s arguments.

  dh is the gradient with respect to h_t. Those with respect to q_t = W_hn
  h_{t-1} + b_hn and to the pre-activations of r, z and n are dh times
  `gate_derivatives`.
  """
  h_TxDxBxH, gates_TxDxBx4H, w_DxGxH, b_n_DxH, h0_DxBxH, keep_DxBxH = residuals
  before_TxDxBxH = jnp.concatenate([h0_DxBxH[None], h_TxDxBxH[:-1]])
  dh_TxDxBxH, dh0_DxBxH, dkeep_DxBxH = loops.backward(
    dy_TxDxBxH, gates_TxDxBx4H, before_TxDxBxH, w_DxGxH, keep_DxBxH
  )
  c_r, c_z, c_n, c_q = gate_derivatives(_split(gates_TxDxBx4H), before_TxDxBxH)

  def gradients(*derivatives):
    products = [dh_TxDxBxH * c for c in derivatives]
    return jnp.concatenate(products, axis=-1).astype(dh_TxDxBxH.dtype)

  fed_TxDxBxH = before_TxDxBxH
  if keep_DxBxH is not None:
    fed_TxDxBxH = fed_TxDxBxH * keep_DxBxH
    dkeep_DxBxH = dkeep_DxBxH.astype(keep_DxBxH.dtype)
  dw_DxGxH = jnp.einsum('tdbg,tdbh->dgh', gradients(c_r, c_z, c_q), fed_TxDxBxH)
  return (
    gradients(c_r, c_z, c_n),
    None,
    dw_DxGxH.astype(w_DxGxH.dtype),
    (dh_TxDxBxH * c_q).sum((0, 2)).astype(b_n_DxH.dtype),
    dh0_DxBxH.astype(h0_DxBxH.dtype),
    dkeep_DxBxH,
  )


def backward_loop(
  dy_TxDxBxH: jax.Array,
  gates_TxDxBx4H: jax.Array,
  before_TxDxBxH: jax.Array,
  w_DxGxH: jax.Array,
  keep_DxBxH: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """Returns the gradients of the states, the initial state and the mask.

  The gradient with respect to h_{t-1} is

    dh' = dh * z + W_hr^T d_r + W_hz^T d_z + W_hn^T d_q + dy'

  where dy' is what the layer above returns for h_{t-1}.
  """
  dtype = gates_TxDxBx4H.dtype
  accumulator = _accumulator(dtype)

  def step(carry, inputs):
    dh, dkeep = carry
    gates_DxBx4H, before, dy_before = inputs
    gates = _split(gates_DxBx4H)
    c_r, c_z, _, c_q = gate_derivatives(gates, before)
    back = jnp.einsum(
      'dbg,dgh->dbh',
      jnp.concatenate([dh * c for c in (c_r, c_z, c_q)], -1).astype(dtype),
      w_DxGxH,
      preferred_element_type=accumulator,
    )
    if keep_DxBxH is not None:
      dkeep = dkeep + back * before
      back = back * keep_DxBxH
    return (dh * gates[1] + back + dy_before, dkeep), dh.astype(dtype)

  last = dy_TxDxBxH[-1].astype(accumulator)
  zeros = jax.tree.map(lambda keep: jnp.zeros_like(last), keep_DxBxH)
  dy_before = jnp.concatenate([jnp.zeros_like(dy_TxDxBxH[:1]), dy_TxDxBxH[:-1]])
  inputs = gates_TxDxBx4H, before_TxDxBxH, dy_before
  (dh0_DxBxH, dkeep_DxBxH), dh_TxDxBxH = jax.lax.scan(
    step, (last, zeros), inputs, reverse=True, unroll=UNROLL
  )
  return dh_TxDxBxH, dh0_DxBxH, dkeep_DxBxH


recurrence.defvjp(_recurrence_forward, _recurrence_backward)


def gate_derivatives(
  gates: Sequence[jax.Array], before: jax.Array
) -> tuple[jax.Array, ...]:
  """Returns the derivatives of h_t by r, z, n (pre-activations) and q.

  Args:
    gates: r, z, n and q, of one step or of all.
    before: h_{t-1}.
  """
  r, z, n, q = gates
  c_n = (1 - z) * (1 - n * n)
  c_q = c_n * r
  return c_q * q * (1 - r), (before - n) * z * (1 - z), c_n, c_q


def _split(gates):
  return jnp.split(gates.astype(_accumulator(gates.dtype)), 4, axis=-1)


def _in_steps(array_BxTx):
  """Returns [B, T, ...] in the order of the steps, [T, D, B, ...]."""
  array_TxBx = array_BxTx.swapaxes(0, 1)
  return jnp.stack([array_TxBx, array_TxBx[::-1]], axis=1)


def _accumulator(dtype):
  """Returns the dtype of the state: float32, or the inputs' if it is wider."""
  return jnp.promote_types(dtype, jnp.float32)
