"""The flags of a command that trains with several processes, and its start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import faulthandler
import logging

from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config
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
