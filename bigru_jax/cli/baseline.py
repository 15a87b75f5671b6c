"""Fits the linear baseline: TF-IDF and logistic regression.

  bigru baseline
  bigru baseline --train=reviews.csv --workdir=runs/linear

It uses the splits, the metrics and the data flags of `bigru run`. The strength
of the regularisation is chosen from a short list, by the metric of --select_by
on validation. The directory holds the same predictions and results as that of a
run, so `bigru evaluate --split=test` reads it, and `bigru sweep --collect`
compares it with the runs in the same folder. The command needs scikit-learn,
the extra `baseline`.
"""

import logging
import pathlib
import time

import bigru_jax
from bigru_jax.cli import config_flags
from bigru_jax.cli.command_flags import Flags
from bigru_jax.config import Config, is_mutable
from bigru_jax.metrics import shown
from bigru_jax.reports.class_tables import evaluation_as
from bigru_jax.rundir import files as run_files, lock, naming
from bigru_jax.training import linear

_log = logging.getLogger('bigru_jax.baseline')

FLAGS = Flags()
VERBOSE = True
_WORKDIR = FLAGS.path(
  'workdir', 'The directory; by default that of `bigru run`, plus ",baseline".'
)
_NGRAMS = FLAGS.integer(
  'ngrams', 'The maximum number of words in an n-gram.', 2, lower=1
)
config_flags.define_flags(FLAGS, run_files.BASELINE_FIELDS)


def check_workdir(workdir: pathlib.Path, config: Config, ngrams: int) -> None:
  """Raises ValueError where a directory holds anything but this baseline."""
  if not run_files.exists(workdir / 'config.json'):
    return
  if not run_files.is_baseline(workdir):
    raise ValueError(f'workdir={workdir} holds a run of the network')
  fields = config.differing_fields(run_files.read_config(workdir))
  differing = [name for name in fields if not is_mutable(name)]
  before = run_files.read_json(workdir / 'baseline.json', 'baseline')
  if before.get('ngrams') != ngrams:
    differing.append('ngrams')
  if differing:
    raise ValueError(
      f'workdir={workdir} holds another baseline, which differs in '
      f'{", ".join(differing)}'
    )


def main() -> None:
  """Fits the baseline, writes its directory, and prints the test scores."""
  started = time.perf_counter()
  config, ngrams = config_flags.from_flags(FLAGS), _NGRAMS.value
  name = ',baseline' + (f',ngrams={ngrams}' if ngrams != 2 else '')
  workdir = pathlib.Path(
    _WORKDIR.value or f'{naming.default_workdir(config)}{name}'
  )
  with lock.locked(workdir):
    check_workdir(workdir, config, ngrams)
    data = linear.read_data(config)
    for note in data.notes:
      _log.info('%s', note)
    report, baseline = linear.fit(config, data, ngrams)
    seconds = round(time.perf_counter() - started, 3)
    report.result['train_seconds'] = seconds
    (workdir / 'result.json').unlink(missing_ok=True)
    names = run_files.BASELINE_FIELDS
    fields = {name: getattr(config, name) for name in names}
    contents = {
      'baseline.json': baseline,
      'labels.json': data.labels,
      'data.json': data.identity,
      'config.json': {'version': bigru_jax.__version__, **fields},
      **report.files(),
    }
    for file_name, value in contents.items():
      is_lines = file_name.endswith('.jsonl')
      write = run_files.write_lines if is_lines else run_files.write_json
      write(workdir / file_name, value)
  values = shown(report.result['test'], config.metrics, config.select_by)
  print(evaluation_as(report.result['test_report'], values))
  _log.info(
    'C=%g of %d n-grams, %.1f s in all; see %s',
    baseline['C'], baseline['features'], seconds, workdir,
  )  # fmt: skip
