"""The GRU as a C++ function for CPUs, called through XLA's FFI.

`gru_cpu_kernel.cc` holds the equations and `gru_cpu.cc` the calls. One call
takes the place of the loop and of all its matmuls, uses XLA's threads inside,
and computes no padded position. `setup.py` compiles it where there is a C++
compiler; where it is missing, `gru` chooses another implementation.

The axes are those of `gru_reference`.
"""

import ctypes
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P

from bigru_jax.ops import gru_reference
from bigru_jax.ops.gru_reference import GRUParams
from bigru_jax.ops.varying import vary_like

LIBRARY = pathlib.Path(__file__).with_name('_gru_cpu.lib.so')
_Arrays = tuple[jax.Array, GRUParams, jax.Array, jax.Array | None]


@functools.cache
def instruction_sets() -> tuple[str, ...]:
  """The kernel's instruction sets on this processor, the best one first.

  None where it has not been compiled, or for another kind of processor.
  """
  try:
    library = ctypes.CDLL(str(LIBRARY))
  except OSError:
    return ()
  for name in ('Forward', 'Backward'):
    handler = jax.ffi.pycapsule(getattr(library, f'Bigru{name}'))
    jax.ffi.register_ffi_target(f'bigru_jax_{name}', handler, platform='cpu')
  name_of = library.BigruInstructionSet
  name_of.restype = ctypes.c_char_p
  names = iter(lambda: name_of(len(found)), None)
  found: list[str] = []
  for name in names:
    found.append(name.decode())
  return tuple(found)


def supports(dtype: jax.typing.DTypeLike) -> bool:
  """Whether the kernel can run on this CPU over inputs of this type."""
  return jnp.dtype(dtype) == jnp.float32 and bool(instruction_sets())


def bidirectional_gru(
  x_BxTxE: jax.Array,
  mask_BxT: jax.Array,
  params: GRUParams,
  initial_state_DxBxH: jax.Array,
  scale_DxBxH: jax.Array | None = None,
  instruction_set: str = '',
) -> tuple[jax.Array, jax.Array]:
  """See `gru.bidirectional_gru`.

  Args:
    x_BxTxE, mask_BxT, params, initial_state_DxBxH, scale_DxBxH: see there.
    instruction_set: one of `instruction_sets()`; '' is the best one.

  Raises:
    ValueError: the kernel is not there, or the inputs are not float32.
  """
  if not supports(x_BxTxE.dtype):
    raise ValueError(
      f"implementation='cpu': {x_BxTxE.dtype} inputs; it is for float32"
      if instruction_sets()
      else "implementation='cpu': the kernel has not been compiled for this "
      'processor; install bigru_jax where there is a C++ compiler'
    )
  hidden = params.w_recurrent_DxGxH.shape[-1]
  arrays = x_BxTxE, params, initial_state_DxBxH, scale_DxBxH
  arrays = vary_like(arrays, x_BxTxE)
  h_BxTx2H = _layer(instruction_set, vary_like(mask_BxT, x_BxTxE), arrays)
  final_DxBxH = jnp.stack([h_BxTx2H[:, -1, :hidden], h_BxTx2H[:, 0, hidden:]])
  return h_BxTx2H, final_DxBxH


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer(
  instruction_set: str, mask_BxT: jax.Array, arrays: _Arrays
) -> jax.Array:
  """The states h_BxTx2H, without residuals."""
  return _forward(instruction_set, mask_BxT, arrays, save=False)[0]


def _layer_forward(instruction_set, mask_BxT, arrays):
  h_BxTx2H, gates = _layer_with_gates(instruction_set, mask_BxT, arrays)
  return h_BxTx2H, (mask_BxT, arrays, h_BxTx2H, gates)


def _layer_backward(instruction_set, residuals, dh_BxTx2H):
  return None, _gradients(instruction_set, *residuals, dh_BxTx2H)


_layer.defvjp(_layer_forward, _layer_backward)


# The two calls that a gradient is made of have derivatives of their own, so
# that a gradient can be differentiated again.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer_with_gates(instruction_set, mask_BxT, arrays):
  """The states h_BxTx2H and the gates [2, T, B, 4H], for `_gradients` alone."""
  return _forward(instruction_set, mask_BxT, arrays, save=True)


def _layer_with_gates_forward(instruction_set, mask_BxT, arrays):
  results = _layer_with_gates(instruction_set, mask_BxT, arrays)
  return results, (mask_BxT, arrays, *results)


def _layer_with_gates_backward(instruction_set, residuals, cotangents):
  # `_gradients` is differentiated by its arrays, never by the gates.
  return None, _gradients(instruction_set, *residuals, cotangents[0])


_layer_with_gates.defvjp(_layer_with_gates_forward, _layer_with_gates_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gradients(
  instruction_set: str,
  mask_BxT: jax.Array,
  arrays: _Arrays,
  h_BxTx2H: jax.Array,
  gates: jax.Array,
  dh_BxTx2H: jax.Array,
) -> _Arrays:
  """The gradients by the arrays, given the one by the states."""
  x_BxTxE, params, h0_DxBxH, scale_DxBxH = arrays
  results = [(2, *x_BxTxE.shape), *(p.shape for p in params), h0_DxBxH.shape]
  results.append((0,) if scale_DxBxH is None else scale_DxBxH.shape)
  dx, dw_input, dw_recurrent, db, db_n, dh0, dscale = _call(
    'Backward',
    instruction_set,
    results,
    x_BxTxE,
    mask_BxT,
    params.w_input_DxGxE,
    params.w_recurrent_DxGxH,
    h0_DxBxH,
    _or_empty(scale_DxBxH, x_BxTxE),
    h_BxTx2H,
    gates,
    dh_BxTx2H,
  )
  return (
    dx[0] + dx[1],
    GRUParams(dw_input, dw_recurrent, db, db_n),
    dh0,
    None if scale_DxBxH is None else dscale,
  )


def _gradients_forward(instruction_set, mask_BxT, arrays, h, gates, dh):
  results = _gradients(instruction_set, mask_BxT, arrays, h, gates, dh)
  return results, (mask_BxT, arrays, h, gates, dh)


def _gradients_backward(instruction_set, residuals, cotangents):
  """The derivative of the gradients: that of the reference's gradients."""
  mask_BxT, arrays, h, gates, dh_BxTx2H = residuals

  def states(arrays):
    x_BxTxE, *others = arrays
    return gru_reference.bidirectional_gru(x_BxTxE, mask_BxT, *others)[0]

  def gradients(arrays, dh_BxTx2H):
    return jax.vjp(states, arrays)[1](dh_BxTx2H)[0]

  _, pull_back = jax.vjp(gradients, arrays, dh_BxTx2H)
  d_arrays, d_dh = pull_back(cotangents)
  return None, d_arrays, jnp.zeros_like(h), jnp.zeros_like(gates), d_dh


_gradients.defvjp(_gradients_forward, _gradients_backward)


def _forward(instruction_set, mask_BxT, arrays, save):
  """The states, and the gates where they are to be saved."""
  x_BxTxE, params, h0_DxBxH, scale_DxBxH = arrays
  batch, time, _ = x_BxTxE.shape
  hidden = h0_DxBxH.shape[-1]
  return _call(
    'Forward',
    instruction_set,
    [
      (batch, time, 2 * hidden),
      (2, time, batch, 4 * hidden) if save else (0,),
    ],
    x_BxTxE,
    mask_BxT,
    *params,
    h0_DxBxH,
    _or_empty(scale_DxBxH, x_BxTxE),
  )


def _or_empty(scale_DxBxH: jax.Array | None, like: jax.Array) -> jax.Array:
  if scale_DxBxH is None:
    return vary_like(jnp.zeros(0, like.dtype), like)
  return scale_DxBxH


def _call(
  name: str, instruction_set: str, shapes: Any, *arguments: jax.Array
) -> tuple[jax.Array, ...]:
  """One of the library's functions, whose results vary as its arguments do."""
  like = jax.typeof(arguments[0])
  varying = like.manual_axis_type.varying  # Inside shard_map.
  sharding = NamedSharding(like.sharding.mesh, P()) if varying else None
  results = tuple(
    jax.ShapeDtypeStruct(
      shape,
      jnp.float32,
      sharding=sharding,
      manual_axis_type=like.manual_axis_type,
    )
    for shape in shapes
  )
  call = jax.ffi.ffi_call(
    f'bigru_jax_{name}', results, vmap_method='sequential'
  )
  return tuple(call(*arguments, instruction_set=instruction_set))
