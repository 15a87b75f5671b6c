"""Compiles for many batch shapes at once, ahead of their first use."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
import time
from typing import Any

import jax

from bigru_jax.runtime.precision import single_precision


class CompiledByShape:
  """A jitted function, compiled once for each shape of its last argument.

  It is called like the function. `compile_ahead` compiles on other threads: all
  shapes of an epoch at the same time, and those of the evaluation while the
  first epoch trains. With JAX_DISABLE_JIT, nothing is compiled.

  Attributes:
    seconds: the time that calls have spent waiting for compilation.
  """

  def __init__(
    self, function: jax.stages.Wrapped, executor: ThreadPoolExecutor
  ) -> None:
    self.seconds = 0.0
    self._function, self._executor = function, executor
    self._executables: dict[Any, Future[jax.stages.Compiled]] = {}

  def compile_ahead(self, *arguments: Any) -> None:
    """Starts compiling for arguments, which may be `ShapeDtypeStruct`s."""
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
      return
    abstract = jax.tree.map(_abstract, arguments)
    self._executables[_shapes(arguments[-1])] = self._executor.submit(
      self._compile, abstract
    )

  @single_precision()  # The compiling thread does not inherit it.
  def _compile(self, abstract: tuple[Any, ...]) -> jax.stages.Compiled:
    return self._function.lower(*abstract).compile()

  def __call__(self, *arguments: Any) -> Any:
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
      return self._function(*arguments)
    shapes = _shapes(arguments[-1])
    if shapes not in self._executables:
      self.compile_ahead(*arguments)
    executable = self._executables[shapes]
    if not executable.done():
      start = time.perf_counter()
      executable.result()
      self.seconds += time.perf_counter() - start
    return executable.result()(*arguments)


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _shapes(batch: Any) -> tuple[Any, ...]:
  arrays, structure = jax.tree.flatten(batch)
  return structure, tuple(x.shape for x in arrays)
