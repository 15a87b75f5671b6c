"""Trains both directions as language models, on texts alone.

  bigru pretrain --train=reviews.csv --output=runs/pretrained

Other runs start from it. Everything is written to the run directory, --output.
The same command resumes a run that was stopped; see bigru run for processes.
"""

import logging
import time
from typing import Any

import bigru_jax
from bigru_jax.cli import config_flags
from bigru_jax.cli.command_flags import Flags
from bigru_jax.cli.processes import ProcessFlags
from bigru_jax.config import Config
from bigru_jax.metrics import shown
from bigru_jax.reports.tables import table_as
from bigru_jax.runtime import distributed
from bigru_jax.training.effects import FIELDS_OF_LANGUAGE_MODEL

_log = logging.getLogger('bigru_jax.pretrain')

FLAGS = Flags()
VERBOSE = True
_OUTPUT = FLAGS.path('output', 'The run directory, also in a bucket.')
_PROCESSES = ProcessFlags(FLAGS)
config_flags.define_flags(FLAGS, {*FIELDS_OF_LANGUAGE_MODEL} - {'task'})


def main() -> None:
  """Pretrains, and prints the perplexity on validation and test."""
  FLAGS.require('output')
  started = time.perf_counter()
  config = config_flags.from_flags(FLAGS, task='language_model')
  with _PROCESSES.started(config) as stop:
    output = _OUTPUT.value
    timeout = _PROCESSES.lock_timeout(output)
    run = bigru_jax.pretrain(config, output, stop=stop, lock_timeout=timeout)
  if not distributed.is_main():
    return
  print(perplexities_as_text(run.result, config))
  _log.info('%.1f s in all', time.perf_counter() - started)


def perplexities_as_text(result: dict[str, Any], config: Config) -> str:
  """Returns a table of the metrics on validation and, if there is one, test."""
  splits = [name for name in ('validation', 'test') if result[name]]
  values = [shown(result[name], config.metrics) for name in splits]
  rows = [[name, *(x[name] for x in values)] for name in values[0]]
  return table_as([['metric', *splits], *rows], 'text')
