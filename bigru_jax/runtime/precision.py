"""JAX's thread-local settings, as this library needs them."""

from collections.abc import Iterator
import contextlib

import jax


@contextlib.contextmanager
def single_precision() -> Iterator[None]:
  """Restores JAX's defaults for types and ranks in this thread.

  Other code of a process may have enabled `jax_enable_x64`, or made
  `jax_numpy_dtype_promotion` and `jax_numpy_rank_promotion` strict. The public
  functions still compute in float32 and int32, with the same bits, and change
  no settings of the process.

  It is a context manager and a decorator of functions; in a generator it would
  also affect the consumer. A new thread does not inherit it.

  Example:
    >>> import jax.numpy as jnp
    >>> with jax.enable_x64(True), single_precision():
    ...   jnp.zeros(1).dtype
    dtype('float32')
  """
  with (
    jax.enable_x64(False),
    jax.numpy_dtype_promotion('standard'),
    jax.numpy_rank_promotion('allow'),
  ):
    yield
