"""Several processes that train one run together, by JAX's own runtime.

Each runs the same program, on its own devices, on a directory that all share.
Process 0, the main one, writes the run's files. The functions here are for the
moments at which the processes must agree; with a single process they do
nothing. On CPUs the collectives are Gloo's, JAX's default.
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

# A process that is silent for this long is considered dead, and JAX ends the
# others.
_HEARTBEAT_SECONDS = 30
# A process that exits alone, because of an error, waits this long before it
# ends the others. At the end of a run they wait for each other before that.
_SHUTDOWN_SECONDS = 45
_LONGEST_WAIT_SECONDS = 7 * 24 * 3600
_SECONDS_BETWEEN_VOTES = 1.0
# How the message of an error of JAX's runtime begins, whatever its type.
_STATUS = re.compile(
  r'(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|'
  r'FAILED_PRECONDITION|DATA_LOSS): '
)
_barriers = itertools.count()


class ProcessLost(RuntimeError):
  """Another process of the run ended, or cannot be reached."""


def initialize(
  coordinator: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
) -> None:
  """Connects this process with the others, before JAX starts; for scripts.

  JAX's own handler of SIGTERM is left out: `stop_together` does its work.

  Args:
    coordinator: host and port of process 0. By default all three are those of
      Slurm, Open MPI, Kubernetes or Cloud TPU. Where they are given, nothing is
      detected, and each process has all devices that it sees.
    num_processes: how many there are.
    process_id: this one's number, from 0.

  Raises:
    ValueError: there is nothing to detect them from, or only some are given.
    ProcessLost: the others cannot be reached.
  """
  arguments = [coordinator, num_processes, process_id]
  if None in arguments and any(x is not None for x in arguments):
    raise ValueError(
      'distributed: coordinator, num_processes and process_id go together'
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
      # Else a Slurm or MPI around it would choose this process's devices.
      cluster_detection_method='deactivate' if coordinator else None,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
  except ValueError as error:
    raise ValueError(
      'distributed: no Slurm, Open MPI, Kubernetes or Cloud TPU is found '
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
  from orbax.checkpoint import multihost  # A script's help does without it.

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


@contextlib.contextmanager
def agreed() -> Iterator[None]:
  """Lets all processes leave the context normally, or all with an error.

  Raises:
    ValueError: another process failed; the message is that of its error.
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
  messages = gather(failure and str(failure))
  if failure:
    raise failure
  for process, message in enumerate(messages):
    if message is not None:
      raise ValueError(f'process {process}: {message}')


def on_main(action: Callable[[], Any]) -> None:
  """Runs an action on process 0; if it fails, all processes fail.

  Raises:
    ValueError: in the other processes; the message is that of its error.
  """
  with agreed():
    if is_main():
      action()


def check_equal(name: str, value: Any) -> None:
  """Raises ValueError where the processes have different values."""
  values = gather(value)
  differing = [i for i, other in enumerate(values) if other != values[0]]
  if differing:
    raise ValueError(
      f'process {differing[0]} has {name} other than those of process 0'
    )


def stop_together(
  stop: Callable[[], bool], before_vote: Callable[[], Any]
) -> Callable[[], bool]:
  """Returns a function that stops all processes when one is asked to.

  A vote at each call would cost a collective, for which the devices wait. So
  the processes vote about once a second: the time since the last vote, which
  is exchanged with it, tells after how many calls the next one is.

  Args:
    stop: whether this process is asked to.
    before_vote: waits for all collectives in flight.

  Returns:
    A function that all processes call equally often.
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
    # At most doubled, for the steps so far may have been quick ones.
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
  """Raises `ProcessLost` in place of what JAX and Orbax raise for it."""
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
    f'another process of the run ended or cannot be reached: {reason}'
  )
