"""Trains, selects and tests a BiGRU with attention: the main job.

  python experiments/run.py
  python experiments/run.py --dataset=trec --data_dir=FOLDER --embeddings=FILE

Everything lands in the run directory, --workdir. The same command on an
existing one resumes where it stopped.
"""

import logging
import pathlib
import time

from absl import flags
import command

import bigru_jax
from bigru_jax import config_flags, runs
from bigru_jax.reports import tables
from bigru_jax.runtime import host, preemption

_log = logging.getLogger('bigru_jax.run')

config_flags.define_flags()
_WORKDIR = flags.DEFINE_string(
  'workdir',
  None,
  'The run directory; by default runs/<dataset> and the flags that differ from '
  'their defaults.',
)


def help_text() -> str:
  """All flags in the groups of the configuration."""
  workdir = f'  --workdir=\n      {flags.FLAGS["workdir"].help}'
  return f'Run:\n{workdir}\n\n{config_flags.flags_help()}'


def main() -> None:
  started = time.perf_counter()
  config = config_flags.from_flags()
  host.configure_cpu(config.cpu_devices)
  host.cache_compilations()
  workdir = pathlib.Path(_WORKDIR.value or runs.default_workdir(config))
  with preemption.stop_on_signals() as stop:
    run = bigru_jax.train(config, workdir, stop=stop)
  result = runs.read_result(run.workdir)
  print(tables.classification_table(result['test_report']), end='\n\n')
  print(tables.metrics_table(result['test']))
  _log.info('%.1f s in all', time.perf_counter() - started)


if __name__ == '__main__':
  command.run(main, help_text, quiet=False)
