"""Distributed training of one run, by JAX's own runtime.

Each process runs the same program on its own devices, and all share the run
directory. Process 0, the main process, writes the run's files. The functions
here let the processes agree; with a single process they do nothing. On CPUs the
collectives are Gloo's, JAX's default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import itertools
import json
import re
import time
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from bigru_jax.runtime.preemption import Unavailable

# A process that is silent for this long is considered dead, and JAX ends the
# others.
_HEARTBEAT_SECONDS = 30
# A process that exits because of an error waits this long before it ends the
# others. At the normal end of a run the processes have waited for each other.
_SHUTDOWN_SECONDS = 45
_LONGEST_WAIT_SECONDS = 7 * 24 * 3600
_SECONDS_BETWEEN_VOTES = 1.0
# Errors of JAX's runtime, whatever their type, have messages that begin so.
_STATUS = re.compile(
  r'(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|'
  r'FAILED_PRECONDITION|DATA_LOSS): '
)
_barriers = itertools.count()


class ProcessLost(RuntimeError):
  """Another process of the run has ended or cannot be reached."""


def initialize(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Connects this process to the others before JAX starts; for scripts.

  JAX's own handler of SIGTERM is disabled, since `stop_together` replaces it.

  Args:
    coordinator: the host and port of process 0. By default, all three values
      come from Slurm, Open MPI, Kubernetes or Cloud TPU. If they are given,
      nothing is detected, and each process uses all devices that it sees.
    num_processes: the number of processes.
    process_id: the index of this process, from 0.

  Raises:
    ValueError: the values cannot be detected, or only some are given.
    ProcessLost: the other processes cannot be reached.
  """
  arguments = [coordinator, num_processes, process_id]
  if None in arguments and any(x is not None for x in arguments):
    raise ValueError(
      'distributed: give all of coordinator, num_processes and process_id'
    )
  if coordinator and not re.fullmatch(r'.+:\d+', coordinator):
    raise ValueError(f'coordinator={coordinator} is not HOST:PORT')
  if process_id is not None and process_id not in range(num_processes or 0):
    raise ValueError(
      f'process_id={process_id} is not below num_processes={num_processes}'
    )
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      # Otherwise Slurm or MPI would choose the devices of this process.
      cluster_detection_method='deactivate' if coordinator else None,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
  except ValueError as error:
    raise ValueError(
      'distributed: no Slurm, Open MPI, Kubernetes or Cloud TPU was found '
      f'({error}); give coordinator, num_processes and process_id'
    ) from error
  except jax.errors.JaxRuntimeError as error:
    raise _lost(error) from error


def is_main() -> bool:
  """Returns whether this process writes the run's files."""
  return jax.process_index() == 0


def wait() -> None:
  """Waits until every process has called this, however long that takes."""
  if jax.process_count() == 1:
    return
  from orbax.checkpoint import multihost  # It is slow to import.

  multihost.get_barrier_sync_fn()(
    key=f'bigru_jax/{next(_barriers)}',
    timeout_ms=1000 * _LONGEST_WAIT_SECONDS,
  )


def gather(value: Any) -> list[Any]:
  """Returns a JSON value of each process, in the order of their numbers.

  No other collective may be in flight.
  """
  if jax.process_count() == 1:
    return [value]
  wait()  # Gloo itself gives up after 30 s.
  data = np.frombuffer(json.dumps(value).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.array(len(data)))
  padded = np.pad(data, (0, int(sizes.max()) - len(data)))
  padded_PxN = multihost_utils.process_allgather(padded)
  return [
    json.loads(content[:size].tobytes())
    for content, size in zip(padded_PxN, sizes.ravel())
  ]


def send_from_main(tree: Any, like: Any) -> Any:
  """Returns the arrays of process 0 on every process.

  Args:
    tree: on process 0, a pytree of NumPy arrays.
    like: a pytree of arrays of the same shapes and types, on every process.
  """
  if jax.process_count() == 1:
    return tree
  if jax.process_index() != 0:
    tree = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
  return jax.device_get(multihost_utils.broadcast_one_to_all(tree))


@contextlib.contextmanager
def agreed() -> Iterator[None]:
  """Lets all processes leave the context normally, or all with an error.

  Raises:
    ValueError: another process failed; the message is its error's.
    Unavailable: another process failed with this error.
  """
  if jax.process_count() == 1:
    yield
    return
  failure: Exception | None = None
  try:
    yield
  except (ValueError, OSError) as error:
    if is_lost(error):
      raise
    failure = error
  failures = gather(
    failure and [isinstance(failure, Unavailable), str(failure)]
  )
  if failure:
    raise failure
  for process, other in enumerate(failures):
    if other is not None:
      is_unavailable, message = other
      kind = Unavailable if is_unavailable else ValueError
      raise kind(f'process {process}: {message}')


def on_main(action: Callable[[], Any]) -> None:
  """Runs an action on process 0; if it fails, all processes fail.

  Raises:
    ValueError: on the other processes, with the message of the error.
  """
  with agreed():
    if is_main():
      action()


def check_equal(name: str, value: Any) -> None:
  """Raises ValueError where the processes have different values."""
  values = gather(value)
  differing = [i for i, x in enumerate(values) if x != values[0]]
  if differing:
    raise ValueError(f'process {differing[0]} has other {name} than process 0')


def stop_together(
  stop: Callable[[], bool], before_vote: Callable[[], Any]
) -> Callable[[], bool]:
  """Returns a function that stops all processes when one is asked to.

  The returned function gives the same answer on all processes, which must call
  it equally often. A vote at each call would cost a collective, for which the
  devices wait, so the processes vote about once a second: the time since the
  last vote determines the number of calls until the next one.

  Args:
    stop: returns whether this process is asked to stop.
    before_vote: waits for all collectives in flight.
  """
  if jax.process_count() == 1:
    return stop
  calls, interval = 0, 1  # Calls since the last vote, and until the next one.
  since = time.monotonic()

  def any_is_asked() -> bool:
    nonlocal calls, interval, since
    calls += 1
    if calls < interval:
      return False
    before_vote()
    votes = gather([stop(), time.monotonic() - since])
    seconds_per_call = max(seconds for _, seconds in votes) / calls
    calls, since = 0, time.monotonic()
    wanted = int(_SECONDS_BETWEEN_VOTES / max(seconds_per_call, 1e-6))
    # It is at most doubled, since the steps so far may have been fast ones.
    interval = max(1, min(wanted, 2 * interval))
    return any(asked for asked, _ in votes)

  return any_is_asked


def is_lost(error: BaseException | None) -> bool:
  """Returns whether an error means that another process is gone."""
  if jax.process_count() == 1:
    return False
  while error is not None:
    if isinstance(error, ProcessLost) or _STATUS.match(str(error)):
      return True
    error = error.__cause__
  return False


@contextlib.contextmanager
def lost_processes() -> Iterator[None]:
  """Raises `ProcessLost` for the errors that JAX and Orbax raise for it."""
  try:
    yield
  except ProcessLost:
    raise
  except (jax.errors.JaxRuntimeError, ValueError, OSError) as error:
    if is_lost(error):
      raise _lost(error) from error
    raise


def _lost(error: BaseException) -> ProcessLost:
  while error.__cause__ is not None and not _STATUS.match(str(error)):
    error = error.__cause__
  reason = (str(error).splitlines() or [''])[0]
  return ProcessLost(
    f'another process of the run has ended or cannot be reached: {reason}'
  )
