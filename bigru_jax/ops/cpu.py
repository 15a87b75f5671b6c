"""Loads the library of C++ functions for CPUs, calls and differentiates them.

`gru_cpu`, `attention_cpu` and `adamw` hold one function each. `setup.py`
compiles the library where there is a C++ compiler; without the library, `gru`,
`attention` and `training.update` choose another implementation.
"""

from collections.abc import Callable, Sequence
import ctypes
import functools
import hashlib
import logging
import pathlib
import platform
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P

_log = logging.getLogger(__name__)

LIBRARY = pathlib.Path(__file__).with_name('_cpu.lib.so')
HANDLERS = (
  'GruForward',
  'GruBackward',
  'AttentionForward',
  'AttentionBackward',
)
FLOAT32_HANDLERS = ('Adamw',)
# What a kernel's products can multiply.
DTYPES = 'float32', 'bfloat16'
# The names of the machines that `setup.py` compiles for. Windows, for which it
# does not, has other names.
_MACHINES = 'x86_64', 'aarch64', 'arm64'


@functools.cache
def instruction_sets(dtype: str = 'float32') -> tuple[str, ...]:
  """Returns the instruction sets of this processor for a dtype, best first.

  There are none if the library is missing or is for another architecture, or
  has no kernel for this dtype that the processor can run.
  """
  library = _library()
  if library is None or dtype not in DTYPES:
    return ()
  name_of = getattr(library, f'BigruInstructionSet_{dtype}')
  name_of.restype = ctypes.c_char_p
  names: list[str] = []
  while (name := name_of(len(names))) is not None:
    names.append(name.decode())
  return tuple(names)


@functools.cache
def _library() -> ctypes.CDLL | None:
  """Loads the library and registers its functions, if it is there.

  If it is missing on a CPU that it could be built for, or was built from other
  sources than those of a clone, a warning says so, once.
  """
  try:
    library = ctypes.CDLL(str(LIBRARY))
    sources = _digest_of_sources()
    if sources not in (None, _digest_in(library)):
      raise OSError(f'{LIBRARY.name} was built from other sources')
    names = [
      *(f'{name}_{dtype}' for name in HANDLERS for dtype in DTYPES),
      *(f'{name}_float32' for name in FLOAT32_HANDLERS),
    ]
    handlers = {name: getattr(library, f'Bigru{name}') for name in names}
  except (OSError, AttributeError, ValueError) as error:
    if platform.machine() in _MACHINES and jax.default_backend() == 'cpu':
      _log.warning(
        "the C++ kernel cannot be loaded, so XLA's operations, which are "
        'slower on a CPU, take its place (%s); to get the kernel, install a '
        'C++ compiler, and then bigru_jax again: "pip install -e ." in a '
        'clone, or "pip install --force-reinstall --no-deps --no-cache-dir '
        'bigru_jax"',
        error,
      )
    return None
  for name, function in handlers.items():
    handler = jax.ffi.pycapsule(function)
    jax.ffi.register_ffi_target(f'bigru_jax_{name}', handler, platform='cpu')
  return library


def _digest_in(library: ctypes.CDLL) -> int:
  return ctypes.c_uint64.in_dll(library, 'BigruSources').value


def _digest_of_sources() -> int | None:
  """Returns the number that `setup.py` gives the library of these sources.

  A wheel has no sources, and a library that belongs to it.
  """
  folder = LIBRARY.parent
  sources = sorted([*folder.glob('*.h'), *folder.glob('*.cc')])
  digest = hashlib.sha256(b''.join(path.read_bytes() for path in sources))
  return int.from_bytes(digest.digest()[:8], 'big') if sources else None


def supports(*arrays: jax.Array) -> bool:
  """Returns whether the library can compute on this CPU with these arrays.

  They must have the same dtype.
  """
  dtypes = {jnp.result_type(array).name for array in arrays}
  return len(dtypes) == 1 and bool(instruction_sets(*dtypes))


def check(*arrays: jax.Array) -> None:
  """Raises a ValueError with the reason if `supports` is false."""
  if not supports(*arrays):
    dtypes = dict.fromkeys(jnp.result_type(array).name for array in arrays)
    known = [dtype for dtype in DTYPES if instruction_sets(dtype)]
    raise ValueError(
      f"implementation='cpu': {' and '.join(dtypes)} inputs; the kernel takes "
      f'{" or ".join(known)} on this processor'
      if known
      else "implementation='cpu': the kernel has not been compiled for this "
      'processor; install bigru_jax where there is a C++ compiler'
    )


def call(
  name: str,
  instruction_set: str,
  results: Sequence[jax.ShapeDtypeStruct],
  *arguments: jax.Array,
  aliases: dict[int, int] | None = None,
  **attributes: Any,
) -> tuple[jax.Array, ...]:
  """Calls a C++ function.

  Args:
    name: one of `HANDLERS` or `FLOAT32_HANDLERS`.
    instruction_set: one of `instruction_sets(dtype)`; '' is the best one.
    results: the shapes and dtypes of the results.
    *arguments: the first of them has the dtype, one of `DTYPES`, and the
      results vary over the same mesh axes.
    aliases: argument -> the result that has its memory, by position. XLA
      copies an argument that is needed afterwards.
    **attributes: further attributes of the call.
  """
  like = jax.typeof(arguments[0])
  varying = like.manual_axis_type.varying  # Inside shard_map.
  sharding = NamedSharding(like.sharding.mesh, P()) if varying else None
  varying_results = tuple(
    jax.ShapeDtypeStruct(
      result.shape,
      result.dtype,
      sharding=sharding,
      manual_axis_type=like.manual_axis_type,
    )
    for result in results
  )
  run = jax.ffi.ffi_call(
    f'bigru_jax_{name}_{like.dtype}',
    varying_results,
    vmap_method='sequential',
    input_output_aliases=aliases,
  )
  return tuple(run(*arguments, instruction_set=instruction_set, **attributes))


def call_gradients(
  name: str,
  instruction_set: str,
  arrays: Sequence[jax.Array],
  *arguments: jax.Array,
  aliases: dict[int, int] | None = None,
  spent: Sequence[jax.Array] = (),
) -> tuple[jax.Array, ...]:
  """Calls a C++ function that returns the gradients by some arrays.

  Its results are float32, sums over the batch, except for the first one, which
  has the dtype of the computation.

  Args:
    name, instruction_set, *arguments, aliases: see `call`.
    arrays: the arrays, whose shapes and dtypes the gradients have.
    spent: arrays of the shapes of further results, which nobody reads: their
      memory is that of an argument, which the function overwrites.
  """
  first, *parameters = arrays
  results = [
    jax.ShapeDtypeStruct(first.shape, first.dtype),
    *(jax.ShapeDtypeStruct(array.shape, jnp.float32) for array in parameters),
    *(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in spent),
  ]
  gradients = call(name, instruction_set, results, *arguments, aliases=aliases)
  return tuple(d.astype(x.dtype) for d, x in zip(gradients, arrays))


@functools.cache
def differentiable(
  instruction_set: str,
  forward: Callable[[str, jax.Array, Any, bool], tuple[Any, jax.Array]],
  gradients: Callable[..., Any],
  reference: Callable[[jax.Array, Any], Any],
) -> Callable[[jax.Array, Any], Any]:
  """Returns (mask, arrays) -> outputs, a function with all reverse derivatives.

  The first derivative calls `gradients`; the higher ones differentiate the
  gradients of `reference`.

  Args:
    instruction_set: the first argument of `forward` and `gradients`.
    forward: (instruction_set, mask, arrays, save) -> (outputs, saved), where
      `saved` is the array that `gradients` needs if `save` is true, and is
      empty, [0], otherwise.
    gradients: (instruction_set, mask, arrays, outputs, saved, d_outputs) ->
      d_arrays.
    reference: (mask, arrays) -> the same outputs, in plain JAX.
  """

  @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
  def run(save, mask, arrays):
    return forward(instruction_set, mask, arrays, save)

  def run_forward(save, mask, arrays):
    outputs, saved = run(True, mask, arrays)
    returned = saved if save else saved.reshape(-1)[:0]
    return (outputs, returned), (mask, arrays, outputs, saved)

  def run_backward(save, residuals, cotangents):
    # `derive` is differentiated with respect to its arrays, never to `saved`.
    return None, derive(*residuals, cotangents[0])

  run.defvjp(run_forward, run_backward)

  @jax.custom_vjp
  def derive(mask, arrays, outputs, saved, d_outputs):
    return gradients(instruction_set, mask, arrays, outputs, saved, d_outputs)

  def derive_forward(*arguments):
    return derive(*arguments), arguments

  def derive_backward(arguments, cotangents):
    mask, arrays, outputs, saved, d_outputs = arguments

    def reference_gradients(arrays, d_outputs):
      _, pull_back = jax.vjp(functools.partial(reference, mask), arrays)
      return pull_back(d_outputs)[0]

    _, pull_back = jax.vjp(reference_gradients, arrays, d_outputs)
    d_arrays, d_d_outputs = pull_back(cotangents)
    zeros = jax.tree.map(jnp.zeros_like, (outputs, saved))
    return None, d_arrays, *zeros, d_d_outputs

  derive.defvjp(derive_forward, derive_backward)
  return lambda mask, arrays: run(False, mask, arrays)[0]
