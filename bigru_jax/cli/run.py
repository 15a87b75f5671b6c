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

import logging
import time

import bigru_jax
from bigru_jax.cli import config_flags
from bigru_jax.cli.command_flags import Flags
from bigru_jax.cli.pretrain import perplexities_as_text
from bigru_jax.cli.processes import ProcessFlags
from bigru_jax.metrics import shown
from bigru_jax.reports.class_tables import evaluation_as
from bigru_jax.rundir import files as run_files, naming
from bigru_jax.runtime import distributed

_log = logging.getLogger('bigru_jax.run')

FLAGS = Flags()
VERBOSE = True
_WORKDIR = FLAGS.path(
  'workdir',
  'The run directory, also in a bucket: gs://bucket/run or s3://bucket/run; by '
  'default runs/<dataset>, followed by the flags that differ from their '
  'defaults.',
)
_PROCESSES = ProcessFlags(FLAGS)
config_flags.define_flags(FLAGS)


def main() -> None:
  """Trains, and prints the scores of the test split."""
  started = time.perf_counter()
  config = config_flags.from_flags(FLAGS)
  is_labelled = config.task != 'language_model'
  train = bigru_jax.train if is_labelled else bigru_jax.pretrain
  with _PROCESSES.started(config) as stop:
    workdir = _WORKDIR.value or naming.default_workdir(config)
    timeout = _PROCESSES.lock_timeout(workdir)
    run = train(config, workdir, stop=stop, lock_timeout=timeout)
  if not distributed.is_main():
    return
  result = run_files.read_result(run.workdir)
  if is_labelled:
    values = shown(result['test'], config.metrics, config.select_by)
    print(evaluation_as(result['test_report'], values))
  else:
    print(perplexities_as_text(result, config))
  _log.info('%.1f s in all', time.perf_counter() - started)
