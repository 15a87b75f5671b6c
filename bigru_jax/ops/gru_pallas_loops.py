"""The loops of `gru_pallas`: the kernels, and what brings arrays to them.

The grid is (directions and blocks of the batch) × blocks of steps. A TPU runs
its last axis in order, moves one block of steps after the other through its
vector memory (VMEM), and keeps the state in an output that all of them share. A
GPU runs all blocks in parallel; there one block has all steps, and the kernel
loads one after the other.

The axes are those of `gru_scan`. B and H are padded with zeros, and the units
of the padding stay zero.
"""

from typing import Any, NamedTuple

import jax
from jax.experimental import pallas as pl
import jax.numpy as jnp

from bigru_jax.ops import gru_scan


class Launch(NamedTuple):
  """How a kernel is launched.

  Attributes:
    steps: the number of time steps of a block; it divides T.
    rows: the number of examples of a block.
    units: H, padded.
    compiler_params: of `pl.pallas_call`, for a kind of chips.
    interpret: run the kernel's operations one by one, on any device.
  """

  steps: int
  rows: int
  units: int
  compiler_params: Any
  interpret: bool = False


def forward_loop(
  launch: Launch,
  save: bool,
  p_TxDxBxG: jax.Array,
  mask_TxDxB: jax.Array,
  w_DxGxH: jax.Array,
  b_n_DxH: jax.Array,
  h0_DxBxH: jax.Array,
  keep_DxBxH: jax.Array | None,
) -> list[jax.Array]:
  """See `gru_scan.forward_loop`."""
  hidden = w_DxGxH.shape[-1]
  # With z = 1 at padding the kernel needs no mask.
  p_r, p_z, p_n = jnp.split(p_TxDxBxG, 3, axis=-1)
  p_z = jnp.where(mask_TxDxB[..., None], p_z, jnp.inf)
  keep = jnp.ones_like(h0_DxBxH) if keep_DxBxH is None else keep_DxBxH
  *streams, _ = _call(
    launch,
    _forward_kernel,
    streams=[jnp.concatenate([p_r, p_z, p_n], axis=-1)],
    weights=[w_DxGxH.reshape(2, 3, hidden, hidden), b_n_DxH[:, None]],
    states=[h0_DxBxH, keep],
    widths=[1, 4] if save else [1],
    num_states=1,
  )
  return streams


def _forward_kernel(p_ref, w_ref, b_ref, h0_ref, keep_ref, *output_refs):
  h_ref, *gates_ref, state_ref = output_refs
  keep = keep_ref[0]
  b_n = b_ref[0].astype(jnp.float32)
  w = [w_ref[0, gate] for gate in range(3)]

  def step(t, h):
    fed = (h * keep).astype(w_ref.dtype)
    g_r, g_z, g_n = (_product(fed, w_gate, 1) for w_gate in w)
    p_r, p_z, p_n = (_load(p_ref, t, gate, h) for gate in range(3))
    r = jax.nn.sigmoid(p_r + g_r)
    z = jax.nn.sigmoid(p_z + g_z)
    q = g_n + b_n
    n = jnp.tanh(p_n + r * q)
    h = (1 - z) * n + z * h
    _store(h_ref, t, 0, h)
    for ref in gates_ref:
      for gate, value in enumerate((r, z, n, q)):
        _store(ref, t, gate, value)
    return h

  first = pl.program_id(1) == 0
  h = jnp.where(first, h0_ref[0], state_ref[0])
  state_ref[0] = jax.lax.fori_loop(0, p_ref.shape[0], step, h)


def backward_loop(
  launch: Launch,
  dy_TxDxBxH: jax.Array,
  gates_TxDxBx4H: jax.Array,
  before_TxDxBxH: jax.Array,
  w_DxGxH: jax.Array,
  keep_DxBxH: jax.Array | None,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  """See `gru_scan.backward_loop`."""
  hidden = w_DxGxH.shape[-1]
  keep = jnp.ones_like(dy_TxDxBxH[0]) if keep_DxBxH is None else keep_DxBxH
  dh_TxDxBxH, dh0_DxBxH, dkeep_DxBxH = _call(
    launch,
    _backward_kernel,
    streams=[dy_TxDxBxH, gates_TxDxBx4H, before_TxDxBxH],
    weights=[w_DxGxH.reshape(2, 3, hidden, hidden)],
    states=[keep],
    widths=[1],
    num_states=2,
  )
  return dh_TxDxBxH, dh0_DxBxH, None if keep_DxBxH is None else dkeep_DxBxH


def _backward_kernel(
  dy_ref, gates_ref, before_ref, w_ref, keep_ref, dh_ref, dh0_ref, dkeep_ref
):
  """Goes back over a block, which the grid visits in reverse order."""
  keep = keep_ref[0]
  w = [w_ref[0, gate] for gate in range(3)]
  steps = dy_ref.shape[0]

  def step(i, carry):
    t = steps - 1 - i
    dh, dkeep = carry
    dh = dh + _load(dy_ref, t, 0, dh)
    _store(dh_ref, t, 0, dh)
    gates = [_load(gates_ref, t, gate, dh) for gate in range(4)]
    before = _load(before_ref, t, 0, dh)
    c_r, c_z, _, c_q = gru_scan.gate_derivatives(gates, before)
    back = sum(
      _product((dh * c).astype(w_ref.dtype), w_gate, 0)
      for c, w_gate in zip((c_r, c_z, c_q), w)
    )
    return dh * gates[1] + back * keep, dkeep + back * before

  first = pl.program_id(1) == 0
  carry = tuple(jnp.where(first, 0, ref[0]) for ref in (dh0_ref, dkeep_ref))
  dh0_ref[0], dkeep_ref[0] = jax.lax.fori_loop(0, steps, step, carry)


def _call(launch, kernel, *, streams, weights, states, widths, num_states):
  """Runs a kernel over the grid, on padded arrays.

  Args:
    launch: how.
    kernel: a function of the blocks of all arrays, and of all outputs.
    streams: arrays [T, D, B, kH], of which a block has some steps and rows.
    weights: arrays [D, ..., H], of which a block has one direction.
    states: arrays [D, B, H], of which a block has some rows.
    widths: the k of the outputs that are streams.
    num_states: the number of the outputs that are states.

  Returns:
    The outputs, cut to B and H.
  """
  time, _, examples, _ = streams[0].shape
  hidden = states[0].shape[-1]
  units, batch = launch.units, pl.cdiv(examples, launch.rows) * launch.rows
  streams = [_resize(array, hidden, batch, units) for array in streams]
  # A matrix has as many rows as columns, and a bias has one.
  weights = [
    _resize(array, hidden, units if array.ndim == 4 else 1, units)
    for array in weights
  ]
  states = [
    _resize(array.astype(jnp.float32), hidden, batch, units) for array in states
  ]
  num_times, num_batches = time // launch.steps, batch // launch.rows
  stream, whole, state = _block_specs(
    launch, num_batches, num_times, backward=kernel is _backward_kernel
  )
  varying = jax.typeof(streams[0]).manual_axis_type

  def shape(*shape, dtype):
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=varying)

  dtype = streams[0].dtype
  outputs = pl.pallas_call(
    kernel,
    [
      *(shape(time, 2, batch, k * units, dtype=dtype) for k in widths),
      *[shape(2, batch, units, dtype=jnp.float32)] * num_states,
    ],
    grid=(2 * num_batches, num_times),
    in_specs=[
      *(stream(array.shape[-1]) for array in streams),
      *(whole(array.shape) for array in weights),
      *[state] * len(states),
    ],
    out_specs=[*(stream(k * units) for k in widths), *[state] * num_states],
    compiler_params=launch.compiler_params,
    interpret=launch.interpret,
  )(*streams, *weights, *states)
  return [_resize(array, units, examples, hidden) for array in outputs]


def _block_specs(launch, num_batches, num_times, backward):
  """Returns the blocks of streams by width, of weights by shape, of states.

  The directions and the blocks of the batch are one axis of the grid: a GPU's
  grid has at most three, and `vmap` adds one.
  """

  # Not `divmod`: its sign rule asks which TPU is there.
  def split(i):
    return jax.lax.div(i, num_batches), jax.lax.rem(i, num_batches)

  def stream(width):
    def index(i, t):
      t = num_times - 1 - t if backward else t
      return t, *split(i), 0

    return pl.BlockSpec((launch.steps, 1, launch.rows, width), index)

  def whole(shape):
    zeros = (0,) * (len(shape) - 1)
    return pl.BlockSpec((1, *shape[1:]), lambda i, t: (split(i)[0], *zeros))

  state = pl.BlockSpec(
    (1, launch.rows, launch.units),
    lambda i, t: (*split(i), 0),
  )
  return stream, whole, state


def _resize(array, hidden, rows, units):
  """Pads or cuts [..., B, kH] to [..., rows, k * units]."""
  *axes, batch, size = array.shape
  gates = array.reshape(*axes, batch, size // hidden, hidden)
  edges = [(0, 0, 0)] * len(axes)
  edges += [(0, rows - batch, 0), (0, 0, 0), (0, units - hidden, 0)]
  zero = jnp.zeros((), array.dtype)
  return jax.lax.pad(gates, zero, edges).reshape(*axes, rows, -1)


def _product(a, b, axis):
  """Multiplies a's rows with the weights b, summed over b's axis."""
  return jax.lax.dot_general(
    a, b, (((1,), (axis,)), ((), ())), preferred_element_type=jnp.float32
  )


def _load(ref, t, gate, like):
  """Returns a gate of a step in float32."""
  units = like.shape[-1]
  return ref[t, 0, :, pl.ds(gate * units, units)].astype(jnp.float32)


def _store(ref, t, gate, value):
  units = value.shape[-1]
  ref[t, 0, :, pl.ds(gate * units, units)] = value.astype(ref.dtype)
