"""Trains, selects and tests a BiGRU with attention.

  bigru run
  bigru run --dataset=trec --data_dir=FOLDER --embeddings=FILE

Everything is written to the run directory, --workdir. The same command resumes
a run that was stopped.

Several processes train one run together if each is started with --distributed:
  srun bigru run --distributed
or, without Slurm, Open MPI, Kubernetes or Cloud TPU,
  bigru run --coordinator=HOST:PORT --num_processes=2 \\
    --process_id=0
"""

import faulthandler
import logging
import pathlib
import time

import bigru_jax
from bigru_jax.cli import config_flags
from bigru_jax.cli.command_flags import Flags
from bigru_jax.metrics import shown
from bigru_jax.reports.class_tables import evaluation_as
from bigru_jax.rundir import files as run_files, naming
from bigru_jax.runtime import distributed, host, preemption

_log = logging.getLogger('bigru_jax.run')

FLAGS = Flags()
VERBOSE = True
_WORKDIR = FLAGS.path(
  'workdir',
  'The run directory; by default runs/<dataset>, followed by the flags that '
  'differ from their defaults.',
)
_DISTRIBUTED = FLAGS.boolean(
  'distributed',
  'Train one run with other processes, as started by Slurm, Open MPI, '
  'Kubernetes or Cloud TPU.',
)
_COORDINATOR = FLAGS.string(
  'coordinator',
  'HOST:PORT at which process 0 listens; it replaces --distributed.',
)
_NUM_PROCESSES = FLAGS.integer(
  'num_processes', 'With coordinator: the number of processes.', None
)
_PROCESS_ID = FLAGS.integer(
  'process_id', 'With coordinator: the index of this process, from 0.', None
)
config_flags.define_flags(FLAGS)


def main() -> None:
  """Trains, and prints the scores of the test split."""
  started = time.perf_counter()
  config = config_flags.from_flags(FLAGS)
  address = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
  is_distributed = _DISTRIBUTED.value or address != (None, None, None)
  with preemption.stop_on_signals(at_once=not is_distributed) as stop:
    if is_distributed:
      # JAX aborts a process that has lost process 0; the stacks of all threads
      # would hide its message.
      faulthandler.disable()
      distributed.initialize(*address)
    # A collective blocks a thread; `configure_cpu` makes enough of them.
    host.configure_cpu(config.cpu_devices or int(is_distributed))
    host.cache_compilations()
    if not distributed.is_main():
      logging.getLogger('bigru_jax').setLevel(logging.WARNING)
    workdir = pathlib.Path(_WORKDIR.value or naming.default_workdir(config))
    run = bigru_jax.train(config, workdir, stop=stop)
  if not distributed.is_main():
    return
  result = run_files.read_result(run.workdir)
  values = shown(result['test'], config.metrics, config.select_by)
  print(evaluation_as(result['test_report'], values))
  _log.info('%.1f s in all', time.perf_counter() - started)
