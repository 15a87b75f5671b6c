"""The flags of a command that trains with several processes, and its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import faulthandler
import logging
import os

from bigru_jax.buckets.bucket import is_bucket
from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config
from bigru_jax.rundir.mirror import LOCK_TIMEOUT
from bigru_jax.runtime import distributed, host, preemption


class ProcessFlags:
  """The flags with which several processes train one run together."""

  def __init__(self, flags: Flags) -> None:
    self._distributed = flags.boolean(
      'distributed',
      'Train one run with other processes, as started by Slurm, Open MPI, '
      'Kubernetes or Cloud TPU.',
    )
    self._address = (
      flags.string(
        'coordinator',
        'HOST:PORT at which process 0 listens; it replaces --distributed.',
      ),
      flags.integer(
        'num_processes', 'With coordinator: the number of processes.', None
      ),
      flags.integer(
        'process_id',
        'With coordinator: the index of this process, from 0.',
        None,
      ),
    )
    self._lock_timeout = flags.number(
      'lock_timeout',
      'Of a run in a bucket: the seconds without a sign of life after which '
      'another process takes the run over; of two values, the larger counts.',
      LOCK_TIMEOUT,
      lower=1.0,
    )

  def lock_timeout(self, workdir: str | os.PathLike) -> float:
    """Returns the seconds after which a run in a bucket is taken over.

    Raises:
      ValueError: it is given for a run that is not in a bucket.
    """
    seconds = self._lock_timeout.value
    if seconds != self._lock_timeout.default and not is_bucket(workdir):
      raise ValueError(
        f'lock_timeout needs a run in a bucket; the lock of {workdir} is '
        'released by the system'
      )
    return seconds

  @contextlib.contextmanager
  def started(self, config: Config) -> Iterator[Callable[[], bool]]:
    """Sets up JAX and the signals of this process.

    Yields:
      A function that returns whether a signal has stopped the training.
    """
    address = [flag.value for flag in self._address]
    is_distributed = self._distributed.value or address != [None, None, None]
    with preemption.stop_on_signals(at_once=not is_distributed) as stop:
      if is_distributed:
        # JAX aborts a process that has lost process 0; the stacks of all
        # threads would hide its message.
        faulthandler.disable()
        distributed.initialize(*address)
      # A collective blocks a thread; `configure_cpu` makes enough of them.
      host.configure_cpu(config.cpu_devices or int(is_distributed))
      host.cache_compilations()
      if not distributed.is_main():
        logging.getLogger('bigru_jax').setLevel(logging.WARNING)
      yield stop
